"""A real JupyterHub with labkit as its service: users' servers have nothing but the Hub's token, and it is enough."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.app import Labs
from labkit.errors import Forbidden, NotFound
from labkit.model import Principal
from labkit.remote.calls import TABLE
from labkit.remote.client import remote_labs
from tests.hub.hubs import Hub, User, running_hub
from tests.support.calls import arguments

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
DEPLOY = Path(__file__).parent.parent.parent / "deploy/jupyterhub_config.py"
SERVICE = {
    "LABKIT_STATE_DIR": "{folder}/s", "LABKIT_PORT": "{free}", "LABKIT_HUB_URL": "{url}", "LABKIT_HUB_API": "{api}",
}  # fmt: skip


NOBODY = Principal("local", "named-by-the-caller")
"""Who is asked for in each call; the service heeds the token alone."""


def labs_of(user: User) -> Labs:
    """`Labs` as a notebook in a user's server has them."""
    return remote_labs(user.environment["LABKIT_URL"], user.environment["JUPYTERHUB_API_TOKEN"])


def opens(hub: Hub, path: str, ticket: str) -> int:
    """The status of what the gateway has at a path, for who has a ticket."""
    request = urllib.request.Request(f"{hub.url}services/labkit/{path}", headers={"Labkit-Ticket": ticket})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


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
    found = labs_of(alice).operations(NOBODY, lab)
    answered = []
    for call in TABLE:
        given = arguments(call, lab, found[0].id)
        try:
            answer = getattr(labs_of(bob), call.name)(NOBODY, **given)
        except (NotFound, Forbidden):
            continue
        answered.append(call.name)
        assert not {"lab", "operation"} & set(given), call.name
        assert lab not in str(answer)
    assert "labs" in answered
    assert labs_of(alice).operations(NOBODY, lab) == found
    assert alice.json("status", lab)["state"] == "running"


def test_another_users_ticket_opens_his_own_panes_and_files_only(alice: User, bob: User, hub: Hub, lab: str) -> None:
    own = str(bob.json("start", "hello-lab")["id"])
    ticket = next(link["url"] for link in bob.json("open", own) if link["pane"] == "terminal").partition("#ticket=")[2]
    for each, status in ((own, 200), (lab, 403)):
        paths = (f"panes/{each}/box/terminal/state", f"panes/{each}/box/vnc/state", f"files/{each}/box/folder?path=.")
        assert [opens(hub, path, ticket) for path in paths] == [status] * 3
    assert bob.labkit("stop", own, "--yes").returncode == 0


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
