"""Signed-in sessions with machines, kept for a while: signing in takes a second where a machine is emulated."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from labkit.cluster.sftp import Files

IDLE_SECONDS = 30.0


class _Kept:
    def __init__(self) -> None:
        self.opening = asyncio.Lock()
        self.stack = AsyncExitStack()
        self.files: Files | None = None
        self.users = 0
        self.ending: asyncio.Task[None] | None = None


class Sessions:
    """One session for each machine (by its uid), shared by all requests that may use it."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    @contextlib.asynccontextmanager
    async def use(self, machine: str, opened: Callable[[], AbstractAsyncContextManager[Files]]) -> AsyncIterator[Files]:
        """The machine's session, `opened` where there is none that lives; it ends IDLE_SECONDS after its last use."""
        kept = self._kept.setdefault(machine, _Kept())
        kept.users += 1
        try:
            async with kept.opening:
                if kept.ending is not None:
                    kept.ending.cancel()
                    kept.ending = None
                if kept.files is None or kept.files.gone:
                    await kept.stack.aclose()
                    kept.files = None
                    kept.files = await kept.stack.enter_async_context(opened())
            yield kept.files
        finally:
            kept.users -= 1
            if not kept.users:
                kept.ending = asyncio.get_running_loop().create_task(self._end(machine, kept))

    async def _end(self, machine: str, kept: _Kept) -> None:
        if kept.files is not None and not kept.files.gone:
            await asyncio.sleep(IDLE_SECONDS)
        async with kept.opening:
            if not kept.users:
                if self._kept.get(machine) is kept:
                    del self._kept[machine]
                await kept.stack.aclose()
