"""Connections that another process of this user has accepted, read the beginning of, and hands over whole.

For each, it connects to a unix socket of its own beside the gateway's, and sends the connection's descriptor with the
beginning: a request's head, as the gateway is to read it, and what had come behind. Then it closes, and has no part in
the connection any more. Whoever can open the socket could ask the gateway itself: this gives no further right.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

from labkit.gateway.http import Connection

log = logging.getLogger(__name__)

MOST = 2 << 20
"""Bytes of a beginning."""
SECONDS = 5.0
"""For all of it to come."""
_REST_SECONDS = 1.0
_PIECE = 64 * 1024


def beside(gateway: Path) -> Path:
    """The socket for this, of the gateway whose own socket is `gateway`."""
    return gateway.with_name(f"{gateway.name}.handed")


async def hand_over(way: socket.socket, connection: socket.socket, beginning: bytes) -> None:
    """Give a connection away, over a connection to the gateway's socket for it (neither may block); both are closed
    once that is done. `beginning` is not empty. Raises OSError where the gateway does not take it.
    """
    async with asyncio.timeout(SECONDS):
        sent = socket.send_fds(way, [beginning], [connection.fileno()])
        await asyncio.get_running_loop().sock_sendall(way, beginning[sent:])
    way.close()
    connection.close()


async def take_over(listener: socket.socket, connect: Callable[[bytes], Connection]) -> None:
    """Take what is handed over at a listening socket, until this is cancelled. `connect` makes what answers a
    connection, of its beginning."""
    loop = asyncio.get_running_loop()
    coming: set[asyncio.Task[None]] = set()
    listener.setblocking(False)
    try:
        while True:
            try:
                way, _ = await loop.sock_accept(listener)
            except OSError as error:  # no file is left to be opened: that passes
                log.warning("nothing can be handed over at the moment: %s", error)
                await asyncio.sleep(_REST_SECONDS)
                continue
            coming.add(task := loop.create_task(_take(way, connect)))
            task.add_done_callback(coming.discard)
    finally:
        for task in coming:
            task.cancel()
        await asyncio.gather(*coming, return_exceptions=True)


async def _take(way: socket.socket, connect: Callable[[bytes], Connection]) -> None:
    with contextlib.ExitStack() as kept:
        kept.enter_context(way)
        try:
            async with asyncio.timeout(SECONDS):
                client, beginning = await _received(way, kept)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connect(beginning), client)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            why = str(error) or "its beginning did not come in time"
            log.warning("a connection was not handed over whole: %s", why)
            return
        way.close()
        kept.pop_all()


async def _received(way: socket.socket, kept: contextlib.ExitStack) -> tuple[socket.socket, bytes]:
    """The connection, which `kept` closes, and its beginning. Raises OSError, or ValueError for what is none."""
    beginning, found = bytearray(), list[socket.socket]()
    way.setblocking(False)
    while len(beginning) <= MOST:
        try:
            piece, descriptors, _, _ = socket.recv_fds(way, _PIECE, 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            await _readable(way)
            continue
        found += [kept.enter_context(_connection(descriptor)) for descriptor in descriptors]
        beginning += piece
        if not piece:
            break
    if len(found) != 1 or not 0 < len(beginning) <= MOST:
        raise ValueError(f"{len(found)} connections and {len(beginning)} bytes came")
    found[0].setblocking(False)
    if found[0].family != socket.AF_UNIX:
        found[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found[0], bytes(beginning)


def _connection(descriptor: int) -> socket.socket:
    try:
        return socket.socket(fileno=descriptor)
    except OSError:  # it is none
        os.close(descriptor)
        raise


async def _readable(way: socket.socket) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(way, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(way)
