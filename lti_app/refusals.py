"""What is refused, and how a person and the operator are told. No token, cookie or name of a person is logged."""

from __future__ import annotations

import logging
import secrets

from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException

from labkit.errors import (
    ClusterError,
    ClusterUnavailable,
    Conflict,
    Forbidden,
    Invalid,
    LabkitError,
    NotBuilt,
    NotFound,
)

log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[LabkitError], int], ...] = (
    (NotFound, 404),
    (Forbidden, 403),
    (Conflict, 409),
    (Invalid, 422),
    (NotBuilt, 422),
    (ClusterUnavailable, 503),
    (ClusterError, 502),
)
_LONGEST_DETAIL = 300


class Refusal(Exception):
    """A request that is refused. `code` is a stable word for tests and logs, `text` is for the person who asked, and
    `detail` for the operator alone: it may quote what was sent, but holds no secret."""

    def __init__(self, code: str, text: str, *, detail: str = "", status: int = 400) -> None:
        super().__init__(text)
        self.code, self.text, self.detail, self.status = code, text, detail, status


def handle_refusals(app: Flask) -> None:
    """Have every refusal answered with one page (or JSON, where a script asked), and logged with its reference."""
    app.register_error_handler(Refusal, _refused)
    app.register_error_handler(LabkitError, _labkit)
    app.register_error_handler(HTTPException, _http)


def wants_json() -> bool:
    """Whether a script of ours, or a program, asks, rather than a browser for a page."""
    return "X-Labkit" in request.headers or request.accept_mimetypes.best == "application/json"


def _labkit(error: LabkitError) -> Response:
    status = next((found for kind, found in _STATUS if isinstance(error, kind)), 422)
    return _refused(Refusal(type(error).__name__.lower(), str(error), status=status))


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    answer = _refused(Refusal(f"http-{status}", error.description or error.name, status=status))
    for name, value in error.get_headers():
        if name == "Allow":
            answer.headers[name] = value
    return answer


def _refused(refusal: Refusal) -> Response:
    reference = secrets.token_hex(4)
    detail = repr(refusal.detail[:_LONGEST_DETAIL]) if refusal.detail else ""
    endpoint = request.endpoint or "no such page"
    log.warning("refused %s: %s %s %d %s", reference, endpoint, refusal.code, refusal.status, detail)
    if wants_json():
        body = jsonify(error=refusal.text, code=refusal.code, reference=reference)
        return make_response(body, refusal.status)
    page = render_template("refused.html", refusal=refusal, reference=reference)
    return make_response(page, refusal.status)
