"""The web application behind the gateway, so that there is one port: what is no page of ours is passed to its socket.

The socket can be opened by this user alone, so the application may believe what it is told here of the outside: the
address that browsers see is the setting `public_url`, never what a request says.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from labkit.errors import ClusterUnavailable
from labkit.gateway.dial import TcpStream
from labkit.gateway.exchange import Exchange, Exchanged
from labkit.gateway.forwarding import Fields, for_next_hop
from labkit.gateway.http import Request
from labkit.gateway.machines import Denied
from labkit.gateway.responses import Streamed

_OPEN_SECONDS = 10.0


class _Unpaced:
    """What an exchange counts, not counted."""

    def sent_up(self, size: int) -> float:
        return 0.0

    def sent_down(self, data: bytes) -> float:
        return 0.0


class Front:
    """The way to the web application. `public_url` is where browsers find it all, "" where that is this port."""

    def __init__(self, socket: Path, public_url: str) -> None:
        self._socket = socket
        parts = urlsplit(public_url)
        self._scheme, self.host, self.prefix = parts.scheme, parts.netloc, parts.path.rstrip("/")

    def within(self, request: Request) -> Request:
        """The request, without the prefix below which a proxy in front shows all this."""
        if not self.prefix or not request.path.startswith(f"{self.prefix}/"):
            return request
        cut = len(self.prefix)
        return replace(request, path=request.path[cut:], target=request.target[cut:])

    async def answer(self, request: Request) -> Streamed:
        """What the web application answers. Raises Denied (502) where it does not."""
        found = await self._ask(request.method, request.target, self._told(request), request)
        return Streamed(found.status, for_next_hop(found.fields), found.pieces)

    async def ready(self) -> None:
        """Raises Denied (503) where the web application is not ready."""
        found = await self._ask("GET", "/readyz", [("Host", self.host or "localhost")])
        await found.pieces.aclose()
        if found.status != 200:
            raise Denied(503, "web", "The web application is not ready.")

    async def _ask(self, method: str, target: str, fields: Fields, request: Request | None = None) -> Exchanged:
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                stream = TcpStream(*await asyncio.open_unix_connection(str(self._socket)))
            return await Exchange(stream, _Unpaced()).run(method, target, fields, request.body if request else None)
        except (OSError, ClusterUnavailable) as error:  # TimeoutError is an OSError
            raise Denied(502, "web", "The web application does not answer: try again in a moment.") from error

    def _told(self, request: Request) -> Fields:
        """The request's headers, and what is known of the outside. Of the addresses that it came by, only the last was
        written by the proxy in front."""
        host = self.host or request.headers.get("host", "")
        last = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip() if self.host else ""
        outside = {"For": last or "127.0.0.1", "Proto": self._scheme or "http", "Host": host, "Prefix": self.prefix}
        told = [(f"X-Forwarded-{name}", value) for name, value in outside.items() if value]
        return [*for_next_hop(request.fields), *told]
