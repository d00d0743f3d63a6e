"""The streams' handler: a WebSocket from a browser, joined to what the pane is of."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable

from labkit.cluster.streams import PROTOCOL
from labkit.errors import ClusterError, SetupError
from labkit.gateway import access, responses
from labkit.gateway.application import Asked
from labkit.gateway.engine import Engine
from labkit.gateway.http import Request, Upgrade
from labkit.gateway.machines import Denied
from labkit.gateway.splice import Splice
from labkit.gateway.terminal import TerminalTunnel, open_terminal
from labkit.gateway.tunnels import Tunnel, Tunnels
from labkit.gateway.upstream import open_stream
from labkit.gateway.use import Uses
from labkit.manifests import names
from labkit.model import MachineState, PaneType

log = logging.getLogger(__name__)

Headers = list[tuple[str, str]]


class Streams:
    """Opens streams. `terminal_key` reads the key anew each time: a lab's start may have made it."""

    def __init__(self, engine: Engine, terminal_key: Callable[[], bytes], tunnels: Tunnels, uses: Uses) -> None:
        self._engine = engine
        self._terminal_key = terminal_key
        self._tunnels = tunnels
        self._uses = uses

    async def open(self, asked: Asked) -> Upgrade:
        """The handler of the row `stream`. Raises Denied."""
        key, offered = websocket_key(asked.request), responses.offered(asked.request.headers)
        path, pane = asked.match.pane, asked.pane
        access.check_open(path, pane, offered)
        if asked.ticket.mode != "control":
            raise Denied(403, "view", "This ticket is for watching only.")
        headers = responses.switch_headers(key, offered[0])
        try:
            if pane.type is PaneType.TERMINAL:
                return await self._terminal(asked, headers)
            return await self._spliced(asked, headers)
        except ClusterError as error:
            log.warning("the stream %s of %s cannot be opened: %s", path.pane, path.machine, error)
            state = MachineState.STARTING if pane.type is PaneType.TERMINAL else pane.state
            text = f"The {pane.type} of {path.machine} does not answer yet."
            raise Denied(503, "stream", text, state=state.value) from error
        except SetupError as error:
            log.error("%s", error)
            raise Denied(503, "setup", "The gateway lacks a key; the operator's log says which.") from error

    async def _spliced(self, asked: Asked, headers: Headers) -> Upgrade:
        path, pane = asked.match.pane, asked.pane
        target = await self._engine.target(path.lab, path.machine, pane.type.value)
        upstream, early_down = await open_stream(target, PROTOCOL)
        splice = Splice(lambda: self._tunnels.discard(tunnel), self._uses.noting(path.lab, pane.type))
        tunnel = Tunnel(path, asked.ticket, splice.close)

        def attach(browser: asyncio.Transport, early_up: bytes) -> None:
            self._tunnels.add(tunnel)
            splice.start(browser, early_up, upstream, early_down)

        return Upgrade(headers, attach, upstream.abort)

    async def _terminal(self, asked: Asked, headers: Headers) -> Upgrade:
        path, pane = asked.match.pane, asked.pane
        secret = names.terminal_secret(self._terminal_key(), path.lab, path.machine)
        port = pane.port or names.TERMINAL_PORT
        target = await self._engine.port(path.lab, path.machine, port, container=pane.container)
        outer, early_down = await open_terminal(target, secret)
        terminal = TerminalTunnel(
            outer, early_down, lambda: self._tunnels.discard(tunnel), self._uses.noting(path.lab, pane.type)
        )
        tunnel = Tunnel(path, asked.ticket, terminal.close)

        def attach(browser: asyncio.Transport, early_up: bytes) -> None:
            self._tunnels.add(tunnel)
            terminal.start(browser, early_up)

        return Upgrade(headers, attach, terminal.close)


def websocket_key(request: Request) -> str:
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
