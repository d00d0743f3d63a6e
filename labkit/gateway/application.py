"""The answers: a request in, a response or a stream out. The order of the checks is access.py's."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Callable

from labkit.cluster.streams import PROTOCOL
from labkit.errors import ClusterError, SetupError
from labkit.gateway import access, pages, responses, routes
from labkit.gateway.access import Denied, MachinePane
from labkit.gateway.engine import Engine
from labkit.gateway.http import Request, Upgrade
from labkit.gateway.keys import TicketKeys
from labkit.gateway.responses import Response
from labkit.gateway.splice import Splice
from labkit.gateway.terminal import TerminalTunnel, open_terminal
from labkit.gateway.tunnels import Tunnel, Tunnels
from labkit.gateway.upstream import open_stream
from labkit.gateway.use import Uses
from labkit.manifests import names
from labkit.model import MachineState, PaneType
from labkit.tickets import HEADER, Ticket

log = logging.getLogger(__name__)


class Application:
    """Everything the gateway answers. `terminal_key` reads the key anew each time: a lab's start may have made it."""

    def __init__(
        self, keys: TicketKeys, engine: Engine, terminal_key: Callable[[], bytes], files: pages.StaticFiles, uses: Uses
    ) -> None:
        self.uses = uses
        self._keys = keys
        self.engine = engine
        self._terminal_key = terminal_key
        self._files = files
        self.tunnels = Tunnels()

    async def __call__(self, request: Request) -> Response | Upgrade:
        """The answer to one request, and its line in the log (which holds no query, header or ticket)."""
        begun = time.monotonic()
        route = routes.route(request.method, request.path)
        try:
            if request.loopback_port:
                access.check_host(request.headers.get("host"))
            answer = await self._answer(route, request)
        except Denied as denied:
            answer = responses.as_json(denied.status, denied.body())
        status = answer.status if isinstance(answer, Response) else 101
        spent = (time.monotonic() - begun) * 1000
        log.info("%s %s %d %.0f ms", request.method[:8], routes.label(route), status, spent)
        return answer

    async def _answer(self, route: routes.Route, request: Request) -> Response | Upgrade:
        match route:
            case routes.Shell():
                return pages.shell()
            case routes.Static(file):
                return self._files.answer(file, request.headers)
            case routes.State(pane):
                return await self._state(pane, request)
            case routes.Stream(pane):
                return await self._stream(pane, request)
            case routes.Alive():
                return responses.as_text(200, "alive")
            case routes.Ready():
                return await self._ready()
            case routes.Refused(status, error, location):
                headers = {"Location": location} if location else {}
                return Response(status, f"{error}\n".encode(), headers=headers)

    async def _ready(self) -> Response:
        if not self._keys.ready:
            raise Denied(503, "keys", "There is no key to verify tickets with yet: start a lab, which makes one.")
        await self.engine.answers()
        return responses.as_text(200, "ready")

    async def _permitted(self, path: routes.PanePath, token: str | None) -> tuple[Ticket, MachinePane]:
        ticket = access.check_ticket(token, path, self._keys.verify)
        access.check_lab(ticket, await self.engine.namespace(path.lab))
        return ticket, access.pane_of(path, await self.engine.machine(path.lab, path.machine))

    async def _state(self, path: routes.PanePath, request: Request) -> Response:
        ticket, pane = await self._permitted(path, request.headers.get(HEADER.lower()))
        body = {
            "type": pane.type.value,
            "title": pane.title,
            "machine": path.machine,
            "pane": path.pane,
            "state": pane.state.value,
            "mode": ticket.mode,
            "streams": self.tunnels.count(path),
        }
        return responses.as_json(200, body)

    async def _stream(self, path: routes.PanePath, request: Request) -> Response | Upgrade:
        key = _websocket_key(request)
        access.check_origin(request.headers.get("origin"), request.headers.get("host"))
        offered = [part.strip() for part in request.headers.get("sec-websocket-protocol", "").split(",")]
        ticket, pane = await self._permitted(path, access.ticket_of(offered))
        access.check_open(path, pane, offered)
        headers = responses.switch_headers(key, offered[0])
        try:
            if pane.type is PaneType.TERMINAL:
                return await self._terminal(path, pane, ticket, headers)
            return await self._spliced(path, pane, ticket, headers)
        except ClusterError as error:
            log.warning("the stream %s of %s cannot be opened: %s", path.pane, path.machine, error)
            state = MachineState.STARTING if pane.type is PaneType.TERMINAL else pane.state
            text = f"The {pane.type} of {path.machine} does not answer yet."
            raise Denied(503, "stream", text, state=state.value) from error
        except SetupError as error:
            log.error("%s", error)
            raise Denied(503, "setup", "The gateway lacks a key; the operator's log says which.") from error

    async def _spliced(
        self, path: routes.PanePath, pane: MachinePane, ticket: Ticket, headers: list[tuple[str, str]]
    ) -> Upgrade:
        target = await self.engine.target(path.lab, path.machine, pane.type.value)
        upstream, early_down = await open_stream(target, PROTOCOL)
        splice = Splice(lambda: self.tunnels.discard(tunnel), self.uses.noting(path.lab, pane.type))
        tunnel = Tunnel(path, ticket, splice.close)

        def attach(browser: asyncio.Transport, early_up: bytes) -> None:
            self.tunnels.add(tunnel)
            splice.start(browser, early_up, upstream, early_down)

        return Upgrade(headers, attach, upstream.abort)

    async def _terminal(
        self, path: routes.PanePath, pane: MachinePane, ticket: Ticket, headers: list[tuple[str, str]]
    ) -> Upgrade:
        secret = names.terminal_secret(self._terminal_key(), path.lab, path.machine)
        port = pane.port or names.TERMINAL_PORT
        target = await self.engine.port(path.lab, path.machine, port, container=pane.container)
        outer, early_down = await open_terminal(target, secret)
        terminal = TerminalTunnel(
            outer, early_down, lambda: self.tunnels.discard(tunnel), self.uses.noting(path.lab, pane.type)
        )
        tunnel = Tunnel(path, ticket, terminal.close)

        def attach(browser: asyncio.Transport, early_up: bytes) -> None:
            self.tunnels.add(tunnel)
            terminal.start(browser, early_up)

        return Upgrade(headers, attach, terminal.close)


def _websocket_key(request: Request) -> str:
    """The Sec-WebSocket-Key of a request that is a WebSocket's opening. Raises Denied (426, 400)."""
    headers = request.headers
    connection = {part.strip().lower() for part in headers.get("connection", "").split(",")}
    asks = headers.get("upgrade", "").lower() == "websocket" and "upgrade" in connection
    if request.method != "GET" or not asks or headers.get("sec-websocket-version") != "13":
        raise Denied(426, "", "This address is a WebSocket, version 13.")
    key = headers.get("sec-websocket-key", "")
    try:
        if len(base64.b64decode(key, validate=True)) == 16:
            return key
    except binascii.Error:
        pass
    raise Denied(400, "", "The WebSocket's key is malformed.")
