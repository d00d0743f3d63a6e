"""The serial console: the engine keeps QEMU's one connection, so that output goes somewhere when nobody looks.

What the machine prints is kept with its times in two bounded files; a new session begins with the last of it.
A session that stops reading is cut: neither the machine nor the next session waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from labkit.local import logs

log = logging.getLogger(__name__)

_CHUNK = 65536
_SCROLL_BACK = 32 * 1024
"""Bytes of earlier output that a new session begins with."""
_UNREAD_LIMIT = 1024 * 1024
"""Bytes that may wait for one session before it is cut."""
# A terminal answers these, and the answer would be typed into the machine.
_QUERY = re.compile(rb"\x1b\[[?>=]?[0-9;]*[cn]|\x1bZ|\x1b\][0-9;]*\?(\x07|\x1b\\)|\x05")


class Viewer:
    """One session's share of the output. ``cut`` is called once it has fallen too far behind."""

    def __init__(self, first: bytes, cut: Callable[[], None]) -> None:
        self._cut = cut
        self._waiting = [first] if first else []
        self._size = 0
        self._ended = False
        self._more = asyncio.Event()
        self._more.set()

    def feed(self, data: bytes) -> None:
        """More output; it never waits."""
        self._size += len(data)
        self._waiting.append(data)
        self._more.set()
        if self._size > _UNREAD_LIMIT:
            self._cut()

    def end(self) -> None:
        """There will be no more output."""
        self._ended = True
        self._more.set()

    async def pump(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Hand everything to ``send``, which may wait, until the line ends. Raises what it raises."""
        while self._waiting or not self._ended:
            await self._more.wait()
            self._more.clear()
            waiting, self._waiting, self._size = self._waiting, [], 0
            if waiting:
                await send(b"".join(waiting))


class SerialConsole:
    """One machine's serial line. At most one viewer at a time."""

    def __init__(self, socket: Path, log: Path | None) -> None:
        self._socket = socket
        self._log = log
        self._viewer: Viewer | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect to QEMU. Raises OSError."""
        reader, self._writer = await asyncio.open_unix_connection(str(self._socket), limit=_CHUNK)
        self._task = asyncio.create_task(self._pump(reader))

    async def write(self, data: bytes) -> None:
        """Type into the machine; waits where the machine does not take it. Raises OSError."""
        if self._writer is None:
            raise ConnectionResetError("the serial console is closed")
        self._writer.write(data)
        await self._writer.drain()

    def attach(self, cut: Callable[[], None]) -> Viewer:
        """Give all further output to a new viewer, which begins with the last output so far."""
        # Nothing is awaited between the look at the log and the next output: none is lost or repeated.
        self._viewer = Viewer(_QUERY.sub(b"", logs.last_bytes(self._log, _SCROLL_BACK)) if self._log else b"", cut)
        if self._task is None or self._task.done():
            self._viewer.end()
        return self._viewer

    def detach(self, viewer: Viewer) -> None:
        """Stop feeding that viewer, if it still is the one."""
        if self._viewer is viewer:
            self._viewer = None

    async def close(self) -> None:
        """Let go of the line."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._writer:
            self._writer.close()

    def _keep(self, data: bytes) -> None:
        try:
            if self._log:
                logs.append(self._log, data)
        except OSError as error:
            # A full disk: what is printed meanwhile is lost to the log, but the guest must not wait for room.
            log.debug("output of %s is not kept: %s", self._socket, error)

    async def _pump(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(_CHUNK):
                self._keep(data)
                if self._viewer:
                    self._viewer.feed(data)
        except ConnectionError:
            return  # QEMU was killed: the same end as a close.
        finally:
            if self._viewer:
                self._viewer.end()
