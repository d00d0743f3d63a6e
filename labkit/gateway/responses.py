"""What the gateway answers, as values, and the headers that every answer carries. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        # xterm.js writes its colours and its cell size into style elements of its own making.
        "style-src 'self' 'unsafe-inline'",
        # noVNC draws the machine's pointer from data: addresses.
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "frame-ancestors 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)

SECURITY_HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

_WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True)
class Response:
    """A whole answer. `headers` come beside SECURITY_HEADERS, or in their place; `cache` is Cache-Control."""

    status: int
    body: bytes = b""
    type: str = "text/plain; charset=utf-8"
    cache: str = "no-store"
    headers: Mapping[str, str] = field(default_factory=dict)

    def all_headers(self) -> list[tuple[str, str]]:
        """Every header of this answer but the framing ones."""
        own = {"Content-Type": self.type, "Cache-Control": self.cache}
        return list({**SECURITY_HEADERS, **own, **self.headers}.items())


@dataclass(frozen=True)
class Streamed:
    """An answer whose body comes in pieces, each taken when the one before has found room. `headers` are all there
    are: a body without a Content-Length is sent in chunks. `pieces` is closed whatever becomes of the answer."""

    status: int
    headers: list[tuple[str, str]]
    pieces: AsyncGenerator[bytes, None]


def as_json(status: int, value: Mapping[str, object]) -> Response:
    """`value` as JSON."""
    return Response(status, json.dumps(value).encode(), "application/json")


def as_text(status: int, text: str) -> Response:
    """One line of text."""
    return Response(status, f"{text}\n".encode())


def offered(headers: Mapping[str, str]) -> list[str]:
    """The WebSocket subprotocols that a request offers, in its order."""
    return [part.strip() for part in headers.get("sec-websocket-protocol", "").split(",")]


def accept_of(key: str) -> str:
    """The Sec-WebSocket-Accept that answers a Sec-WebSocket-Key (RFC 6455, 4.2.2)."""
    digest = hashlib.sha1((key + _WEBSOCKET_GUID).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def switch_headers(key: str, protocol: str) -> list[tuple[str, str]]:
    """The headers of a 101 answer: the stream's own subprotocol is echoed, never the ticket; no extension."""
    return [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_of(key)),
        *([("Sec-WebSocket-Protocol", protocol)] if protocol else []),
    ]
