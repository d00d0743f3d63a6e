"""A machine's ttyd, reached through the engine's portforward: a WebSocket within a WebSocket.

The outer one ends here and at the engine; its messages carry a byte stream. The inner one is the browser's own with
ttyd: only its opening handshake is ours (it holds the machine's secret, which no browser sees), its frames pass unread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from websockets.exceptions import ConnectionClosed

from labkit.cluster.portforward import Stream
from labkit.errors import ClusterUnavailable
from labkit.gateway.splice import WRITE_HIGH, close_lingering
from labkit.gateway.tunnels import Tunnel
from labkit.gateway.upstream import OPEN_SECONDS, ClientHandshake

log = logging.getLogger(__name__)

_READ_SIZE = 64 * 1024


def terminal_handshake(secret: str) -> ClientHandshake:
    """What ttyd is asked. A Host of its own: ttyd is no part of any site."""
    return ClientHandshake("terminal", f"/{secret}/ws", "tty", {})


async def greet(opening: Awaitable[Stream], handshake: ClientHandshake) -> tuple[Stream, bytes]:
    """A WebSocket within a stream to a port: the stream and the bytes that came with the handshake.

    Raises ClusterUnavailable where nothing answers there (yet), ClusterError where the engine or the server refuses.
    """
    outer = await opening
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            return outer, await _greet(outer, handshake)
    except (OSError, ConnectionClosed) as error:  # TimeoutError is an OSError
        outer.transport.abort()
        raise ClusterUnavailable("nothing answers on the machine's port") from error
    except BaseException:
        outer.transport.abort()
        raise


async def _greet(outer: Stream, handshake: ClientHandshake) -> bytes:
    await outer.send(handshake.request)
    while True:
        message = await outer.recv()
        if isinstance(message, bytes) and message:
            early = handshake.receive(message)
            if early is not None:
                return early


class TerminalTunnel:
    """Browser and stream joined by two pumps; the first to end closes both. `on_closed` is called once, and `note`
    with every piece from the browser."""

    def __init__(
        self,
        tunnel: Tunnel,
        outer: Stream,
        early: bytes,
        on_closed: Callable[[], None],
        note: Callable[[bytes], None],
    ) -> None:
        self._tunnel = tunnel
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
        if self._early:
            self._tunnel.sent_down(self._early)
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
                wait = self._tunnel.sent_up(len(data))
                await self._outer.send(data)
                if wait:
                    await asyncio.sleep(wait)

    async def _down(self, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionClosed, ConnectionError):
            async for message in self._outer:
                if isinstance(message, bytes):
                    wait = self._tunnel.sent_down(message)
                    writer.write(message)
                    await writer.drain()
                    if wait:
                        await asyncio.sleep(wait)
