"""Requests for panes, passed on to the gateway's socket: a pane page believes only pages of its own origin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import h11

from labkit.gateway.http import Answer, Request, Upgrade
from labkit.gateway.machines import Denied
from labkit.gateway.responses import Streamed

_PIECE = 64 * 1024
_HOP = frozenset(("connection", "keep-alive", "proxy-connection"))
_running: set[asyncio.Task[None]] = set()
"""The event loop itself does not hold on to a task."""


async def passed_on(socket: Path, request: Request) -> Answer:
    """What the gateway behind `socket` answers. Raises Denied (502) where nobody does."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        raise Denied(502, "gateway", "The gateway does not run.") from None
    wire = h11.Connection(h11.CLIENT)
    try:
        await _ask(wire, writer, request)
        while not isinstance(event := wire.next_event(), (h11.Response, h11.InformationalResponse)):
            await _feed(wire, reader)
    except (OSError, h11.ProtocolError):
        writer.close()
        raise Denied(502, "gateway", "The gateway did not answer.") from None
    headers = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
    if isinstance(event, h11.Response):
        kept = [(name, value) for name, value in headers if name not in _HOP]
        return Streamed(event.status_code, kept, _pieces(wire, reader, writer))
    behind = wire.trailing_data[0]
    return Upgrade(headers, lambda browser, early: _join(browser, early, reader, writer, behind), writer.close)


async def _ask(wire: h11.Connection, writer: asyncio.StreamWriter, request: Request) -> None:
    kept = [(name, value) for name, value in request.fields if name.lower() not in _HOP]
    kind = "Upgrade" if "upgrade" in request.headers else "close"
    head = h11.Request(method=request.method, target=request.target, headers=[*kept, ("Connection", kind)])
    writer.write(wire.send(head) or b"")
    if request.body is not None:
        async for piece in request.body:
            writer.write(wire.send(h11.Data(data=piece)) or b"")
            await writer.drain()
    writer.write(wire.send(h11.EndOfMessage()) or b"")


async def _feed(wire: h11.Connection, reader: asyncio.StreamReader) -> None:
    wire.receive_data(await reader.read(_PIECE))


async def _pieces(
    wire: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> AsyncGenerator[bytes, None]:
    try:
        while not isinstance(event := wire.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            else:
                await _feed(wire, reader)
    except h11.ProtocolError as error:
        raise ConnectionResetError("the gateway broke off") from error
    finally:
        writer.close()


def _join(
    browser: asyncio.Transport,
    early: bytes,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    behind: bytes,
) -> None:
    """Pass bytes both ways until one side ends."""
    ours = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(ours)
    browser.set_protocol(protocol)
    protocol.connection_made(browser)
    back = asyncio.StreamWriter(browser, protocol, ours, asyncio.get_running_loop())
    if early:
        ours.feed_data(early)
    back.write(behind)
    browser.resume_reading()
    task = asyncio.create_task(_both((ours, writer), (reader, back)))
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _both(*ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    tasks = [asyncio.create_task(_pump(reader, writer)) for reader, writer in ways]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _, writer in ways:
        writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()
