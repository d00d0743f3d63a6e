"""When panes were last used by a person: noted as bytes go by, reported in batches in a file that the controller reads.

Bytes from the browser are not all input: pages keep streams alive with empty or repeated messages, and a screen asks
for its next picture. What tells input is the first WebSocket frame of what was read at once: enough to know that
somebody is there, and cheap.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

from labkit.model import PaneType

log = logging.getLogger(__name__)

REPORT_SECONDS = 10.0
_FORGET_SECONDS = 24 * 3600.0
_RFB_INPUT = frozenset({4, 5, 6, 255})
"""RFB's messages (RFC 6143, 7.5) of keys, pointer and clipboard, and QEMU's extended keys."""
_TTYD_INPUT = ord("0")
_DATA_OPCODES = (1, 2)


def is_input(kind: PaneType, data: bytes) -> bool:
    """Whether bytes from a browser, which begin with a masked WebSocket frame, are somebody's typing or pointing."""
    if len(data) < 7 or data[0] & 0x0F not in _DATA_OPCODES or not data[1] & 0x7F:
        return False
    mask_at = {126: 4, 127: 10}.get(data[1] & 0x7F, 2)
    if len(data) <= mask_at + 4:
        return False
    first = data[mask_at + 4] ^ data[mask_at]
    if kind is PaneType.VNC:
        return first in _RFB_INPUT
    return kind not in (PaneType.TERMINAL, PaneType.EXEC) or first == _TTYD_INPUT


class Uses:
    """When each lab's panes were last used."""

    def __init__(self, report: Path) -> None:
        self._report = report
        self._last: dict[str, float] = {}
        self._reported: dict[str, float] = {}

    def noting(self, lab: str, kind: PaneType) -> Callable[[bytes], None]:
        """What a stream calls with every piece from its browser."""

        def note(data: bytes) -> None:
            if is_input(kind, data):
                self.used(lab)

        return note

    def used(self, lab: str) -> None:
        """Somebody has used a lab's pane now."""
        self._last[lab] = time.time()

    async def report(self) -> None:
        """Write the report every REPORT_SECONDS, until cancelled."""
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            await asyncio.to_thread(self.write)

    def write(self) -> None:
        """Write the report, where there is news. Labs that were not used for a day are left out."""
        oldest = time.time() - _FORGET_SECONDS
        self._last = {lab: when for lab, when in self._last.items() if when > oldest}
        if self._last == self._reported:
            return
        draft = self._report.with_name(self._report.name + ".new")
        try:
            draft.write_text(json.dumps(self._last))
            draft.replace(self._report)
        except OSError as error:
            log.warning("the panes' use cannot be reported, and labs in use may count as idle: %s", error)
        else:
            self._reported = dict(self._last)
