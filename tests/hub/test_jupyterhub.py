"""A real JupyterHub with labkit as its service: users' servers have nothing but the Hub's token, and it is enough."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.hubs import Hub, User, running_hub

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
DEPLOY = Path(__file__).parent.parent.parent / "deploy/jupyterhub_config.py"
SERVICE = {
    "LABKIT_STATE_DIR": "{folder}/s", "LABKIT_PORT": "{free}", "LABKIT_HUB_URL": "{url}", "LABKIT_HUB_API": "{api}",
}  # fmt: skip


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running_hub(f"load_subconfig({str(DEPLOY)!r})\n", SERVICE, ready="services/labkit/readyz") as found:
        yield found


@pytest.fixture(scope="module")
def lab(alice: User) -> str:
    """Alice's lab, started from her server."""
    return str(alice.json("start", "hello-lab")["id"])


def test_a_users_server_starts_a_lab_sees_it_and_has_it_checked(alice: User, lab: str) -> None:
    assert alice.json("status", lab)["state"] == "running"
    assert alice.json("check", lab, "note")["verdict"] == "not_yet"


def test_a_pane_link_leads_through_the_hubs_proxy(alice: User, hub: Hub, lab: str) -> None:
    links = alice.json("open", lab)
    page, _, ticket = next(link["url"] for link in links if link["pane"] == "terminal").partition("#ticket=")
    assert page == f"{hub.url}services/labkit/panes/{lab}/box/terminal/"
    with urllib.request.urlopen(page, timeout=20) as answer:
        assert b"panes.js" in answer.read()
    request = urllib.request.Request(f"{page}state", headers={"Labkit-Ticket": ticket})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert json.load(answer)["state"] == "running"


def test_another_user_sees_nothing_of_it_and_can_do_nothing_to_it(alice: User, bob: User, lab: str) -> None:
    operation = alice.json("start", "hello-lab")["operation"] or "none"
    asked = [("GET", f"/labs/{lab}"), ("POST", f"/labs/{lab}/stop"), ("GET", f"/labs/{lab}/credentials")]
    asked += [("POST", f"/labs/{lab}/machines/box/panes/terminal/link"), ("GET", f"/operations/{operation}")]
    assert [bob.ask(method, path) for method, path in asked] == [404] * 5
    assert bob.json("list") == []
    assert alice.json("status", lab)["state"] == "running"


def test_the_users_server_runs_nothing_of_labkits(alice: User, hub: Hub, lab: str) -> None:
    assert not list((hub.folder / "home").rglob("supervisor*"))
    assert "LABKIT_URL is set" in alice.labkit("engine", "up").stderr


def test_a_token_of_another_user_that_is_not_for_labkit_is_refused(alice: User, hub: Hub, lab: str) -> None:
    token = hub.api("POST", "/users/alice/tokens", {"scopes": ["read:users!user=alice"]})["token"]
    narrow = User(hub, "alice", {**alice.environment, "JUPYTERHUB_API_TOKEN": token})
    assert narrow.ask("GET", f"/labs/{lab}") == 403
    assert User(hub, "x", {**alice.environment, "JUPYTERHUB_API_TOKEN": "made-up"}).ask("GET", "/me") == 401


def test_a_lab_is_stopped_from_the_users_server(alice: User, lab: str) -> None:
    assert alice.labkit("stop", lab, "--yes").returncode == 0
    assert alice.json("status", lab)["state"] == "stopped"
