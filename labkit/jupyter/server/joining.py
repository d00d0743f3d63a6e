"""A connection joined with one to a service: what one says goes to the other, unread. In a thread of their own.

So a byte of a pane does not wait for what Jupyter is doing; and a turn of libuv's loop is cheaper than asyncio's.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import uvloop

HIGH = 256 * 1024
"""Bytes that wait for a slow reader before the other side stops being read."""
TURN = 64 * 1024
"""Who has sent so much at once is read again only after all others had their turn."""
LINGER_SECONDS = 60.0
"""A reader gets this long to take what was on its way to it when the other side ended."""
T = TypeVar("T")


class End(asyncio.Protocol):
    """One of two joined connections: what it says goes to its peer, and it is not read while the peer is full."""

    def __init__(self) -> None:
        self.peer: End | None = None
        self.transport: asyncio.Transport | None = None
        self._early = b""
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH)

    def data_received(self, data: bytes) -> None:
        if self.transport is None:
            return
        if self.peer is None or self.peer.transport is None:
            self._early += data
            self.transport.pause_reading()
            return
        self.peer.transport.write(data)
        if self._full or len(data) >= TURN:  # it may have been full before there was anything to pause
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self.read_on)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        if self.peer is not None:
            self.peer._full = True
            if self.peer.transport is not None:
                self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer._full = False
            self.peer.read_on()

    def read_on(self) -> None:
        """Pass on what came before there was a peer, and read more, unless the peer is full."""
        if self.peer is not None and self.peer.transport is not None and self._early:
            self.peer.transport.write(self._early)
            self._early = b""
        if not self._full and self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.peer is not None and self.peer.transport is not None and not self.peer.transport.is_closing():
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self.peer.transport.abort)
            self.peer.transport.close()


async def connected(url: str) -> End:
    """A connection to the service at an http(s) address. Raises OSError."""
    service = urlsplit(url)
    tls = await asyncio.to_thread(_believed) if service.scheme == "https" else None  # the first time takes a while
    port = service.port or (443 if tls else 80)
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(End, service.hostname or "", port, ssl=tls))[1]


@cache
def _believed() -> ssl.SSLContext:
    return ssl.create_default_context()


async def join(one: socket.socket, other: End, beginning: bytes) -> None:
    """Join a socket, of which `beginning` was read before, to a connection."""
    end = End()
    end.peer, other.peer = other, end
    if other.transport is not None:
        other.transport.write(beginning)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: end, one)
    other.read_on()
    if other.transport is None and end.transport is not None:
        end.transport.close()


async def drop(end: End) -> None:
    """Cut a connection that is joined to nothing."""
    if end.transport is not None:
        end.transport.abort()


async def beside(work: Coroutine[Any, Any, T]) -> T:
    """The result of work that is done in the connections' own thread."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, _loop()))


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = uvloop.new_event_loop()
    threading.Thread(target=loop.run_forever, name="labkit-panes", daemon=True).start()
    return loop
