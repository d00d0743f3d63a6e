"""labkit's Jupyter server extension in a real Jupyter server: who is answered, and what."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.jupyter.server import ROUTES, activity
from labkit.jupyter.server.api import BY_ITSELF, LOOKS
from labkit.settings import load
from tests.support.jupyter import LOGIN, Jupyter, running_jupyter

YEAR = "2100"
METHODS = ("GET", "POST", "PUT", "DELETE")
PATHS = [re.sub(r"\(\(\?:panes.*", "panes/alab/m/console/stream", pattern) for pattern, _ in ROUTES]
PATHS = [re.sub(r"\([^)]*\)", "alab", path) for path in PATHS]


def typed_in(state: Path) -> dict[str, str]:
    """Somebody's state folder, in whose panes somebody has typed in the year YEAR: the variable that names it."""
    found = {"LABKIT_STATE_DIR": str(state)}
    state.mkdir(mode=0o700)
    load(found).activity_file.write_text(json.dumps({"alab": 4102444800.5}))
    return found


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """A server of somebody who has no lab, and no engine that could run one."""
    folder = tmp_path_factory.mktemp("jupyter")
    nowhere = {"LABKIT_KUBECONFIG": str(folder / "none"), **typed_in(folder / "state")}
    (folder / "run").write_text("no folder, so that no gateway can be started")
    with running_jupyter(folder, environ={**nowhere, "LABKIT_RUNTIME_ROOT": str(folder / "run")}) as found:
        yield found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("path", PATHS)
def test_every_handler_refuses_who_is_not_signed_in(jupyter: Jupyter, method: str, path: str) -> None:
    status, _, body = jupyter.ask(method, path)
    assert status == 403
    assert b"hello-lab" not in body


def test_a_pane_page_leads_who_is_not_signed_in_to_the_login(jupyter: Jupyter) -> None:
    status, headers, _ = jupyter.ask("GET", "labkit/panes/alab/m/console/")
    assert (status, "/login?next=" in headers["Location"]) == (302, True)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "labkit/api/labs"), ("DELETE", "labkit/api/labs/alab"), ("POST", PATHS[3])]
)
def test_a_change_needs_jupyters_protection_against_forged_requests(jupyter: Jupyter, method: str, path: str) -> None:
    _, headers, _ = jupyter.ask("GET", "lab", **LOGIN)
    cookies = "; ".join(value.split(";")[0] for name, value in headers.items() if name.lower() == "set-cookie")
    assert "username-" in cookies
    assert jupyter.ask(method, path, {"template": "hello-lab"}, Cookie=cookies)[0] == 403


def test_a_foreign_page_changes_nothing_through_a_pane_even_with_a_token(jupyter: Jupyter) -> None:
    for headers in ({}, {"Labkit-Request": "1", "Origin": "http://evil.example"}):
        assert jupyter.ask("POST", "labkit/panes/alab/m/console/code", **LOGIN, **headers)[0] == 403


def test_templates_are_listed_and_looking_at_labs_starts_nothing(jupyter: Jupyter) -> None:
    status, found = jupyter.json("GET", "labkit/api/templates")
    assert (status, "hello-lab" in [one["name"] for one in found["templates"]]) == (200, True)
    assert jupyter.json("GET", "labkit/api/labs") == (200, {"labs": []})
    assert not (jupyter.log.parent / "state/labkit.db").exists()


def test_a_wrong_body_is_refused(jupyter: Jupyter) -> None:
    assert jupyter.json("POST", "labkit/api/labs", {"template": 3})[0] == 400
    assert jupyter.json("POST", "labkit/api/labs", {"name": "hello-lab"})[0] == 400


def test_where_no_gateway_can_be_had_a_pane_answers_503_and_says_why(jupyter: Jupyter) -> None:
    status, _, body = jupyter.ask("GET", "labkit/panes/alab/m/console/", **LOGIN)
    assert (status, b"gateway" in body) == (503, True)


def test_what_a_view_asks_by_itself_counts_as_no_activity_and_looking_starts_nothing(jupyter: Jupyter) -> None:
    def active() -> str:
        return str(jupyter.json("GET", "api/status")[1]["last_activity"])

    given = {"events": {"operation": "o"}, "page": {"page": "p"}, "pane_link": {"machine": "m", "pane": "p"}}
    given["poll"] = {"step": "s"}
    before = active()
    for method in BY_ITSELF:
        status, said = jupyter.json("POST", f"labkit/api/labs/alab/view/{method}", given.get(method, {}))
        assert status == (404 if method in LOOKS else 503), said  # only to do something is anything to be started
    assert active() == before


def test_typing_in_a_pane_counts_as_activity_and_a_broken_report_does_not(tmp_path: Path) -> None:
    report = tmp_path / "activity.json"
    assert activity.last_use(report) is None
    report.write_text(json.dumps({"a": 1700000000.5, "b": 1600000000.0}))
    assert activity.last_use(report) == 1700000000.5
    report.write_text("[")
    assert activity.last_use(report) is None


def test_typing_keeps_the_server_alive_where_its_operator_has_not_said_otherwise(
    jupyter: Jupyter, tmp_path: Path
) -> None:
    assert jupyter.json("GET", "api/status")[1]["last_activity"].startswith(YEAR)
    typed, config = typed_in(tmp_path / "state"), "c.LabkitServer.panes_keep_alive = False"
    with running_jupyter(tmp_path, environ=typed, config=config) as other:
        assert not other.json("GET", "api/status")[1]["last_activity"].startswith(YEAR)
