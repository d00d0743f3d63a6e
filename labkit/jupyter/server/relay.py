"""Panes below Jupyter's address: Jupyter's login is asked for, then the connection is handed to the gateway, unread.

A request's head is read by Tornado, and judged: who is not signed in gets no further, nor does a change that a foreign
page asks for. Then the stream is detached from Tornado, and the connection itself is handed to this user's gateway,
with the head but without Jupyter's own rights: bodies and WebSockets then cost Jupyter nothing, and it can hold up
none. The gateway of a service cannot be handed anything: both connections are joined. Either way, what the gateway
refuses (403, 404, 409) is refused before an upgrade.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from typing import cast
from urllib.parse import urlsplit

from jupyter_server.base.handlers import JupyterHandler
from tornado import web
from tornado.iostream import IOStream, StreamClosedError

from labkit import app
from labkit.errors import LabkitError
from labkit.gateway.access import check_change, check_origin
from labkit.gateway.machines import Denied
from labkit.jupyter.proxy import RIGHTS
from labkit.jupyter.server.ways import Way, way
from labkit.settings import Settings

_KEPT_BACK = frozenset({*map(str.lower, RIGHTS), "x-xsrftoken", "connection"})
_EARLY = 1 << 20
_NOT_TAKEN = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")


@web.stream_request_body
class PaneHandler(JupyterHandler):
    """Everything of a pane or of a machine's files, below Jupyter's address."""

    def initialize(self, settings: Settings) -> None:
        self._settings = settings

    async def prepare(self) -> None:  # type: ignore[override]
        """Everything is done here: the body has not been read yet."""
        await super().prepare()
        web.authenticated(_signed_in)(self)  # 403, or the way to the login page
        if self._finished:
            return
        if self.request.method not in _METHODS:
            raise web.HTTPError(405)
        self._judge_origin()
        head, gateway = self._head(), await self._dial()
        try:
            client, early = await _taken(self.detach())
        except (OSError, StreamClosedError) as error:
            self.log.debug("labkit: a pane's client has gone: %s", error)
            await gateway.drop()
            return
        try:
            await gateway.take(client, head + early)
        except OSError as error:
            self.log.warning("labkit: the gateway did not take a pane's connection: %s", error)
            await gateway.drop()
            with client, contextlib.suppress(OSError):
                client.send(_NOT_TAKEN)

    def _judge_origin(self) -> None:
        """A page of another origin opens nothing. Judged here too, as a service is told its own origin. Raises 403."""
        if origin := self.request.headers.get("Origin"):
            try:
                check_origin(origin, self.request.host)
            except Denied as denied:
                raise web.HTTPError(403, str(denied)) from denied

    def check_xsrf_cookie(self) -> None:
        """The pane pages' own proof: a header that no form can send, and the same origin. As the gateway wants it."""
        if not hasattr(self, "_jupyter_current_user"):
            return  # Tornado asks before it is known who this is; it is asked again
        try:
            check_change({name.lower(): value for name, value in self.request.headers.items()})
        except Denied as denied:
            raise web.HTTPError(403, str(denied)) from denied

    def get_login_url(self) -> str:
        """A page leads to the login page; a stream or a call is refused."""
        if not self.request.path.endswith("/") or "Upgrade" in self.request.headers:
            raise web.HTTPError(403)
        return str(super().get_login_url())

    def data_received(self, chunk: bytes) -> None:
        """Only of a request that was refused: nobody needs it."""

    # Named so that Jupyter's check of who may call what finds them; `prepare` has answered before any is called.
    async def get(self, path: str) -> None:
        raise web.HTTPError(404)

    head = post = put = delete = get

    async def _dial(self) -> Way:
        """A way to the gateway, which is started where it sleeps. Raises 503."""
        with contextlib.suppress(OSError):
            return await way(self._settings)
        try:
            await asyncio.to_thread(app.wake, self._settings)
            return await way(self._settings)
        except (OSError, LabkitError) as error:
            raise web.HTTPError(
                503, f"{self._settings.url or 'the gateway of labkit'} does not answer: {error}"
            ) from error

    def _head(self) -> bytes:
        """The request's head as the gateway gets it: without Jupyter's prefix, rights and tokens."""
        # As it came, still escaped: what is behind an escape must not become part of the head.
        path = self.request.path[len(self.base_url.rstrip("/") + "/labkit") :]
        query = "&".join(pair for pair in self.request.query.split("&") if pair and not pair.startswith("token="))
        upgrade = "upgrade" in self.request.headers.get("Connection", "").lower()
        root = urlsplit(self._settings.url).path.rstrip("/")
        lines = [f"{self.request.method} {root}{path}{'?' + query if query else ''} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in self._passed()]
        # One request for each connection: a second one would reach the gateway unjudged, with all rights to Jupyter.
        lines.append(f"Connection: {'Upgrade, close' if upgrade else 'close'}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def _passed(self) -> Iterable[tuple[str, str]]:
        service = urlsplit(self._settings.url)
        own = {"host": service.netloc, "origin": f"{service.scheme}://{service.netloc}"} if service.netloc else {}
        for name, value in self.request.headers.get_all():
            if name.lower() not in _KEPT_BACK:
                yield name, own.get(name.lower(), value)


def _signed_in(handler: web.RequestHandler) -> None:
    """What is reached by who is."""


async def _taken(stream: IOStream) -> tuple[socket.socket, bytes]:
    """A stream's socket, taken out of Tornado's hands, with what had already been read of it.

    Raises StreamClosedError where the client has gone.
    """
    early = cast("asyncio.Future[bytes]", stream.read_bytes(_EARLY, partial=True))  # done at once where there is any
    try:
        read = early.result() if early.done() else b""
        if stream.closed():
            raise StreamClosedError
        own: socket.socket = stream.socket.dup()
    finally:
        stream.close()
        with contextlib.suppress(StreamClosedError, asyncio.CancelledError):
            await early
    return own, read
