"""Machines' own web pages (`http` panes), each on an origin of its own. See `origins.py` and `forwarding.py`.

The pane's page asks for a `visit`: an address with a one-time code in its fragment. A small page of ours on the
machine's origin gives the code back for a cookie that opens this pane and nothing else; the machine never sees it. Like
an open stream, such a session outlives its ticket, but not its lab and not a raised epoch.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from labkit.errors import ClusterError
from labkit.gateway import access, responses
from labkit.gateway.application import Asked, Handler, whole
from labkit.gateway.codes import Codes
from labkit.gateway.dial import Dial
from labkit.gateway.engine import Engine
from labkit.gateway.exchange import Exchange, Exchanged
from labkit.gateway.forwarding import COOKIE, check_site, from_machine, session_in, to_machine
from labkit.gateway.http import Answer, Request
from labkit.gateway.machines import Denied, MachinePane, pane_of
from labkit.gateway.origins import Origins, label_of
from labkit.gateway.responses import Response, Streamed
from labkit.gateway.routes import PanePath
from labkit.gateway.streams import Headers, pumped, websocket_key
from labkit.gateway.terminal import greet
from labkit.gateway.tunnels import Tunnel, Tunnels
from labkit.gateway.upstream import ClientHandshake
from labkit.gateway.use import Uses
from labkit.model import MachineState, PaneType
from labkit.tickets import Ticket

log = logging.getLogger(__name__)

IDLE_SECONDS = 30 * 60.0
MOST = 4096
LIMITS = (
    "This page has no address of its own here, so only its text is shown: no scripts, images, links and forms. "
    "Your operator can give machines' pages an address: setting panes_origin."
)
_OWN = "/.labkit/"
_CODE_BYTES = 256
_PREVIEW_BYTES = 2 * 2**20
_SCRIPT = """const code = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
fetch("session", {method: "POST", headers: {"Labkit-Request": "1"}, body: code})
  .then(async (answer) => {
    const said = await answer.json();
    if (answer.ok) location.replace(said.path); else document.body.textContent = said.error;
  }).catch(() => { document.body.textContent = "The server does not answer: open the page again."; });"""
_HASH = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
_QUIET = {"Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'"}
_ENTER_CSP = f"{_QUIET['Content-Security-Policy']}; script-src 'sha256-{_HASH}'; connect-src 'self'"


@dataclass
class Session:
    """A browser that may use one machine's page: what its cookie stands for."""

    pane: PanePath
    ticket: Ticket
    used: float


class Sites:
    """The pages of machines. Its handlers are on labkit's origin; `answer` is for machines' origins."""

    def __init__(self, origins: Origins, engine: Engine, dial: Dial, tunnels: Tunnels, uses: Uses) -> None:
        self._origins = origins
        self._engine = engine
        self._dial = dial
        self._tunnels = tunnels
        self._uses = uses
        self._codes: Codes[tuple[PanePath, Ticket, str]] = Codes()
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def handlers(self) -> dict[str, Handler]:
        """By the names that the route table has."""
        return {"visit": self._visit, "preview": self._preview}

    def named(self, request: Request) -> str:
        """The first word of the machine's origin that the request is for; "" where it is for labkit's own."""
        return self._origins.named(request.headers.get("host"))

    # On labkit's origin

    async def _visit(self, asked: Asked) -> Response:
        path, pane = asked.match.pane, _site(asked.pane)
        origin = self._origins.of(path, asked.request.headers.get("host"))
        if not origin:
            raise Denied(409, "no-origin", LIMITS)
        code = self._codes.make(label_of(path), (path, asked.ticket, pane.path))
        return responses.as_json(200, {"url": f"{origin}{_OWN}enter#{code}"})

    async def _preview(self, asked: Asked) -> Response:
        """The first page's text. It is no page here: a script of ours puts it into a frame without any right."""
        path, pane = asked.match.pane, _site(asked.pane)
        _check_runs(path, pane)
        tunnel = self._tunnels.enter(path, asked.ticket, PaneType.HTTP)
        try:
            host = [("Host", path.machine), ("Accept", "text/html"), ("Accept-Encoding", "identity")]
            found = await self._exchange(path, pane, tunnel, Request("GET", pane.path, {}, target=pane.path), host)
            body = b""
            async for piece in found.pieces:
                body += piece
                if len(body) > _PREVIEW_BYTES:
                    raise Denied(502, "too-large", "The machine's page is too large to be shown here.")
        except (ClusterError, OSError) as error:
            raise _silent(path, error) from error
        finally:
            tunnel.close()
            self._tunnels.leave(tunnel)
        return Response(200, body, headers=_QUIET)

    # On a machine's origin

    async def answer(self, site: str, request: Request) -> Answer:
        """The answer to a request for a machine's origin. Raises Denied; to a person, refusals are pages."""
        try:
            if request.path.startswith(_OWN):
                return await self._enter(site, request)
            return await self._pass(site, request)
        except Denied as denied:
            if request.method == "GET" and request.headers.get("sec-fetch-mode") == "navigate":
                return _page(denied)
            raise

    async def _enter(self, site: str, request: Request) -> Response:
        if (request.method, request.path) == ("GET", f"{_OWN}enter"):
            body = f"<!doctype html><title>Opening</title><body>Opening…<script>{_SCRIPT}</script>".encode()
            return Response(200, body, "text/html; charset=utf-8", headers={"Content-Security-Policy": _ENTER_CSP})
        if (request.method, request.path) != ("POST", f"{_OWN}session"):
            raise Denied(404, "no-page", "There is no such page.")
        access.check_change(request.headers)
        code = (await whole(request, _CODE_BYTES)).decode(errors="replace")
        path, ticket, opens = self._codes.redeem(code, site)
        while len(self._sessions) >= MOST:
            self._sessions.popitem(last=False)
        name = secrets.token_urlsafe(24)
        self._sessions[name] = Session(path, ticket, time.monotonic())
        cookie = f"{COOKIE}={name}; Path=/; Secure; HttpOnly; SameSite=None; Partitioned"
        return Response(200, json.dumps({"path": opens}).encode(), "application/json", headers={"Set-Cookie": cookie})

    def _session(self, site: str, request: Request) -> Session:
        name = session_in(request.headers)
        found = self._sessions.get(name)
        if found is None or label_of(found.pane) != site or found.used + IDLE_SECONDS < time.monotonic():
            raise Denied(403, "session", "This page is opened from its lab.")
        found.used = time.monotonic()
        self._sessions.move_to_end(name)
        return found

    async def _pass(self, site: str, request: Request) -> Answer:
        host = request.headers.get("host", "")
        scheme = "https" if self._origins.template else "http"
        check_site(request.method, request.headers, f"{scheme}://{host}")
        session = self._session(site, request)
        path = session.pane
        namespace, machine = await self._engine.recent(path.lab, path.machine)
        access.check_lab(session.ticket, namespace)
        pane = _site(pane_of(path, machine))
        _check_runs(path, pane)
        if request.headers.get("sec-fetch-user") == "?1" or request.method not in ("GET", "HEAD", "OPTIONS"):
            self._uses.used(path.lab)
        tunnel = self._tunnels.enter(path, session.ticket, PaneType.HTTP)
        try:
            fields = to_machine(request.fields, scheme)
            if "upgrade" in request.headers:
                return await self._socket(path, pane, tunnel, request, fields)
            found = await self._exchange(path, pane, tunnel, request, fields)
        except ClusterError as error:
            self._tunnels.leave(tunnel)
            raise _silent(path, error) from error
        except BaseException:
            self._tunnels.leave(tunnel)
            raise
        return Streamed(
            found.status,
            from_machine(found.fields, host, (path.machine, pane.address)),
            self._until_end(tunnel, found.pieces),
        )

    async def _until_end(self, tunnel: Tunnel, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        try:
            async for piece in pieces:
                yield piece
        finally:
            tunnel.close()
            self._tunnels.leave(tunnel)

    async def _exchange(
        self, path: PanePath, pane: MachinePane, tunnel: Tunnel, request: Request, fields: Headers
    ) -> Exchanged:
        outer = await self._dial.port(path, pane, pane.port or 80)
        exchange = Exchange(outer, tunnel)
        tunnel.close = exchange.close
        return await exchange.run(request.method, request.target, fields, request.body)

    async def _socket(
        self, path: PanePath, pane: MachinePane, tunnel: Tunnel, request: Request, fields: Headers
    ) -> Answer:
        """A WebSocket of the machine's page: a handshake of ours with its server, then the frames unread."""
        key, dropped = websocket_key(request), ("host", "sec-websocket-")
        more = {name: value for name, value in fields if not name.lower().startswith(dropped)}
        offered = request.headers.get("sec-websocket-protocol", "")
        handshake = ClientHandshake(request.headers.get("host", ""), request.target, offered, more)
        outer, early = await greet(self._dial.port(path, pane, pane.port or 80), handshake)
        headers = responses.switch_headers(key, handshake.agreed)
        return pumped(tunnel, outer, early, lambda data: None, headers, lambda: self._tunnels.leave(tunnel))


def _site(pane: MachinePane) -> MachinePane:
    if pane.type is not PaneType.HTTP:
        raise Denied(404, "no-site", "This pane is no web page.")
    return pane


def _check_runs(path: PanePath, pane: MachinePane) -> None:
    state = pane.state if pane.state is not MachineState.RUNNING or pane.address else MachineState.STARTING
    if state is not MachineState.RUNNING:
        raise Denied(409, "", f"The machine {path.machine} is {state}.", state=state.value)


def _silent(path: PanePath, error: Exception) -> Denied:
    log.warning("the page %s of %s does not answer: %s", path.pane, path.machine, error)
    text = f"The web server of {path.machine} does not answer yet."
    return Denied(503, "stream", text, state=MachineState.STARTING.value)


def _page(denied: Denied) -> Response:
    """A refusal for a person. What may pass by itself is asked for again."""
    again = {"Refresh": "3"} if denied.extra.get("state") or denied.status >= 500 else {}
    title = html.escape(str(denied))
    body = f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><p role=status>{title}"
    return Response(denied.status, body.encode(), "text/html; charset=utf-8", headers={**_QUIET, **again})
