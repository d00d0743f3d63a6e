"""HTTP/1.1 over asyncio with h11, on transports that can be let go of.

A `Connection` reads requests, has each answered by `handle`, and, where the answer is an `Upgrade`, sends 101 and hands
its transport over, with the bytes that had already arrived. It knows no route and no ticket.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

import h11

from labkit.gateway.responses import Response, as_text

log = logging.getLogger(__name__)

MAX_HEADERS = 16 * 1024
"""Bytes of request line and headers together; more is answered 431."""
HEADER_SECONDS = 5.0
"""From the first byte of a connection, or of its next request, to the end of the headers."""
IDLE_SECONDS = 60.0
"""A kept connection without a request is closed after this."""
WRITE_SECONDS = 60.0
"""A client that takes longer to read an answer is cut off."""


@dataclass(frozen=True)
class Request:
    """One request without a body. `path` has no query; header names are lower case.

    `loopback_port` says by which listener it came: the port, which every user of the machine can reach, or the socket.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    loopback_port: bool = False


@dataclass(frozen=True)
class Upgrade:
    """An answer that takes the transport over. `attach(transport, early)` gets it with bytes that came early;
    `abandon` is called instead where the client had gone."""

    headers: list[tuple[str, str]]
    attach: Callable[[asyncio.Transport, bytes], None]
    abandon: Callable[[], None]


Handler = Callable[[Request], Awaitable[Response | Upgrade]]


class Connection(asyncio.Protocol):
    """One client's connection. `open_connections` is the set in which it counts itself, for a graceful end."""

    def __init__(self, handle: Handler, open_connections: set[Connection], *, loopback_port: bool) -> None:
        self._handle = handle
        self._open = open_connections
        self._loopback_port = loopback_port
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADERS)
        self._request: Request | None = None
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    # The protocol's side: bytes in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._open.add(self)
        self._abort_after(HEADER_SECONDS)

    def connection_lost(self, error: Exception | None) -> None:
        self._leave()
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._h11.their_state is h11.IDLE and not self._h11.trailing_data[0]:
            self._abort_after(HEADER_SECONDS)
        self._h11.receive_data(data)
        self._advance()

    def eof_received(self) -> bool:
        return False

    @property
    def answering(self) -> asyncio.Task[None] | None:
        """The answer under way, if one is."""
        return self._task

    def close_idle(self) -> None:
        """Close, unless a request is being answered: that one closes behind its answer."""
        if self._transport is not None and self._task is None:
            self._transport.close()

    def _advance(self) -> None:
        """Take in whole requests. One at a time: reading stops while one is answered."""
        try:
            while self._task is None:
                event = self._h11.next_event()
                if isinstance(event, h11.Request):
                    self._request = self._read(event)
                elif isinstance(event, h11.EndOfMessage) and self._request is not None:
                    self._start(self._request)
                elif isinstance(event, h11.Data):
                    raise h11.RemoteProtocolError("a request here has no body", error_status_hint=400)
                else:  # NEED_DATA, PAUSED, ConnectionClosed
                    return
        except h11.RemoteProtocolError as error:
            self._refuse(error)

    def _read(self, event: h11.Request) -> Request:
        headers: dict[str, str] = {}
        for raw_name, raw_value in event.headers:
            name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        path = event.target.decode("ascii").partition("?")[0]
        return Request(event.method.decode("ascii"), path, headers, self._loopback_port)

    def _start(self, request: Request) -> None:
        self._cancel_timer()
        if self._transport is not None:
            self._transport.pause_reading()
        self._task = asyncio.get_running_loop().create_task(self._answer(request))

    # The answer's side: bytes out

    async def _answer(self, request: Request) -> None:
        try:
            answer = await self._handle(request)
        except Exception:
            log.exception("a request could not be answered")
            answer = as_text(500, "The gateway failed at this; its log says why.")
        if self._transport is None or self._transport.is_closing():
            if isinstance(answer, Upgrade):
                answer.abandon()
            return
        if isinstance(answer, Upgrade):
            self._switch(answer)
            return
        self._send(answer, head=request.method == "HEAD")
        self._task = None
        self._next()

    def _send(self, answer: Response, *, head: bool = False) -> None:
        headers = [*answer.all_headers(), ("Content-Length", str(len(answer.body)))]
        self._write(h11.Response(status_code=answer.status, headers=headers))
        if answer.body and not head:
            self._write(h11.Data(data=answer.body))
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
            self._transport.close()
            return
        self._h11.start_next_cycle()
        self._request = None
        self._transport.resume_reading()
        self._advance()

    def _switch(self, upgrade: Upgrade) -> None:
        """Send 101 and let go: from here on no byte passes through h11."""
        if self._transport is None:
            upgrade.abandon()
            return
        self._write(h11.InformationalResponse(status_code=101, headers=upgrade.headers))
        early, _ = self._h11.trailing_data
        transport = self._transport
        self._task = None
        self._leave()
        upgrade.attach(transport, early)

    def _refuse(self, error: h11.RemoteProtocolError) -> None:
        if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._send(as_text(error.error_status_hint, "The request could not be read."))
        if self._transport is not None:
            self._abort_after(WRITE_SECONDS)
            self._transport.close()

    # Its end

    def _abort_after(self, seconds: float) -> None:
        self._cancel_timer()
        if self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._transport.abort)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _leave(self) -> None:
        self._cancel_timer()
        self._open.discard(self)
        self._transport = None
