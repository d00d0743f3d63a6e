"""Whose pages may hold ours in a frame, told to the gateway: a pane stands in our page, which stands in a platform's.

A browser asks the whole chain of a frame's ancestors, and the gateway knows no store: it reads a file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from labkit.store import Store
from lti_app.headers import origins


class Embedders:
    """The file, written anew from the store whenever a platform turns up that is not in it yet."""

    def __init__(self, file: Path, store: Store) -> None:
        self._file, self._store = file, store
        self._written: frozenset[str] = frozenset()

    def know(self, some: Iterable[str]) -> None:
        """See to it that these origins are in the file."""
        if not self._written.issuperset(some):
            self.write()

    def write(self) -> None:
        """Write every registered platform's origins."""
        found = origins(self._store.platforms())
        draft = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        draft.write_text(json.dumps(found))
        draft.replace(self._file)
        self._written = frozenset(found)
