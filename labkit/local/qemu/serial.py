"""The serial console: the engine keeps QEMU's one connection, so that output goes somewhere when nobody looks.

A session sees what comes after it began, as on KubeVirt; the last output is kept in a bounded file for diagnosis.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

_CHUNK = 65536
_LOG_LIMIT = 256 * 1024

Listener = Callable[[bytes], Awaitable[None]]


class SerialConsole:
    """One machine's serial line. At most one listener at a time."""

    def __init__(self, socket: Path, log: Path | None) -> None:
        self._socket = socket
        self._log = log
        self._listener: Listener | None = None
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

    def listen(self, listener: Listener) -> None:
        """Hand all further output to ``listener``, which may make the machine wait."""
        self._listener = listener

    def unlisten(self, listener: Listener) -> None:
        """Stop handing output to that listener, if it still is the one."""
        if self._listener == listener:
            self._listener = None

    async def ended(self) -> None:
        """Wait until QEMU has closed the line."""
        if self._task:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Let go of the line."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._writer:
            self._writer.close()

    async def _pump(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(_CHUNK):
                if self._log:
                    append_bounded(self._log, data, _LOG_LIMIT)
                await self._hand_on(data)
        except ConnectionError:
            return  # QEMU was killed: the same end as a close.

    async def _hand_on(self, data: bytes) -> None:
        listener = self._listener
        if listener is None:
            return
        try:
            await listener(data)
        except ConnectionError:
            # That client is gone; the line must live on for the next one.
            self.unlisten(listener)


def append_bounded(file: Path, data: bytes, limit: int) -> None:
    """Append to a private file that keeps between the last ``limit`` and twice as many bytes."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with open(descriptor, "r+b") as log:
        log.write(data)
        log.flush()
        size = os.fstat(log.fileno()).st_size
        if size > 2 * limit:
            log.seek(size - limit)
            kept = log.read()
            log.truncate(0)
            log.write(kept)
