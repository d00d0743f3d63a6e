"""TLS towards the engine: bytes pass whole in both directions, a reader that stops is waited for, and an engine that
cannot show who it is is told nothing."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import uvloop
from gateway_certificate import certificate

from labkit.gateway.tls import TlsTransport

DATA = bytes(range(256)) * 16 * 1024
Answers = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Reader(asyncio.Protocol):
    """Remembers what it is told; after each piece it lets others go first, as a pane does."""

    def __init__(self) -> None:
        self.data, self.made, self.ended = bytearray(), asyncio.Event(), asyncio.Event()
        self.transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.made.set()

    def data_received(self, data: bytes) -> None:
        self.data += data
        assert isinstance(self.transport, TlsTransport)
        self.transport.pause_reading()
        asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set()


@contextlib.asynccontextmanager
async def connected(folder: Path, answers: Answers, *, trusted: bool = True) -> AsyncIterator[Reader]:
    """A connection to a server with TLS that answers so."""
    chain, key = certificate(folder, "engine.example")
    server_side, ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    server_side.load_cert_chain(chain, key)
    if trusted:
        ours.load_verify_locations(chain)
    reader = Reader()
    async with await asyncio.start_server(answers, "127.0.0.1", 0, ssl=server_side) as server, asyncio.timeout(20):
        port = server.sockets[0].getsockname()[1]
        tls = TlsTransport(ours, "engine.example", reader)
        await asyncio.get_running_loop().create_connection(lambda: tls, "127.0.0.1", port)
        yield reader
        tls.close()
        await reader.ended.wait()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back four megabytes, and say good-bye."""
    writer.write(await reader.readexactly(len(DATA)))
    await writer.drain()
    writer.close()


def test_bytes_pass_whole_until_the_other_side_says_good_bye(tmp_path: Path) -> None:
    async def talk() -> bytes:
        async with connected(tmp_path, echo) as reader:
            await reader.made.wait()
            assert isinstance(reader.transport, TlsTransport)
            reader.transport.write(DATA)
            await reader.ended.wait()
            return bytes(reader.data)

    assert uvloop.run(talk()) == DATA


def test_who_cannot_show_that_he_is_the_engine_is_told_nothing(tmp_path: Path) -> None:
    async def talk() -> bool:
        async with connected(tmp_path, echo, trusted=False) as reader:
            await reader.ended.wait()
            return reader.made.is_set()

    assert not uvloop.run(talk())
