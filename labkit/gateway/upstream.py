"""A WebSocket handshake towards the engine (RFC 6455), after which the bare transport is ours.

No frame is ever read here: what comes behind the handshake goes to the browser as it is.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import ssl
from collections.abc import Mapping
from typing import cast
from urllib.parse import urlsplit

import h11

from labkit.cluster.streams import StreamTarget
from labkit.errors import ClusterError, ClusterUnavailable
from labkit.gateway.responses import accept_of
from labkit.gateway.tls import TlsTransport

OPEN_SECONDS = 15.0
"""From the first packet to the end of the handshake."""
_MAX_REFUSAL = 64 * 1024
_PONG = b"\x8a\x80\0\0\0\0"
"""A pong that nobody asked for (RFC 6455, 5.5.3) says nothing. But OpenSSL, once it has read a server's session
tickets, holds 16 KiB to write with until something is written."""


class ClientHandshake:
    """The client's half of the handshake as bytes in, bytes out. Shared by the engine's streams and what is within one.

    `protocol` are the subprotocols to offer, "" for none; `agreed` is the one that the other side has chosen."""

    def __init__(self, host: str, path: str, protocol: str, headers: Mapping[str, str]) -> None:
        self._protocol = protocol
        self.agreed = ""
        self._key = base64.b64encode(secrets.token_bytes(16)).decode()
        self._h11 = h11.Connection(h11.CLIENT)
        self._refusal: h11.Response | None = None
        self._body = b""
        own = {
            "Host": host,
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": self._key,
            "Sec-WebSocket-Version": "13",
        } | ({"Sec-WebSocket-Protocol": protocol} if protocol else {})
        request = h11.Request(method="GET", target=path, headers=[*own.items(), *headers.items()])
        self.request = (self._h11.send(request) or b"") + (self._h11.send(h11.EndOfMessage()) or b"")
        """The bytes to send."""

    def receive(self, data: bytes) -> bytes | None:
        """Take in bytes (b"" for the end). None: more is needed; else the bytes that came behind a good answer.

        Raises ClusterError with the status where the other side refuses, ClusterUnavailable where it talks nonsense.
        """
        try:
            self._h11.receive_data(data)
            while True:
                event = self._h11.next_event()
                if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                    self._check(event)
                    return self._h11.trailing_data[0]
                if isinstance(event, h11.Response):
                    self._refusal = event
                elif isinstance(event, h11.Data):
                    self._body += event.data
                if isinstance(event, h11.EndOfMessage) or len(self._body) > _MAX_REFUSAL:
                    raise self._refused()
                if event is h11.NEED_DATA:
                    return None
                if isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
                    raise ClusterUnavailable("the stream was closed before it began")
        except h11.RemoteProtocolError as error:
            raise ClusterUnavailable("the stream was closed before it began") from error

    def _check(self, event: h11.InformationalResponse) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in event.headers}
        self.agreed = headers.get("sec-websocket-protocol", "")
        good = (
            headers.get("sec-websocket-accept") == accept_of(self._key)
            and self.agreed in ("", *(part.strip() for part in self._protocol.split(",")))
            and "sec-websocket-extensions" not in headers
        )
        if not good:
            raise ClusterUnavailable("the stream was opened in a way that was not asked for")

    def _refused(self) -> ClusterError:
        status = self._refusal.status_code if self._refusal else 502
        try:
            said = json.loads(self._body).get("message")
        except (ValueError, AttributeError):
            said = None
        kind = ClusterUnavailable if status >= 500 else ClusterError
        return kind(str(said or f"the engine answered {status}"), status=status)


class _Opening(asyncio.Protocol):
    """The protocol of the connection while the handshake lasts."""

    def __init__(self, handshake: ClientHandshake, first: bytes) -> None:
        self._handshake = handshake
        self._first = first
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[tuple[asyncio.Transport, bytes]] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._handshake.request)

    def data_received(self, data: bytes) -> None:
        if self.opened.done() or self._transport is None:
            return
        try:
            early = self._handshake.receive(data)
        except ClusterError as error:
            self.opened.set_exception(error)
            return
        if early is not None:
            # Nothing more is read until the browser's side stands too.
            self._transport.pause_reading()
            self._transport.write(self._first)
            self.opened.set_result((self._transport, early))

    def connection_lost(self, error: Exception | None) -> None:
        if self.opened.done():
            return
        try:
            self._handshake.receive(b"")
        except ClusterError as refusal:
            self.opened.set_exception(refusal)
        else:
            self.opened.set_exception(ClusterUnavailable("the stream was closed before it began"))


async def open_stream(target: StreamTarget, protocol: str) -> tuple[asyncio.Transport, bytes]:
    """Open the engine's stream: its transport (reading is paused) and the bytes that came with the handshake.

    Raises ClusterError (the engine refuses; `status` says how), ClusterUnavailable (it cannot be reached in time).
    """
    address = urlsplit(target.url)
    secure = address.scheme == "wss"
    opening = _Opening(
        ClientHandshake(address.netloc, address.path, protocol, target.headers), _PONG if secure else b""
    )
    bare: asyncio.Protocol = opening
    if secure:
        context = target.tls or ssl.create_default_context()
        bare = TlsTransport(context, target.server_hostname or address.hostname, opening)
    transport: asyncio.BaseTransport | None = None
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            port = address.port or (443 if secure else 80)
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: bare, address.hostname or "", port
            )
            return await opening.opened
    except BaseException as error:
        if transport is not None:
            transport.close()
        if isinstance(error, OSError):  # TimeoutError is one
            raise ClusterUnavailable("the engine does not answer") from error
        raise
