"""A machine's ttyd, reached through the engine's portforward: a WebSocket within a WebSocket.

The outer one ends here and at the engine; its messages carry a byte stream. The inner one is the browser's own with
ttyd: only its opening handshake is ours (it holds the machine's secret, which no browser sees), its frames pass unread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from labkit.cluster.portforward import Stream, connect_port
from labkit.cluster.streams import StreamTarget
from labkit.errors import ClusterError, ClusterUnavailable
from labkit.gateway.splice import WRITE_HIGH, close_lingering
from labkit.gateway.upstream import OPEN_SECONDS, ClientHandshake

log = logging.getLogger(__name__)

_READ_SIZE = 64 * 1024
_QUEUE = 16


async def open_terminal(target: StreamTarget, secret: str) -> tuple[Stream, bytes]:
    """Open the port and ttyd behind it: the outer WebSocket and ttyd's bytes that came with the inner handshake.

    Raises ClusterUnavailable where nothing answers there (yet), ClusterError where engine or ttyd refuses.
    """
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            return await _open(target, secret)
    except InvalidStatus as error:
        status = error.response.status_code
        kind = ClusterError if status in (401, 403, 404) else ClusterUnavailable
        raise kind("nothing answers on the terminal's port", status=status) from error
    except (OSError, InvalidHandshake, ConnectionClosed) as error:  # TimeoutError is an OSError
        raise ClusterUnavailable("nothing answers on the terminal's port") from error


async def _open(target: StreamTarget, secret: str) -> tuple[Stream, bytes]:
    outer = await connect_port(target, None, queue=_QUEUE)
    try:
        return outer, await _greet(outer, secret)
    except BaseException:
        outer.transport.abort()
        raise


async def _greet(outer: Stream, secret: str) -> bytes:
    """The inner handshake. A Host of its own: ttyd is no part of any site."""
    handshake = ClientHandshake("terminal", f"/{secret}/ws", "tty", {})
    await outer.send(handshake.request)
    while True:
        message = await outer.recv()
        if isinstance(message, bytes) and message:
            early = handshake.receive(message)
            if early is not None:
                return early


class TerminalTunnel:
    """Browser and terminal joined by two pumps; the first to end closes both. `on_closed` is called once, and `note`
    with every piece from the browser."""

    def __init__(
        self,
        outer: Stream,
        early: bytes,
        on_closed: Callable[[], None],
        note: Callable[[bytes], None] = lambda data: None,
    ) -> None:
        self._note = note
        self._outer = outer
        self._early = early
        self._on_closed = on_closed
        self._browser: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, browser: asyncio.Transport, early: bytes) -> None:
        """Begin. `early` are the browser's bytes that came with its handshake."""
        reader = asyncio.StreamReader(limit=_READ_SIZE)
        protocol = asyncio.StreamReaderProtocol(reader)
        browser.set_protocol(protocol)
        protocol.connection_made(browser)
        browser.set_write_buffer_limits(high=WRITE_HIGH)
        writer = asyncio.StreamWriter(browser, protocol, reader, asyncio.get_running_loop())
        reader.feed_data(early)
        writer.write(self._early)
        self._browser = browser
        browser.resume_reading()
        self._task = asyncio.get_running_loop().create_task(self._run(reader, writer))

    def close(self) -> None:
        """End both."""
        if self._task is not None:
            self._task.cancel()
        else:
            self._outer.transport.abort()
            self._on_closed()

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pumps = [asyncio.ensure_future(self._up(reader)), asyncio.ensure_future(self._down(writer))]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            ends = await asyncio.gather(*pumps, return_exceptions=True)
            for end in ends:
                if isinstance(end, Exception):
                    log.error("a terminal's stream failed", exc_info=end)
            if self._browser is not None:
                close_lingering(self._browser)
            self._outer.transport.abort()
            self._on_closed()

    async def _up(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(ConnectionClosed, ConnectionError):
            while data := await reader.read(_READ_SIZE):
                self._note(data)
                await self._outer.send(data)

    async def _down(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionClosed, ConnectionError):
            async for message in self._outer:
                if isinstance(message, bytes):
                    writer.write(message)
                    await writer.drain()
