"""The keys that the gateway reads from files: the public ones that verify tickets, and the terminals' one."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from labkit import tickets
from labkit.errors import SetupError

log = logging.getLogger(__name__)


class TicketKeys:
    """The key set in a file, read again whenever the file has changed, so that a key can be added or taken away.

    Each ticket costs one look at the file's date: made-up key ids cannot make the gateway do more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, ...] | None = None
        self._keys: dict[str, Any] = {}

    def verify(self, token: str) -> tickets.Ticket:
        """The ticket in `token`. Raises TicketError; without a readable file, for every token."""
        return tickets.verify(token, self._current())

    @property
    def ready(self) -> bool:
        """Whether there is a key at all."""
        return bool(self._current().get("keys"))

    def _current(self) -> dict[str, Any]:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp != self._stamp:
                keys = json.loads(self._path.read_bytes())
                self._keys, self._stamp = keys if isinstance(keys, dict) else {}, stamp
        except (OSError, ValueError) as error:
            if self._keys or self._stamp is None:
                log.warning("%s cannot be read, so no ticket is honoured: %s", self._path, error)
            self._keys, self._stamp = {}, (0,)
        return self._keys


def terminal_key(path: Path) -> bytes:
    """The key from which terminals' secrets are derived. Raises SetupError where it cannot be read."""
    try:
        key = path.read_bytes()
    except OSError as error:
        raise SetupError(f"the terminals' key {path} cannot be read: start a lab first, which makes it") from error
    if not key:
        raise SetupError(f"the terminals' key {path} is empty: delete the file and start a lab, which makes it anew")
    return key
