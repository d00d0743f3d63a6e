"""Two transports joined: what one reads the other writes, unread. The first end closes both.

Back-pressure is the transports' own: where one end's write buffer is full, the other end is not read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

WRITE_HIGH = 256 * 1024
"""Bytes that wait for a slow reader before the other side stops being read."""
LINGER_SECONDS = 5.0
"""A closed end gets this long to take what was already on the way to it."""


class _End(asyncio.Protocol):
    """The protocol of one of the two transports."""

    def __init__(self, splice: Splice, transport: asyncio.Transport, note: Callable[[bytes], None] | None) -> None:
        self._splice = splice
        self._note = note
        self.transport = transport
        self.peer: _End | None = None

    def data_received(self, data: bytes) -> None:
        if self._note is not None:
            self._note(data)
        if self.peer is not None:
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._splice.close()


class Splice:
    """A running join of two transports; `on_closed` is called once, when the first of them ends, and `note` with every
    piece that the first one sends."""

    def __init__(self, on_closed: Callable[[], None], note: Callable[[bytes], None] | None = None) -> None:
        self._on_closed = on_closed
        self._note = note
        self._ends: tuple[_End, _End] | None = None
        self._closed = False

    def start(self, one: asyncio.Transport, from_one: bytes, other: asyncio.Transport, from_other: bytes) -> None:
        """Join them. `from_*` are bytes that were read from that transport before this call."""
        ends = _End(self, one, self._note), _End(self, other, None)
        ends[0].peer, ends[1].peer = ends[1], ends[0]
        self._ends = ends
        for end in ends:
            end.transport.set_protocol(end)
            end.transport.set_write_buffer_limits(high=WRITE_HIGH)
            end.transport.resume_reading()
        other.write(from_one)
        one.write(from_other)
        if one.is_closing() or other.is_closing():  # its connection_lost() may have gone to the protocol before
            self.close()

    def close(self) -> None:
        """End both: what was on the way may still arrive, for LINGER_SECONDS."""
        if self._closed:
            return
        self._closed = True
        for end in self._ends or ():
            close_lingering(end.transport)
        self._on_closed()


def close_lingering(transport: asyncio.Transport) -> None:
    """Close a transport; what its reader has not taken after LINGER_SECONDS is dropped."""
    if transport.is_closing():
        return
    transport.close()
    if transport.get_write_buffer_size():
        asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)
