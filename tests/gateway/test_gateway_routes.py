"""What a path means, before anything is asked of anybody."""

from __future__ import annotations

import pytest

from labkit.gateway import routes
from labkit.gateway.routes import PanePath

PANE = PanePath("alab", "web-1", "console")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/panes/alab/web-1/console/", routes.Shell(PANE)),
        ("/panes/alab/web-1/console/state", routes.State(PANE)),
        ("/panes/alab/web-1/console/stream", routes.Stream(PANE)),
        ("/static/panes.js", routes.Static("panes.js")),
        ("/livez", routes.Alive()),
        ("/readyz", routes.Ready()),
    ],
)
def test_each_address_has_one_meaning(path: str, found: routes.Route) -> None:
    assert routes.route("GET", path) == routes.route("HEAD", path) == found


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
    assert isinstance(found := routes.route("GET", path), routes.Refused)
    assert found.status == 404


def test_a_pane_without_its_last_slash_leads_to_the_one_with_it_by_a_relative_address() -> None:
    found = routes.route("GET", "/panes/alab/web-1/console")
    assert found == routes.Refused(308, "The address of a pane ends with a slash.", "console/")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "get"])
def test_nothing_but_reading_is_answered(method: str) -> None:
    assert getattr(routes.route(method, "/livez"), "status", None) == 405


def test_a_log_line_holds_nothing_that_a_request_made_up() -> None:
    assert routes.label(routes.route("GET", "/panes/alab/web-1/console/state")) == "/panes/alab/web-1/console/state"
    assert routes.label(routes.route("GET", "/secret\x1b[2J")) == "(no page)"
