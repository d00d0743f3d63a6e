"""The sets of machines of which spares are kept by hand: known again after a restart of the engine."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labkit.local.files import write_atomically
from labkit.local.objects import Obj

log = logging.getLogger(__name__)

MOST_SETS = 32
MOST_BYTES = 2**20


class TooMuch(Exception):
    """More sets than are kept: one sentence with the remedy."""


class Wanted:
    """Sets by name: machines (VMIs without what is a learner's), and how often each set is to be parked."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.sets: dict[str, tuple[list[Obj], int]] = {}

    def open(self) -> None:
        """Read what was kept; a file that cannot be read is as none."""
        try:
            found = json.loads(self._file.read_bytes()) if self._file.exists() else {}
            self.sets = {str(name): ([dict(vmi) for vmi in vmis], int(times)) for name, (vmis, times) in found.items()}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            log.warning("which spares are to be kept is not known any more: %s: %s", self._file, error)

    def put(self, name: str, machines: Sequence[Obj], times: int) -> bool:
        """Keep a set, or with ``times`` 0 forget it; whether that is new. Raises TooMuch, OSError."""
        sets = {known: kept for known, kept in self.sets.items() if known != name}
        if times:
            sets[name] = [_anybody(vmi) for vmi in machines], times
        if sets == self.sets:
            return False
        text = json.dumps(sets).encode()
        if len(sets) > MOST_SETS or len(text) > MOST_BYTES:
            raise TooMuch(
                f"spares are kept of {MOST_SETS} sets with a description of {MOST_BYTES // 2**10} KiB at most: "
                "end some with --spares 0"
            )
        write_atomically(self._file, text)
        self.sets = sets
        return True


def _anybody(vmi: Obj) -> Obj:
    """A machine without name, and without its user data: spares are nobody's, and passwords may be in there."""
    volumes: list[dict[str, Any]] = vmi["spec"].get("volumes", [])
    blank = [{**each, "cloudInitNoCloud": {}} if "cloudInitNoCloud" in each else each for each in volumes]
    return {**vmi, "metadata": {"name": "spare", "namespace": "parked"}, "spec": {**vmi["spec"], "volumes": blank}}
