"""Every row of the table of calls as a route: who asks, how often, with which arguments; then `Labs` is asked."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from flask import Blueprint, Response, g, json, make_response, request
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from werkzeug.exceptions import HTTPException

from labkit import wire
from labkit.app import Labs
from labkit.errors import Fault, Forbidden, Invalid, LabkitError, NotFound, TooMuch, Unauthenticated
from labkit.instructions import PageModel
from labkit.model import Offer, Operation, Principal, Role
from labkit.remote import problems
from labkit.remote.calls import ROOT, TABLE, Call
from labkit.view import View
from lti_app.api.callers import Authenticate, Caller
from lti_app.api.document import document
from lti_app.api.threads import Threads

log = logging.getLogger(__name__)

MOST_BODY = 64 * 1024
FAILURES_PER_MINUTE = 60
"""Requests without a good token, from one address."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Answers:
    """`Labs`, and what the API has beside them. Templates that are `withheld` are for learners of certain courses."""

    def __init__(self, labs: Labs, withheld: Callable[[], Collection[str]]) -> None:
        self._labs, self._withheld = labs, withheld

    def __getattr__(self, name: str) -> Any:
        return getattr(self._labs, name)

    def templates(self, principal: Principal) -> list[Offer]:
        return [offer for offer in self._labs.templates(principal) if self._offered(principal, offer.name)]

    def start(self, principal: Principal, template: str, *, activity: str | None = None) -> Operation:
        if not self._offered(principal, template):
            raise NotFound(f"there is no template '{template}'")
        return self._labs.start(principal, template, activity=activity)

    def _offered(self, principal: Principal, template: str) -> bool:
        return principal.role is Role.OPERATOR or template not in self._withheld()

    def whoami(self, principal: Principal) -> Principal:
        return principal

    def instructions(self, principal: Principal, lab: str, *, language: str = "") -> PageModel:
        model = self._labs.instructions(principal, lab, language=language)
        return model.handed_out(self._labs.progress(principal, lab))

    def view(self, principal: Principal, lab: str, question: str, params: Mapping[str, Any]) -> dict[str, Any]:
        return View(self._labs, principal, lab).handle(question, params)


class Gate:
    """Who may ask at all, and how often. In memory: each worker counts for itself."""

    def __init__(self, authenticators: Sequence[Authenticate], per_minute: int) -> None:
        self._authenticators = authenticators
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._all, self._failed = RateLimitItemPerMinute(per_minute), RateLimitItemPerMinute(FAILURES_PER_MINUTE)

    def caller(self) -> Caller:
        """Who sends this request. Raises Unauthenticated, TooMuch, Forbidden."""
        address = request.remote_addr or ""
        if not self._limiter.test(self._failed, "failed", address):
            raise TooMuch("too many requests without a good token came from this address: wait a minute")
        try:
            found = next(filter(None, (ask(request) for ask in self._authenticators)), None)
            if found is None:
                raise Unauthenticated("say who asks with `Authorization: Bearer TOKEN`")
        except Unauthenticated:
            self._limiter.hit(self._failed, "failed", address)
            raise
        g.caller = found
        if not self._limiter.hit(self._all, found.principal.realm, found.principal.subject):
            raise TooMuch("too many requests within a minute: wait a little")
        return found


def blueprint(
    labs: Labs,
    authenticators: Sequence[Authenticate],
    *,
    per_minute: int = 1200,
    threads: int = 16,
    withheld: Callable[[], Collection[str]] = tuple,
) -> Blueprint:
    """The API below `/api`. `authenticators` are asked in order; the first that knows the caller decides. `threads` are
    those of a worker."""
    found, gate, answers, held = (
        Blueprint("api", __name__, url_prefix="/api"),
        Gate(authenticators, per_minute),
        Answers(labs, withheld),
        Threads(threads),
    )
    for call in TABLE:
        rule = (ROOT.removeprefix("/api") + call.path).replace("{", "<").replace("}", ">")
        view = _view(call, answers, gate, held)
        found.add_url_rule(rule, call.name, view, methods=[call.method], provide_automatic_options=False)
    found.add_url_rule("/openapi.json", "openapi", lambda: _json(200, document()), provide_automatic_options=False)
    every = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    found.add_url_rule("/<path:rest>", "nothing", _nothing, methods=every, provide_automatic_options=False)
    found.register_error_handler(LabkitError, _refused)
    found.register_error_handler(HTTPException, _unread)
    found.register_error_handler(Exception, _failed)
    found.before_request(_begin)
    found.after_request(_end)
    return found


def _view(call: Call, answers: Answers, gate: Gate, threads: Threads) -> Callable[..., Response]:
    def view(**path: str) -> Response:
        caller = gate.caller()
        if caller.reads_only and not call.reads:
            raise Forbidden(f"this token is for reading only: {call.name} needs one of scope all")
        given = {**path, **_rest(call, caller.principal)}
        with ExitStack() as held:
            if call.runs:
                held.enter_context(threads.to_run(caller.principal))
            if given.get("wait") and not held.enter_context(threads.to_wait()):
                given["wait"] = 0.0  # told at once that there is none yet
            result = getattr(answers, call.name)(caller.principal, **given)
        return _answer(call, result)

    return view


def _rest(call: Call, principal: Principal) -> dict[str, Any]:
    """The arguments that do not stand in the path. Raises Invalid, Forbidden."""
    sent = request.get_json() if call.in_body and request.content_length else request.args.to_dict()
    try:
        found = wire.given(call.rest, sent)
    except wire.NotReadable as error:
        place = "body" if call.in_body else "query"
        raise Invalid([Fault(place, 0, f"{name}: {text}" if name else text) for name, text in error.faults]) from None
    for name in call.operators:
        if found[name] is not None and principal.role is not Role.OPERATOR:
            raise Forbidden(f"only operators may say {name!r} to {call.name}")
    return {name: min(value, call.most[name]) if name in call.most else value for name, value in found.items()}


def _answer(call: Call, result: Any) -> Response:
    if call.result is type(None):
        return make_response("", 204)
    if call.result is bytes:
        return make_response(result, 200, {"Content-Type": "application/octet-stream"})
    return _json(200, wire.to_json(call.result, result))


def _json(status: int, body: object, kind: str = "application/json") -> Response:
    return make_response(json.dumps(body), status, {"Content-Type": kind})


def _nothing(rest: str) -> Response:
    raise NotFound(f"{request.method} on this path is no call of the API: /api/openapi.json lists them")


def _refused(error: LabkitError) -> Response:
    status, body = problems.problem(error)
    caller: Caller | None = g.get("caller")
    learner = caller is None or caller.principal.role is not Role.OPERATOR
    if learner and isinstance(error, problems.OPERATORS_BUSINESS):
        body["detail"] = f"the service cannot do this at the moment; its operator finds the reason as {_log(error)}"
    answer = _json(status, body, problems.TYPE)
    if status == 401:
        answer.headers["WWW-Authenticate"] = 'Bearer realm="labkit"'
    if status in (429, 503):
        answer.headers["Retry-After"] = "5"
    return answer


def _unread(error: HTTPException) -> Response:
    """What Flask refuses: a body that is too large, no JSON, of another type."""
    status = error.code or 400
    body = {"type": "about:blank", "title": error.name, "status": status, "detail": error.description or error.name}
    return _json(status, body, problems.TYPE)


def _failed(error: Exception) -> Response:
    detail = f"labkit failed at this; its operator finds the reason as {_log(error)}"
    body = {"type": "about:blank", "title": "Internal Server Error", "status": 500, "detail": detail}
    return _json(500, body, problems.TYPE)


def _log(error: Exception) -> str:
    reference = secrets.token_hex(4)
    log.error("%s: %s could not be answered", reference, request.url_rule, exc_info=error)
    return reference


def _begin() -> None:
    request.max_content_length = MOST_BODY
    g.begun = time.monotonic()


def _end(response: Response) -> Response:
    """The headers of every answer, and its line in the log: the route, never what stands in a path, query or header."""
    response.headers.update(_HEADERS)
    took = (time.monotonic() - g.get("begun", time.monotonic())) * 1000
    log.info("%s %s %d %.0f ms", request.method[:8], request.url_rule, response.status_code, took)
    return response
