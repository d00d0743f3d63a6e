"""HTTP/1.1 over asyncio with h11, on transports that can be let go of.

A `Connection` reads requests, has each answered by `handle`, and, where the answer is an `Upgrade`, sends 101 and hands
its transport over, with the bytes that had already arrived. It knows no route and no ticket. Bodies pass in pieces in
both directions: nothing is read that nobody waits for, nothing is produced that nobody takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import h11

from labkit.gateway.responses import Response, Streamed, as_text

log = logging.getLogger(__name__)

MAX_HEADERS = 16 * 1024
"""Bytes of request line and headers together; more is answered 431."""
HEADER_SECONDS = 5.0
"""From the first byte of a connection, or of its next request, to the end of the headers."""
IDLE_SECONDS = 60.0
"""A kept connection without a request, and a body of which nothing comes, are given up after this."""
DRAIN_SECONDS = 10.0
"""How long what comes of a refused body is read, and thrown away."""
WRITE_SECONDS = 60.0
"""A client that takes longer to read on is cut off."""
_AHEAD = 64 * 1024
"""Bytes of a next request, or of a body that nobody reads yet, that are kept."""
_ONCE = {"host", "origin", "content-length", "transfer-encoding", "upgrade", "sec-websocket-key", "labkit-ticket"} | {
    "sec-websocket-version",
    "labkit-request",
    "sec-fetch-site",
    "sec-fetch-mode",
}
"""Headers that decide something: two of one would be read differently by different readers."""


@dataclass(frozen=True)
class Request:
    """One request. `path` has no query (`target` has); header names are lower case, `fields` has them as they came.

    `loopback_port` says by which listener it came: the port, which every user of the machine can reach, or the socket.
    `body` gives the body's pieces, once; it is None where there is none.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    loopback_port: bool = False
    target: str = ""
    fields: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: AsyncIterator[bytes] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Upgrade:
    """An answer that takes the transport over. `attach(transport, early)` gets it with bytes that came early;
    `abandon` is called instead where the client had gone."""

    headers: list[tuple[str, str]]
    attach: Callable[[asyncio.Transport, bytes], None]
    abandon: Callable[[], None]


Answer = Response | Streamed | Upgrade
Handler = Callable[[Request], Awaitable[Answer]]


class Connection(asyncio.Protocol):
    """One client's connection, of which `beginning` was read before. `open_connections` is the set in which it counts
    itself, for a graceful end."""

    def __init__(
        self, handle: Handler, open_connections: set[Connection], *, loopback_port: bool, beginning: bytes = b""
    ) -> None:
        self._beginning = beginning
        self._handle = handle
        self._open = open_connections
        self._loopback_port = loopback_port
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADERS)
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._draining = False
        self._more = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    # The protocol's side: bytes in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)
        self._abort_after(HEADER_SECONDS)
        if self._beginning:
            self.data_received(self._beginning)

    def _late(self) -> None:
        """What was waited for did not come. That headers do not end is worth a line, that nothing comes is none."""
        if self._transport is not None:
            if self._h11.their_state is h11.IDLE and self._h11.trailing_data[0]:
                log.info("refused: the request did not come in time")
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._draining:
            return
        if self._h11.their_state is h11.IDLE and not self._h11.trailing_data[0] and self._task is None:
            self._abort_after(HEADER_SECONDS)
        self._h11.receive_data(data)
        self._more.set()
        if self._task is None:
            self._advance()
        elif len(self._h11.trailing_data[0]) > _AHEAD and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    @property
    def answering(self) -> asyncio.Task[None] | None:
        """The answer under way, if one is."""
        return self._task

    def close_idle(self) -> None:
        """Close, unless a request is being answered: that one closes behind its answer."""
        if self._transport is not None and self._task is None:
            self._transport.close()

    def _advance(self) -> None:
        """Take in a request: one at a time, the next one waits until this one is answered."""
        try:
            event = self._h11.next_event()
            if isinstance(event, h11.Request):
                self._start(self._read(event))
        except h11.RemoteProtocolError as error:
            self._refuse(error)

    def _read(self, event: h11.Request) -> Request:
        fields = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in event.headers.raw_items())
        headers: dict[str, str] = {}
        for raw_name, value in fields:
            name = raw_name.lower()
            if name in headers and name in _ONCE:
                raise h11.RemoteProtocolError(f"two headers {name}", error_status_hint=400)
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        if "transfer-encoding" in headers and ("content-length" in headers or event.http_version != b"1.1"):
            raise h11.RemoteProtocolError("a body framed in two ways", error_status_hint=400)
        target = event.target.decode("ascii")
        framed = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"
        body = self._body() if framed else None
        return Request(
            event.method.decode("ascii"), target.partition("?")[0], headers, self._loopback_port, target, fields, body
        )

    async def _body(self) -> AsyncIterator[bytes]:
        """The body's pieces. Raises h11.RemoteProtocolError for a malformed one, TimeoutError for one that stops."""
        if self._h11.they_are_waiting_for_100_continue:
            self._write(h11.InformationalResponse(status_code=100, headers=[]))
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            elif event is h11.NEED_DATA and self._transport is not None:
                self._more.clear()
                self._transport.resume_reading()
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._more.wait()
            else:
                raise h11.RemoteProtocolError("the body ended too early")

    def _start(self, request: Request) -> None:
        self._cancel_timer()
        if request.body is None:
            self._h11.next_event()  # EndOfMessage: there is no body
        self._task = asyncio.get_running_loop().create_task(self._answer(request))

    # The answer's side: bytes out

    async def _answer(self, request: Request) -> None:
        try:
            answer = await self._handle(request)
        except h11.RemoteProtocolError as error:
            answer = as_text(error.error_status_hint, "The request could not be read.")
        except TimeoutError:
            answer = as_text(408, "The request did not come in time.")
        except Exception:
            log.exception("a request could not be answered")
            answer = as_text(500, "The gateway failed at this; its log says why.")
        if isinstance(answer, Upgrade):
            self._switch(answer)
            return
        try:
            if isinstance(answer, Streamed):
                await self._stream(answer)
            else:
                self._send(answer, head=request.method == "HEAD")
        except (OSError, h11.LocalProtocolError) as error:  # TimeoutError is an OSError
            log.warning("an answer was broken off: %s", error)
            if self._transport is not None:
                self._transport.abort()
        self._task = None
        self._next()

    def _send(self, answer: Response, *, head: bool = False) -> None:
        last = self._last_word()
        with contextlib.suppress(h11.RemoteProtocolError):
            while self._h11.their_state is h11.SEND_BODY and isinstance(self._h11.next_event(), h11.Data):
                pass  # what has come of a body that nobody wanted is put away
        headers = [*answer.all_headers(), ("Content-Length", str(len(answer.body))), *last]
        self._write(h11.Response(status_code=answer.status, headers=headers))
        if answer.body and not head:
            self._write(h11.Data(data=answer.body))
        self._write(h11.EndOfMessage())

    async def _stream(self, answer: Streamed) -> None:
        async with contextlib.aclosing(answer.pieces) as pieces:
            self._write(h11.Response(status_code=answer.status, headers=[*answer.headers, *self._last_word()]))
            async for piece in pieces:
                self._write(h11.Data(data=piece))
                if not self._writable.is_set():
                    async with asyncio.timeout(WRITE_SECONDS):
                        await self._writable.wait()
        self._write(h11.EndOfMessage())

    def _write(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        if data and self._transport is not None:
            self._transport.write(data)

    def _next(self) -> None:
        """Wait for the next request on this connection, or close it where it cannot be kept."""
        if self._transport is None:
            return
        self._abort_after(WRITE_SECONDS if self._transport.get_write_buffer_size() else IDLE_SECONDS)
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            self._close(self._transport)
            return
        self._h11.start_next_cycle()
        self._transport.resume_reading()
        self._advance()

    def _last_word(self) -> list[tuple[str, str]]:
        """The header that makes an answer the connection's last, where the request's body is still under way."""
        return [("Connection", "close")] if self._h11.their_state is h11.SEND_BODY else []

    def _close(self, transport: asyncio.Transport) -> None:
        """Close; while a body is still under way, only once its sender does, or after DRAIN_SECONDS: sooner, the answer
        would be lost to who has not read it yet."""
        if self._h11.their_state is h11.SEND_BODY:
            self._draining = True
            self._abort_after(DRAIN_SECONDS)
            transport.resume_reading()
        else:
            transport.close()

    def _switch(self, upgrade: Upgrade) -> None:
        """Send 101 and let go: from here on no byte passes through h11."""
        if self._transport is None or self._transport.is_closing():
            upgrade.abandon()
            return
        self._write(h11.InformationalResponse(status_code=101, headers=upgrade.headers))
        early, _ = self._h11.trailing_data
        transport = self._transport
        self._task = None
        self._leave()
        transport.pause_reading()
        upgrade.attach(transport, early)

    def _refuse(self, error: h11.RemoteProtocolError) -> None:
        log.info("refused %d: %s", error.error_status_hint, "the request could not be read")
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send(as_text(error.error_status_hint, "The request could not be read."))
        if self._transport is not None:
            self._abort_after(WRITE_SECONDS)
            self._transport.close()

    # Its end

    def _abort_after(self, seconds: float) -> None:
        self._cancel_timer()
        if self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._late)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _leave(self) -> None:
        self._cancel_timer()
        self._open.discard(self)
        self._transport = None
