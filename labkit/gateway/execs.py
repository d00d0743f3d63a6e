"""A shell in a container over `pods/exec`, said to the browser as ttyd would say it: one page serves both.

Towards the browser these are WebSocket frames of the subprotocol `tty`: from it `{…}` (its size, first), `0` and input,
`1{…}` a new size, `2` and `3` stop and go on; to it `0` and output. Towards the engine they are Kubernetes' channels:
a message's first byte names its channel (0 input, 1 output, 3 the end, 4 the size).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.protocol import SERVER, Protocol, State

log = logging.getLogger(__name__)

SHELL = ("/bin/sh", "-c", "TERM=xterm-256color; export TERM; command -v bash >/dev/null && exec bash; exec sh")
"""The better one of the shells that the container's image has."""

_STDIN, _STDOUT, _RESULT, _RESIZE = 0, 1, 3, 4
_QUEUE = 16
_MAX_MESSAGE = 1024 * 1024


class ExecStream:
    """The browser's bytes on the one side, a shell's channels on the other: a `Stream` as a terminal's is."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._frames = Protocol(SERVER, state=State.OPEN, max_size=_MAX_MESSAGE)
        self._out: asyncio.Queue[bytes] = asyncio.Queue(_QUEUE)
        self._going = asyncio.Event()
        self._going.set()
        self._message = b""
        self._pump = asyncio.create_task(self._listen())

    @property
    def transport(self) -> asyncio.Transport:
        """The engine's: to abort it ends the shell."""
        return self._connection.transport

    async def recv(self) -> bytes:
        """Frames for the browser. Raises ConnectionError at the shell's end."""
        data = await self._out.get()
        if not data:
            raise ConnectionResetError("the shell has ended")
        return data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield await self.recv()

    async def send(self, message: bytes) -> None:
        """Bytes of the browser's frames. Raises ConnectionError where it closes, or sends what is no frame."""
        self._frames.receive_data(message)
        for frame in self._frames.events_received():
            if isinstance(frame, Frame):
                await self._hear(frame)
        for answer in self._frames.data_to_send():  # a pong, or the answer to a close
            with contextlib.suppress(asyncio.QueueFull):
                self._out.put_nowait(answer)
        if self._frames.parser_exc is not None:
            log.info("refused: what the browser sent is no frame, or too large a one")
        if self._frames.close_expected() or self._frames.parser_exc is not None:
            raise ConnectionResetError("the browser has closed the stream")

    async def _hear(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        self._message += frame.data
        if len(self._message) > _MAX_MESSAGE:
            raise ConnectionResetError("a message is too large")
        if not frame.fin:
            return
        message, self._message = self._message, b""
        kind, rest = message[:1], message[1:]
        if kind == b"0":
            await self._connection.send(bytes([_STDIN]) + rest)
        elif kind in (b"{", b"1"):
            await self._resize(message if kind == b"{" else rest)
        elif kind == b"2":
            self._going.clear()
        elif kind == b"3":
            self._going.set()

    async def _resize(self, text: bytes) -> None:
        try:
            found = json.loads(text)
            size = {"Width": int(found["columns"]), "Height": int(found["rows"])}
        except (ValueError, KeyError, TypeError):
            return  # a size that is none changes nothing
        await self._connection.send(bytes([_RESIZE]) + json.dumps(size).encode())

    async def _listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in self._connection:
                await self._going.wait()
                if not isinstance(message, bytes) or not message or message[0] == _RESULT:
                    continue
                if message[0] == _STDOUT and len(message) > 1:
                    self._frames.send_binary(b"0" + message[1:])
                    await self._out.put(b"".join(self._frames.data_to_send()))
        await self._out.put(b"")
