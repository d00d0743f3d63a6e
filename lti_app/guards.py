"""Who may call a view. Every view names its guard, and an application with a view that does not cannot be made: so no
route can be forgotten."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Flask, g, request

from labkit.store import Launch, LaunchRole
from lti_app.headers import embeddable_anywhere
from lti_app.refusals import Refusal
from lti_app.services import services

Guard = Callable[[], None]
_MOST_COOKIES = 4
View = TypeVar("View", bound=Callable[..., Any])
SESSION_COOKIE = "__Secure-labkit"
LAUNCH_PREFIX = "/work/<launch>"
"""Below it is all that belongs to one launch: the cookie is sent there and nowhere else."""
MOST_UPLOAD = 32 << 20
"""Bytes of a request that brings a lab."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def guarded(guard: Guard) -> Callable[[View], View]:
    """Have `guard` called before a view; it raises Refusal where the request may not go on."""

    def mark(view: View) -> View:
        view.guard = guard  # type: ignore[attr-defined]
        return view

    return mark


def install(app: Flask) -> None:
    """Call each view's guard before it. Raises TypeError where a view has none."""
    bare = sorted(name for name, view in app.view_functions.items() if not hasattr(view, "guard"))
    if bare:
        raise TypeError(f"views without a guard: {', '.join(bare)}")

    def ask() -> None:
        if request.endpoint:
            guard_of(app, request.endpoint)()

    app.before_request(ask)


def guard_of(app: Flask, endpoint: str) -> Guard:
    """The guard of an endpoint's view."""
    return cast(Guard, vars(app.view_functions[endpoint])["guard"])


def anybody() -> None:
    """For what holds nothing of anybody, and for what checks all by itself (the sign-in and the launch)."""


def of_launch() -> None:
    """The browser that was launched to the URL's `launch`. State changes only by our own pages."""
    _find_launch()
    _check_own_page()


def of_instructor() -> None:
    """As `of_launch`, where that launch was made by an instructor."""
    _find_launch()
    _check_instructor()
    _check_own_page()


def of_author() -> None:
    """As `of_instructor`, where that one may publish labs for the course. He alone may send what is large."""
    _find_launch()
    _check_instructor()
    if not is_author():
        raise Refusal(
            "not-author", "Bringing labs into this course takes a right that those who run labkit give.", status=403
        )
    request.max_content_length = MOST_UPLOAD
    _check_own_page()


def is_author() -> bool:
    """Whether the present launch's person may publish labs for its course."""
    launch = current_launch()
    return launch.role is LaunchRole.INSTRUCTOR and services().store.may_author(launch.context, launch.learner)


def _find_launch() -> None:
    launch = str((request.view_args or {}).pop("launch"))  # for us alone: views ask `current_launch`
    # There may be more than one: another site below our domain can set one of that name, which leads nowhere.
    for secret in request.cookies.getlist(SESSION_COOKIE)[:_MOST_COOKIES]:
        if found := services().store.launch(launch, hashed(secret)):
            g.launch, g.secret = found, secret
            break
    else:
        embeddable_anywhere()
        raise Refusal(
            "no-session",
            "This page belongs to somebody's visit from a course, and that visit is over or not yours. "
            "Go back to your course and open the activity again.",
            status=403,
        )


def _check_instructor() -> None:
    if current_launch().role is not LaunchRole.INSTRUCTOR:
        raise Refusal("not-instructor", "This page is for the teachers of the course.", status=403)


def current_launch() -> Launch:
    """The launch that the guard has found."""
    return cast(Launch, g.launch)


def _check_own_page() -> None:
    """Raises Refusal unless a request that changes something comes from a page of our own: by our script (a header that
    no foreign page can send without being asked), or by a form that holds `form_token`."""
    if request.method in SAFE_METHODS:
        return
    by_script, origin = "X-Labkit" in request.headers, request.headers.get("Origin", services().origin)
    # As our pages send no referrer, browsers say of their forms that they come from nowhere.
    own = origin == services().origin or (origin == "null" and not by_script)
    token = form_token() if by_script else request.form.get("csrf", "")
    if not own or not hmac.compare_digest(token.encode(), form_token().encode()):
        raise Refusal("foreign-page", "This did not come from labkit's own page. Reload the page.", status=403)


def form_token() -> str:
    """What a form of this launch's pages sends as `csrf`."""
    return hashed(f"form {g.secret}")


def hashed(secret: str) -> str:
    """How a secret is kept: it has 256 random bits, so a plain hash will do."""
    return hashlib.sha256(secret.encode()).hexdigest()
