"""The streams' handler: a WebSocket from a browser, joined to what the pane is of."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable

from labkit.cluster.portforward import Stream
from labkit.cluster.streams import PROTOCOL
from labkit.errors import ClusterError, SetupError
from labkit.gateway import access, responses
from labkit.gateway.application import Asked
from labkit.gateway.cast import Watcher
from labkit.gateway.dial import Dial
from labkit.gateway.engine import Engine
from labkit.gateway.http import Request, Upgrade
from labkit.gateway.machines import Denied, MachinePane
from labkit.gateway.routes import PanePath
from labkit.gateway.splice import Splice
from labkit.gateway.terminal import TerminalTunnel, greet, terminal_handshake
from labkit.gateway.tunnels import Tunnel, Tunnels
from labkit.gateway.upstream import open_stream
from labkit.gateway.use import Uses
from labkit.manifests import names
from labkit.model import MachineState, PaneType

log = logging.getLogger(__name__)

Headers = list[tuple[str, str]]
Note = Callable[[bytes], None]


class Streams:
    """Opens streams. `terminal_key` reads the key anew each time: a lab's start may have made it."""

    def __init__(
        self, engine: Engine, dial: Dial, terminal_key: Callable[[], bytes], tunnels: Tunnels, uses: Uses
    ) -> None:
        self._engine = engine
        self._dial = dial
        self._terminal_key = terminal_key
        self._tunnels = tunnels
        self._uses = uses

    async def open(self, asked: Asked) -> Upgrade:
        """The handler of the row `stream`. Raises Denied."""
        key, offered = websocket_key(asked.request), responses.offered(asked.request.headers)
        path, pane = asked.match.pane, asked.pane
        access.check_open(path, pane, offered)
        headers = responses.switch_headers(key, offered[0])
        if asked.ticket.mode != "control":
            return self._watched(asked, headers)
        return await self.joined(asked, headers)

    def _watched(self, asked: Asked, headers: Headers) -> Upgrade:
        """What somebody else's stream shows. Nothing is opened at the machine."""
        path, kind = asked.match.pane, asked.pane.type
        if kind is PaneType.VNC:
            raise Denied(403, "view", "This ticket is for watching: a screen is watched by its screenshots.")
        cast = next((tunnel.cast for tunnel in reversed(self._tunnels.of(path)) if tunnel.cast is not None), None)
        if cast is None:
            text = "Nobody has this pane open: there is nothing to watch yet."
            raise Denied(409, "unwatched", text, state=asked.pane.state.value)
        tunnel = self._tunnels.enter(path, asked.ticket, kind)

        def leave() -> None:
            self._tunnels.leave(tunnel)

        def attach(browser: asyncio.Transport, early: bytes) -> None:
            tunnel.close = browser.close
            browser.set_protocol(Watcher(browser, cast, leave))
            browser.resume_reading()

        return Upgrade(headers, attach, leave)

    async def joined(self, asked: Asked, headers: Headers) -> Upgrade:
        """A stream of its own to the machine. Raises Denied."""
        path, pane = asked.match.pane, asked.pane
        tunnel = self._tunnels.enter(path, asked.ticket, pane.type)
        try:
            return await self._opened(path, pane, tunnel, headers)
        except ClusterError as error:
            log.warning("the stream %s of %s cannot be opened: %s", path.pane, path.machine, error)
            own = pane.type in (PaneType.CONSOLE, PaneType.VNC)
            text = f"The {pane.type} of {path.machine} does not answer yet."
            state = pane.state if own else MachineState.STARTING
            self._tunnels.leave(tunnel)
            raise Denied(503, "stream", text, state=state.value) from error
        except SetupError as error:
            log.error("%s", error)
            self._tunnels.leave(tunnel)
            raise Denied(503, "setup", "The gateway lacks a key; the operator's log says which.") from error
        except BaseException:
            self._tunnels.leave(tunnel)
            raise

    async def _opened(self, path: PanePath, pane: MachinePane, tunnel: Tunnel, headers: Headers) -> Upgrade:
        note = self._uses.noting(path.lab, pane.type)
        if pane.type in (PaneType.VNC, PaneType.CONSOLE):
            target = await self._engine.target(path.lab, path.machine, pane.type.value)
            upstream, early = await open_stream(target, PROTOCOL)
            return spliced(tunnel, upstream, early, note, headers, lambda: self._tunnels.leave(tunnel))
        if pane.type is PaneType.EXEC:
            outer, early = await self._dial.shell(path), b""
        else:
            secret = names.terminal_secret(self._terminal_key(), path.lab, path.machine)
            opening = self._dial.port(path, pane, pane.port or names.TERMINAL_PORT)
            outer, early = await greet(opening, terminal_handshake(secret))
        return pumped(tunnel, outer, early, note, headers, lambda: self._tunnels.leave(tunnel))


def spliced(
    tunnel: Tunnel, upstream: asyncio.Transport, early: bytes, note: Note, headers: Headers, leave: Callable[[], None]
) -> Upgrade:
    """The two connections joined below WebSocket."""
    splice = Splice(tunnel, leave, note)
    tunnel.close = splice.close

    def abandon() -> None:
        upstream.abort()
        leave()

    return Upgrade(headers, lambda browser, begun: splice.start(browser, begun, upstream, early), abandon)


def pumped(
    tunnel: Tunnel, outer: Stream, early: bytes, note: Note, headers: Headers, leave: Callable[[], None]
) -> Upgrade:
    """The browser's connection joined with a stream that is within another."""
    pumps = TerminalTunnel(tunnel, outer, early, leave, note)
    tunnel.close = pumps.close
    return Upgrade(headers, pumps.start, pumps.close)


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
