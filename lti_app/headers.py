"""The headers of every answer."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Response, g

from labkit.store import Platform
from lti_app.lti.embedding import embedders

_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data: blob:",
    "media-src 'self'",
    "connect-src 'self'",
    "frame-src 'self'",
    "base-uri 'none'",
)


def embeddable(platforms: Iterable[Platform], *, forms: Iterable[str] = ("'self'",)) -> None:
    """Let pages of these platforms, and nobody else's, hold the present answer in a frame."""
    g.ancestors = sorted(frozenset().union(*map(embedders, platforms)))
    g.form_targets = list(forms)


def embeddable_anywhere() -> None:
    """Let any page hold the present answer in a frame: for refusals that say the same to everybody, and on which there
    is nothing to click. They are read where a platform shows its tools: in a frame."""
    g.ancestors = ["*"]


def protect(response: Response) -> Response:
    """Add what is missing: unless a view has called `embeddable`, nobody may hold the answer in a frame."""
    ancestors = " ".join(g.get("ancestors", ())) or "'none'"
    forms = " ".join(g.get("form_targets", ("'self'",)))
    policy = "; ".join((*_POLICY, f"form-action {forms}", f"frame-ancestors {ancestors}"))
    response.headers.setdefault("Content-Security-Policy", policy)
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Cache-Control", "no-store")
    return response
