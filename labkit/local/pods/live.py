"""What the engine has of a pod beside what is stored: its processes, what watches them, what its probes found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from labkit.local.objects import Obj
from labkit.local.pods import process, status
from labkit.local.pods.images import Image
from labkit.local.pods.runtime import Runtime
from labkit.local.processes import Detached


@dataclass
class Facts:
    """What is known of a running container; ``ended`` is 'unhealthy' once a probe has given it up."""

    started: bool
    ready: bool
    ended: str = ""
    paused: str = ""


@dataclass
class Live:
    """A running container: ``name`` has the number of its start, ``line`` is a command line that runs one in it."""

    name: str
    watcher: Detached
    line: Callable[..., list[str]]
    changed: Callable[[], None]
    facts: Facts
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    told: bool = False
    """Whether it has been sent SIGTERM."""

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something for as long as it runs."""
        self.tasks.append(asyncio.create_task(work))

    def note(self, **facts: Any) -> None:
        """Keep what was found out."""
        for name, value in facts.items():
            setattr(self.facts, name, value)
        self.changed()

    def shown(self, record: Obj) -> Obj:
        """Its record with what is known of it."""
        return record | {"ready": self.facts.ready and self.facts.started, "started": self.facts.started}

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


@dataclass
class Held:
    """A pod: the process with its namespaces, its running containers, its failures."""

    runtime: Runtime
    holder: Detached | None = None
    lives: dict[str, Live] = field(default_factory=dict)
    pulling: asyncio.Task[Image] | None = None
    failures: dict[str, int] = field(default_factory=dict)
    """How often in a row each container went wrong."""
    opens: dict[str, float] = field(default_factory=dict)
    """When each may be started again (loop time)."""

    def put_off(self, container: str, *, at_once: bool) -> float:
        """Note a failure; the seconds until the next try, which are none after the first where that is ``at_once``."""
        failures = self.failures.get(container, 0)
        self.failures[container] = failures + 1
        wait = status.delay(failures if at_once else failures + 1)
        self.opens[container] = asyncio.get_running_loop().time() + wait
        return wait

    def left(self, container: str) -> float:
        """Seconds until a container may be started again."""
        return self.opens.get(container, 0.0) - asyncio.get_running_loop().time()
