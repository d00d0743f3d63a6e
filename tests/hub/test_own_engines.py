"""A real JupyterHub whose users each have an engine of their own: in their server, and ended with it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from websockets.exceptions import InvalidStatus

from tests.hub.hubs import OWN_ENGINES, Hub, User, running_hub
from tests.support.engine import until
from tests.support.streams import open_stream

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with running_hub(OWN_ENGINES, {}, ready="hub/api") as found:
        yield found


def rights(user: User) -> dict[str, str]:
    """What a user's browser has the right to: his own server."""
    scopes = {"scopes": [f"access:servers!user={user.name}"]}
    return {"Authorization": f"token {user.hub.api('POST', f'/users/{user.name}/tokens', scopes)['token']}"}


def ask(user: User, method: str, path: str, body: Any = None, at: str = "", **headers: str) -> tuple[int, Any]:
    """Status and answer of a request to a user's own server, or to that of `at`, through the Hub's proxy."""
    url = f"{user.hub.url}user/{at or user.name}/labkit/{path}"
    data = None if body is None else json.dumps(body).encode()
    try:
        request = urllib.request.Request(url, data, {**rights(user), **headers}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, None


def link_of(user: User, lab: str, at: str = "") -> Any:
    asked = {"machine": "box", "pane": "terminal"}
    return ask(user, "POST", f"api/labs/{lab}/view/pane_link", asked, at)[1]


@pytest.fixture(scope="module")
def lab(alice: User) -> str:
    """Alice's lab, started as JupyterLab's panel does it, and running."""
    found = str(ask(alice, "POST", "api/labs", {"template": "hello-lab"})[1]["lab"])
    until(lambda: ask(alice, "GET", "api/labs")[1]["labs"][0]["state"] == "running", 120)
    return found


def test_a_user_types_in_the_terminal_of_a_machine_in_his_own_server(alice: User, hub: Hub, lab: str) -> None:
    link = link_of(alice, lab)
    url = f"{hub.url}user/alice/labkit/{link['path']}stream".replace("http", "ws", 1)
    origin = hub.url.removesuffix("/jhub/")
    protocols = ["tty", f"labkit.ticket.{link['ticket']}"]
    with open_stream(url, origin=origin, subprotocols=protocols, additional_headers=rights(alice)) as stream:
        stream.send(json.dumps({"AuthToken": "", "columns": 80, "rows": 24}).encode())
        stream.read_until(b"student@box", 60)
        stream.send(b"0echo sum $((40+2))\n")
        stream.read_until(b"sum 42", 60)


def test_another_user_opens_none_of_his_panes_even_with_his_ticket(alice: User, bob: User, lab: str) -> None:
    link = link_of(alice, lab)
    state, ticket = f"{link['path']}state", {"Labkit-Ticket": link["ticket"]}
    assert ask(alice, "GET", state, **ticket)[0] == 200
    assert ask(bob, "GET", state, at="alice", **ticket)[0] == 403
    assert ask(bob, "GET", "api/labs", at="alice")[0] == 403
    assert ask(bob, "GET", state, **ticket)[0] == 403
    assert ask(bob, "GET", "api/labs") == (200, {"labs": []})


def processes(user: User) -> list[str]:
    """What runs for a user: his home folder is in its command line or in its environment."""
    home, found = str(user.hub.folder / "home" / user.name), []
    for process in psutil.process_iter(["cmdline"]):
        try:
            words = [*(process.info["cmdline"] or ()), process.environ().get("HOME", "")]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if any(home in word for word in words) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(" ".join(words))
    return found


def test_after_a_refused_stream_the_hubs_proxy_sends_nothing_else_to_the_gateway(alice: User, hub: Hub) -> None:
    url = f"{hub.url}user/alice/labkit/panes/nolab/box/terminal/stream".replace("http", "ws", 1)
    request = urllib.request.Request(f"{hub.url}user/alice/api/contents", headers=rights(alice))
    for _ in range(5):
        with pytest.raises(InvalidStatus):
            open_stream(url, origin=hub.url.removesuffix("/jhub/"), additional_headers=rights(alice))
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert json.loads(answer.read())["type"] == "directory"


def farewells(user: User) -> int:
    """How many of a user's servers have someone waiting for their end."""
    return sum("labkit.jupyter.farewell" in line for line in processes(user))


def test_a_named_server_has_the_same_labs_and_ends_none_while_another_runs(alice: User, hub: Hub, lab: str) -> None:
    before = farewells(alice)
    hub.api("POST", "/users/alice/servers/second")
    until(lambda: hub.api("GET", "/users/alice")["servers"].get("second", {}).get("ready"), 120)
    link = link_of(alice, lab, at="alice/second")
    assert ask(alice, "GET", f"{link['path']}state", at="alice/second", **{"Labkit-Ticket": link["ticket"]})[0] == 200
    assert farewells(alice) == before + 1
    hub.api("DELETE", "/users/alice/servers/second")
    until(lambda: farewells(alice) == before, 60)
    assert ask(alice, "GET", "api/labs")[1]["labs"][0]["state"] == "running"


def test_a_server_that_the_hub_stops_leaves_no_process_and_the_lab_is_lost(alice: User, hub: Hub, lab: str) -> None:
    assert any("qemu-system" in line for line in processes(alice))
    hub.api("DELETE", "/users/alice/server")
    until(lambda: processes(alice) == [], 90)
    hub.start("alice")
    until(lambda: alice.json("status", lab)["state"] == "lost", 60)
    again = ask(alice, "POST", "api/labs", {"template": "hello-lab"})
    assert (again[0], again[1]["lab"] != lab) == (202, True)
    until(lambda: ask(alice, "GET", "api/labs")[1]["labs"][0]["state"] == "running", 120)
    assert alice.labkit("stop", again[1]["lab"], "--yes").returncode == 0
