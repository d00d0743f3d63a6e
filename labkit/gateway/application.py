"""From a request to its handler: what the route table says a request must bring is checked here, once for all.

The order of the checks is access.py's. A handler gets `Asked`: what was checked, as values.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from labkit.gateway import access, responses, routes
from labkit.gateway.engine import Engine
from labkit.gateway.front import Front
from labkit.gateway.http import Answer, Request, Upgrade
from labkit.gateway.keys import TicketKeys
from labkit.gateway.machines import Denied, MachineLogin, MachinePane, login_of, pane_of
from labkit.gateway.routes import Bears, Match, Needs
from labkit.tickets import HEADER, Ticket

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """A request that may be answered. `ticket` and `pane` are there where its row needs a ticket, `login` where it is
    about a machine's files; `token` is the ticket as it came (a secret), `body` the whole body where its row sets a
    size for it."""

    request: Request
    match: Match
    token: str = field(default="", repr=False)
    permitted: tuple[Ticket, MachinePane | MachineLogin] | None = None
    body: bytes = field(default=b"", repr=False)

    @property
    def ticket(self) -> Ticket:
        """The ticket; only where the row needs one."""
        assert self.permitted is not None  # noqa: S101  (the table says so, and a test walks it)
        return self.permitted[0]

    @property
    def pane(self) -> MachinePane:
        """The pane; only where the row needs a ticket and names a pane."""
        assert self.permitted is not None  # noqa: S101
        assert isinstance(self.permitted[1], MachinePane)  # noqa: S101
        return self.permitted[1]

    @property
    def login(self) -> MachineLogin:
        """The way in to the machine; only where the row needs a ticket and names no pane."""
        assert self.permitted is not None  # noqa: S101
        assert isinstance(self.permitted[1], MachineLogin)  # noqa: S101
        return self.permitted[1]

    def json(self) -> Mapping[str, object]:
        """The body as a JSON object. Raises Denied (400)."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Denied(400, "body", "The request's body must be a JSON object.")
        return found


Handler = Callable[[Asked], Awaitable[Answer]]


class Sites(Protocol):
    """What answers on the origins of machines' own pages."""

    def named(self, request: Request) -> str:
        """The first word of the host that the request is for, where that is a machine's origin; else ""."""

    async def answer(self, site: str, request: Request) -> Answer:
        """The machine's answer. Raises Denied."""


class Application:
    """Everything the gateway answers. `handlers` has a function for each row of the table, by its name; `sites` answers
    on machines' own origins; `refused` is told the cause of each refusal; what has no row is for `front`."""

    def __init__(
        self,
        keys: TicketKeys,
        engine: Engine,
        handlers: Mapping[str, Handler],
        sites: Sites,
        refused: Callable[[str], None],
        front: Front | None = None,
    ) -> None:
        self._keys = keys
        self._engine = engine
        self._sites = sites
        self._refused = refused
        self._front = front
        self._handlers = {row.handler: handlers[row.handler] for row in routes.TABLE}

    async def __call__(self, request: Request) -> Answer:
        """The answer to one request, and its line in the log (which holds no query, header or ticket)."""
        begun = time.monotonic()
        site = self._sites.named(request)
        if self._front is not None and not site:
            request = self._front.within(request)
        found = routes.NoMatch() if site else routes.match(request.method, request.path)
        reason = ""
        try:
            if request.loopback_port and not site:
                access.check_host(request.headers.get("host"), self._front.host if self._front else "")
            answer = await (self._sites.answer(site, request) if site else self._answer(found, request))
        except Denied as denied:
            answer, reason = responses.as_json(denied.status, denied.body()), f" {denied.reason}"
            self._refused(denied.reason)
        status = 101 if isinstance(answer, Upgrade) else answer.status
        other = f"(site {site})" if site else "(web)" if self._front else "(no page)"
        label = found.label if isinstance(found, Match) else other
        log.info("%s %s %d%s %.0f ms", request.method[:8], label, status, reason, (time.monotonic() - begun) * 1000)
        return answer

    async def _answer(self, found: Match | routes.NoMatch, request: Request) -> Answer:
        if isinstance(found, routes.NoMatch):
            if found.methods:
                return responses.as_text(405, f"Only {', '.join(found.methods)} is answered here.")
            if self._front is not None:
                return await self._front.answer(request)
            return responses.as_text(404, "There is no such page.")
        row = found.row
        if row.changes or row.bears is Bears.SUBPROTOCOL:
            access.check_origin(request.headers.get("origin"), request.headers.get("host"))
        if row.changes:
            access.check_change(request.headers)
        if request.body is not None and row.body == 0:
            raise Denied(400, "body", "A request here has no body.")
        token = self._token(row, request)
        permitted = None
        if row.needs in (Needs.VIEW, Needs.CONTROL):
            permitted = await self._permitted(found, token)
        body = await whole(request, row.body) if row.body else b""
        return await self._handlers[row.handler](Asked(request, found, token or "", permitted, body))

    def _token(self, row: routes.Row, request: Request) -> str | None:
        if row.bears is Bears.SUBPROTOCOL:
            return access.ticket_of(responses.offered(request.headers))
        return request.headers.get(HEADER.lower())

    async def _permitted(self, found: Match, token: str | None) -> tuple[Ticket, MachinePane | MachineLogin]:
        path = found.pane
        control = found.row.needs is Needs.CONTROL
        ticket = access.check_ticket(token, path, self._keys.verify, control=control)
        access.check_lab(ticket, await self._engine.namespace(path.lab))
        return ticket, (pane_of if path.pane else login_of)(path, await self._engine.machine(path.lab, path.machine))


async def whole(request: Request, most: int) -> bytes:
    """The whole body. Raises Denied (413)."""
    body = b""
    if request.body is not None:
        async for piece in request.body:
            body += piece
            if len(body) > most:
                raise Denied(413, "body", f"The request's body is larger than {most} bytes.")
    return body
