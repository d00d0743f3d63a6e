"""The supervisor: one detached process per user that starts and watches engine, controller and gateway.

Started as `python -m labkit.supervisor` with a JSON plan on standard input (see `Plan`); asked over a unix socket, one
JSON object a line: {"ask": "status"} or {"ask": "stop"}. It knows nothing of labs. What it starts ends with it (each
child reads end-of-file on its standard input), machines do not: they are the engine's, and outlive both.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

IDLE_EXIT = 10
"""The exit status of a child that found nothing left to do: the supervisor then ends all."""
_BACKOFF_SECONDS = (0.2, 0.5, 1, 2, 5, 10)
_STEADY_SECONDS = 30.0
_STOP_SECONDS = 15.0


@dataclass(frozen=True)
class Child:
    """A process to keep running. `ready` is a path or HOST:PORT file that says when it serves (see `_is_ready`)."""

    name: str
    argv: tuple[str, ...]
    ready: str = ""


@dataclass(frozen=True)
class Plan:
    """What to run, where to listen, and the version and (as a digest) the settings of the client that asked for it.

    `service`: it was started to stay (`labkit serve`): clients neither replace nor end it, only a signal does.
    """

    version: str
    socket: str
    lock: str
    logs: str
    children: tuple[Child, ...]
    settings: str = ""
    service: bool = False

    def to_json(self) -> str:
        """The plan as the supervisor reads it from its standard input."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The plan in `text`."""
        values = json.loads(text)
        children = tuple(Child(c["name"], tuple(c["argv"]), c["ready"]) for c in values.pop("children"))
        return cls(**values, children=children)


@dataclass
class Watched:
    """One child's present process and past."""

    child: Child
    process: asyncio.subprocess.Process | None = None
    restarts: int = 0
    started: float = field(default_factory=time.monotonic)

    def status(self, ready: bool) -> dict[str, Any]:
        pid = self.process.pid if self.process and self.process.returncode is None else None
        return {"name": self.child.name, "pid": pid, "restarts": self.restarts, "ready": pid is not None and ready}


class Supervisor:
    """Keeps the children of one plan running until it is told to stop, or one says that it is idle."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._watched = [Watched(child) for child in plan.children]
        self._end = asyncio.Event()

    async def run(self) -> None:
        """Serve until the end."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self._end.set)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._plan.socket)
        server = await asyncio.start_unix_server(self._answer, self._plan.socket)
        os.chmod(self._plan.socket, 0o600)
        watchers = [asyncio.create_task(self._keep(watched)) for watched in self._watched]
        await self._end.wait()
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        await asyncio.gather(*(_end(watched.process) for watched in reversed(self._watched)))
        server.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._plan.socket)

    async def _keep(self, watched: Watched) -> None:
        while True:
            watched.started = time.monotonic()
            watched.process = await self._start(watched.child)
            status = await watched.process.wait()
            if status == IDLE_EXIT:
                self._end.set()
                return
            if time.monotonic() - watched.started > _STEADY_SECONDS:
                watched.restarts = 0
            wait = _BACKOFF_SECONDS[min(watched.restarts, len(_BACKOFF_SECONDS) - 1)]
            watched.restarts += 1
            print(f"{watched.child.name} ended with status {status}; starting it again in {wait} s", flush=True)
            await asyncio.sleep(wait)

    async def _start(self, child: Child) -> asyncio.subprocess.Process:
        with open(Path(self._plan.logs) / f"{child.name}.log", "ab") as log:
            return await asyncio.create_subprocess_exec(
                *child.argv, stdin=asyncio.subprocess.PIPE, stdout=log, stderr=log
            )

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            line = await reader.readline()
            writer.write(json.dumps(await self._reply(line)).encode() + b"\n")
            await writer.drain()
        writer.close()

    async def _reply(self, line: bytes) -> Mapping[str, Any]:
        try:
            ask = json.loads(line).get("ask")
        except (ValueError, AttributeError):
            return {"error": 'say one JSON object a line: {"ask": "status"} or {"ask": "stop"}'}
        if ask == "status":
            ready = [await _is_ready(watched.child.ready) for watched in self._watched]
            children = [watched.status(is_ready) for watched, is_ready in zip(self._watched, ready, strict=True)]
            about = {"version": self._plan.version, "pid": os.getpid(), "ending": self._end.is_set()}
            about |= {"settings": self._plan.settings, "service": self._plan.service}
            return {**about, "children": children}
        if ask == "stop" and self._plan.service:
            return {"error": "this is a service: it ends where it was started"}
        if ask == "stop":
            self._end.set()
            return {"stopping": True}
        return {"error": f"{ask!r} is not known; known: status, stop"}


async def _is_ready(ready: str) -> bool:
    """Whether something accepts connections at a unix socket, or at the loopback port a JSON file names."""
    if not ready:
        return True
    try:
        if ready.endswith(".json"):
            port = json.loads(Path(ready).read_text())["port"]
            _, writer = await asyncio.open_connection("127.0.0.1", int(port))
        else:
            _, writer = await asyncio.open_unix_connection(ready)
    except (OSError, ValueError, KeyError):
        return False
    writer.close()
    return True


async def _end(process: asyncio.subprocess.Process | None) -> None:
    """Ask a child to end, by signal and by end-of-file, and make it so where it does not."""
    if process is None or process.returncode is not None:
        return
    if process.stdin:
        process.stdin.close()
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def main(arguments: Sequence[str] = ()) -> int:
    """Run the plan on standard input. 0: ended on request or idle. 1: another supervisor holds the lock."""
    return run(Plan.from_json(sys.stdin.readline()))


def run(plan: Plan) -> int:
    """Keep a plan's children running, until told to end. The exit status: 1 where another supervisor runs."""
    with open(plan.lock, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another supervisor runs already", file=sys.stderr)
            return 1
        asyncio.run(Supervisor(plan).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
