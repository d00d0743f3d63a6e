"""A machine's screen on the wire: the server's half of RFB 3.8, one colour, remembering every key it is sent."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from websockets.asyncio.server import ServerConnection

WIDTH, HEIGHT = 320, 200
_PIXEL_FORMAT = struct.pack(">BBBBHHHBBBxxx", 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
_LENGTHS = {0: 20, 3: 10, 4: 8, 5: 6}


@dataclass
class Screen:
    """`keys` are (keysym, pressed) in order; `open` the connections there were, of which the newest lives."""

    keys: list[tuple[int, bool]] = field(default_factory=list)
    open: list[ServerConnection] = field(default_factory=list)
    clipboard: str = ""
    _unread: bytes = b""

    async def __call__(self, connection: ServerConnection) -> None:
        """Serve one client; the one before is cut off, as KubeVirt does."""
        for earlier in self.open:
            earlier.transport.abort()
        self.open = [connection]
        self._unread = b""
        await connection.send(b"RFB 003.008\n")
        await self._read(connection, 12)
        await connection.send(b"\x01\x01")
        await self._read(connection, 1)
        await connection.send(b"\0\0\0\0")
        await self._read(connection, 1)
        await connection.send(struct.pack(">HH", WIDTH, HEIGHT) + _PIXEL_FORMAT + struct.pack(">I", 4) + b"peer")
        while True:
            await self._message(connection)

    async def _message(self, connection: ServerConnection) -> None:
        kind = (await self._read(connection, 1))[0]
        if kind == 2:
            await self._read(connection, 4 * struct.unpack(">xH", await self._read(connection, 3))[0])
            return
        if kind == 6:
            cut = await self._read(connection, struct.unpack(">xxxI", await self._read(connection, 7))[0])
            self.clipboard = cut.decode("latin-1")
            return
        body = await self._read(connection, _LENGTHS[kind] - 1)
        if kind == 3 and not body[0]:  # not incremental: the whole screen, in a colour of its own
            await connection.send(struct.pack(">BxHHHHHi", 0, 1, 0, 0, WIDTH, HEIGHT, 0))
            await connection.send(b"\x20\x80\xe0\0" * (WIDTH * HEIGHT))
        elif kind == 4:
            pressed, keysym = struct.unpack(">BxxI", body)
            self.keys.append((keysym, bool(pressed)))

    async def copy(self, text: str) -> None:
        """Put text on the machine's clipboard, which it shares."""
        data = text.encode("latin-1")
        await self.open[-1].send(struct.pack(">BxxxI", 3, len(data)) + data)

    async def _read(self, connection: ServerConnection, size: int) -> bytes:
        while len(self._unread) < size:
            message = await connection.recv()
            self._unread += message if isinstance(message, bytes) else b""
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    @property
    def typed(self) -> str:
        """The characters of the keys that were pressed, without Shift and other keys that print nothing."""
        return "".join(chr(keysym) for keysym, pressed in self.keys if pressed and keysym < 0x100)
