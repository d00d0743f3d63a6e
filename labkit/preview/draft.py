"""A template that is being written: what is wrong with it now, and who waits to hear of a change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import asdict
from pathlib import Path

from watchfiles import awatch

from labkit.errors import Fault, NotFound
from labkit.linting import lint

QUIET_SECONDS = 15.0
"""After so long without a change a comment is sent: a browser that has gone is noticed then."""
_DEBOUNCE_MS, _STEP_MS = 400, 30


class Draft:
    """The template in `folder`. `notice` is one sentence of what else the author is to know."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: tuple[Fault, ...] = ()
        self.notice = ""
        self._changed = asyncio.Event()

    async def look(self) -> None:
        """Judge it anew, and tell everybody."""
        self.faults = await asyncio.to_thread(_judged, self.folder)
        self.tell(self.notice)

    def tell(self, notice: str) -> None:
        """Tell everybody that something has changed."""
        self.notice = notice
        self._changed.set()
        self._changed = asyncio.Event()

    async def watch(self) -> None:
        """Look again whenever a file is saved; ends with its task."""
        async for _ in awatch(self.folder, debounce=_DEBOUNCE_MS, step=_STEP_MS):
            await self.look()

    async def news(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events: how it is now, and again after each change."""
        while True:
            changed = self._changed
            said = {"faults": [asdict(fault) for fault in self.faults], "notice": self.notice}
            yield f"data: {json.dumps(said)}\n\n".encode()
            while not changed.is_set():
                try:
                    await asyncio.wait_for(changed.wait(), QUIET_SECONDS)
                except TimeoutError:
                    yield b":\n\n"


def _judged(folder: Path) -> tuple[Fault, ...]:
    try:
        return lint(folder)
    except (NotFound, OSError) as error:  # a file that is just being replaced is looked at again with the next change
        return (Fault("lab.yaml", 0, str(error)),)
