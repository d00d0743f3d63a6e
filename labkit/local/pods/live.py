"""A running container: what watches it, and what its probes found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from labkit.local.pods import process
from labkit.local.processes import Detached


@dataclass
class Facts:
    """What is known of a running container; ``ended`` is 'unhealthy' once a probe has given it up."""

    started: bool = True
    ready: bool = True
    ended: str = ""
    paused: str = ""


@dataclass
class Live:
    """A running container."""

    watcher: Detached
    line: Callable[..., list[str]]
    """The command line that runs a command in it."""
    changed: Callable[[], None]
    facts: Facts = field(default_factory=Facts)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    killed: float = 0.0
    """When a kill follows the signal that was sent (loop time)."""

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something for as long as it runs."""
        self.tasks.append(asyncio.create_task(work))

    def note(self, **facts: Any) -> None:
        """Keep what was found out."""
        for name, value in facts.items():
            setattr(self.facts, name, value)
        self.changed()

    async def run(self, command: list[str], seconds: float) -> bool:
        """Whether a command in it ends well within a time. Raises TimeoutError."""
        child = await process.start(self.line(command), stdin=False, tty=False)
        try:
            async with asyncio.timeout(seconds):
                return await child.wait() == 0
        finally:
            await child.kill()

    async def ping(self, seconds: float) -> None:
        """A container has no guest agent: it answers by running."""

    def forget(self) -> None:
        """Look at it no more."""
        for task in self.tasks:
            task.cancel()
        self.watcher.forget()
