"""What a path means, before anything is asked of anybody."""

from __future__ import annotations

import pytest

from labkit.gateway import routes
from labkit.gateway.routes import Match, NoMatch, PanePath

PANE = "/panes/alab/web-1/console"


def handler(method: str, path: str) -> str | None:
    found = routes.match(method, path)
    return found.row.handler if isinstance(found, Match) else None


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (f"{PANE}/", "page"),
        (f"{PANE}/state", "state"),
        (f"{PANE}/stream", "stream"),
        (f"{PANE}/screenshot", "screenshot"),
        ("/static/panes.js", "static"),
        ("/livez", "alive"),
        ("/readyz", "ready"),
    ],
)
def test_each_address_has_one_meaning(path: str, found: str) -> None:
    assert handler("GET", path) == handler("HEAD", path) == found


def test_no_two_rows_answer_the_same_address() -> None:
    filled = dict.fromkeys(("lab", "machine", "pane"), "alab") | {"file": "a.js"}
    for row in routes.TABLE:
        path = row.pattern.format(**filled)
        assert [other for other in routes.TABLE if other.method == row.method and other.expression.fullmatch(path)] == [
            row
        ]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/panes/",
        "/panes/alab/web-1/",
        "/panes/ALAB/web-1/console/",
        "/panes/alab/web_1/console/state",
        "/panes/alab/../console/state",
        "/panes/alab/web%2d1/console/state",
        "/panes/alab/web-1/console/stream/",
        "/panes/alab/web-1/console/state\n",
        "/static/",
        "/static/../routes.py",
        "/static/..%2fpanes.js",
        "/static/built/panes.js",
        "/static/.panes.js",
        "/static/panes.py",
        "*",
    ],
)
def test_everything_else_is_no_page(path: str) -> None:
    assert routes.match("GET", path) == NoMatch()


def test_a_path_names_its_pane() -> None:
    found = routes.match("GET", f"{PANE}/state")
    assert isinstance(found, Match)
    assert found.pane == PanePath("alab", "web-1", "console")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "get"])
def test_a_method_that_an_address_does_not_have_is_told_from_no_page(method: str) -> None:
    assert routes.match(method, "/livez") == NoMatch(("GET",))
    assert routes.match(method, f"{PANE}/code") == NoMatch(("POST",))


def test_a_log_line_holds_only_what_matched() -> None:
    found = routes.match("GET", f"{PANE}/state")
    assert isinstance(found, Match)
    assert found.label == f"{PANE}/state"
