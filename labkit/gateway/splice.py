"""Two transports joined: what one reads the other writes, unread. The first end closes both.

Back-pressure is the transports' own: where one end's write buffer is full, the other end is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from labkit.gateway.tunnels import Tunnel

WRITE_HIGH = 256 * 1024
"""Bytes that wait for a slow reader before the other side stops being read."""
TURN = 64 * 1024
"""Who has sent so much at once is read again only after all others had their turn."""
LINGER_SECONDS = 5.0
"""A closed end gets this long to take what was already on the way to it."""


class _End(asyncio.Protocol):
    """The protocol of one of the two transports. `passed` counts what it sent, and says how long to wait then."""

    def __init__(self, splice: Splice, transport: asyncio.Transport, passed: Callable[[bytes], float]) -> None:
        self._splice = splice
        self._passed = passed
        self._full = self._fast = False
        self.transport = transport
        self.peer: _End | None = None

    def data_received(self, data: bytes) -> None:
        if self.peer is not None:
            self.peer.transport.write(data)
        if (wait := self._passed(data)) or len(data) >= TURN:
            self._fast = True
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(wait, self._slow_again)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer._full = True
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer._full = False
            self.peer._read_on()

    def _slow_again(self) -> None:
        self._fast = False
        self._read_on()

    def _read_on(self) -> None:
        if not self._full and not self._fast and not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._splice.close()


class Splice:
    """A running join of two transports; `on_closed` is called once, when the first of them ends, and `note` with every
    piece that the first one sends."""

    def __init__(self, tunnel: Tunnel, on_closed: Callable[[], None], note: Callable[[bytes], None]) -> None:
        self._tunnel = tunnel
        self._on_closed = on_closed
        self._note = note
        self._ends: tuple[_End, _End] | None = None
        self._closed = False

    def start(self, one: asyncio.Transport, from_one: bytes, other: asyncio.Transport, from_other: bytes) -> None:
        """Join them. `from_*` are bytes that were read from that transport before this call."""
        ends = _End(self, one, self._up), _End(self, other, self._tunnel.sent_down)
        ends[0].peer, ends[1].peer = ends[1], ends[0]
        self._ends = ends
        for end in ends:
            end.transport.set_protocol(end)
            end.transport.set_write_buffer_limits(high=WRITE_HIGH)
            end.transport.resume_reading()
        for end, early in zip(ends, (from_one, from_other), strict=True):
            if early:
                end.data_received(early)
        if one.is_closing() or other.is_closing():  # its connection_lost() may have gone to the protocol before
            self.close()

    def _up(self, data: bytes) -> float:
        self._note(data)
        return self._tunnel.sent_up(len(data))

    def close(self) -> None:
        """End both: what was on the way may still arrive, for LINGER_SECONDS."""
        if self._closed:
            return
        self._closed = True
        for end in self._ends or ():
            close_lingering(end.transport)
        self._on_closed()


def close_lingering(transport: asyncio.Transport) -> None:
    """Close a transport; what its reader has not taken after LINGER_SECONDS is dropped.

    With nothing more to say it is cut off: TLS would first read, and throw away, all that the other side still sends.
    """
    if transport.is_closing():
        return
    if not transport.get_write_buffer_size():
        transport.abort()
        return
    transport.close()
    asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)
