"""A real JupyterHub with labkit as its service: users' servers have nothing but the Hub's token, and it is enough."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit.settings import load
from tests.support.engine import until
from tests.support.home import LABKIT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parent.parent.parent
CONFIG = """
c = get_config()
load_subconfig({deploy!r})
c.JupyterHub.bind_url = "{url}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/home/{{username}}"
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 120
c.ConfigurableHTTPProxy.command = [{proxy!r}]
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
c.JupyterHub.services.append({{"name": "driver", "api_token": "driver-token-of-this-test"}})
roles = ["admin:users", "admin:servers", "tokens"]
c.JupyterHub.load_roles.append({{"name": "driver", "services": ["driver"], "scopes": roles}})
c.Spawner.args = ["--allow-root"]
"""


@dataclass
class Hub:
    """A running Hub, with labkit as its service."""

    url: str
    folder: Path

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """What the Hub's API answers to its operator."""
        request = urllib.request.Request(f"{self.url}hub/api{path}", method=method)
        request.add_header("Authorization", "token driver-token-of-this-test")
        with urllib.request.urlopen(request, data=json.dumps(body).encode(), timeout=150) as answer:
            return json.loads(answer.read() or b"null")

    def user(self, name: str) -> User:
        """A user, whose server has been started."""
        self.api("POST", f"/users/{name}")
        self.api("POST", f"/users/{name}/server")
        return User(self, name, until(lambda: _environment(name, self.folder), 120))


@dataclass
class User:
    """Somebody at his server: `environment` is that of its process, which a kernel and a terminal have, too."""

    hub: Hub
    name: str
    environment: dict[str, str]

    def labkit(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command in the server's terminal."""
        home = self.hub.folder / "home" / self.name
        return subprocess.run(
            [LABKIT, *words], env=self.environment, cwd=home, capture_output=True, text=True, timeout=200, check=False
        )

    def json(self, *words: str) -> Any:
        """What a command prints with --json."""
        done = self.labkit(*words, "--json")
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def ask(self, method: str, path: str) -> int:
        """The status of a request to labkit's API with the server's own token."""
        request = urllib.request.Request(f"{self.environment['LABKIT_URL']}api/v1{path}", method=method)
        request.add_header("Authorization", f"Bearer {self.environment['JUPYTERHUB_API_TOKEN']}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, data=b"{}" if method == "POST" else None, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


def _environment(name: str, folder: Path) -> dict[str, str] | None:
    for process in psutil.process_iter():
        try:
            found = process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if found.get("JUPYTERHUB_USER") == name and str(folder) in found.get("HOME", ""):
            return found
    return None


def _ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return found


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    proxy = os.environ.get("CONFIGURABLE_HTTP_PROXY") or shutil.which("configurable-http-proxy")
    assert proxy, "install configurable-http-proxy with npm, and name it in CONFIGURABLE_HTTP_PROXY"
    path = f"{Path(LABKIT).parent}:{os.environ['PATH']}"
    assert shutil.which("jupyterhub", path=path), "install jupyterhub with pip"
    folder = Path(tempfile.mkdtemp(prefix="lkh"))
    front, back, api, serve = _ports(4)
    url = f"http://127.0.0.1:{front}/jhub/"
    deploy = str(ROOT / "deploy/jupyterhub_config.py")
    text = CONFIG.format(deploy=deploy, url=url, hub=back, api=api, folder=folder, proxy=proxy)
    (folder / "jupyterhub_config.py").write_text(text)
    (folder / "service").mkdir()
    own = {"LABKIT_STATE_DIR": str(folder / "s"), "LABKIT_IMAGES_DIR": str(load().images_dir), "LABKIT_WARM": "off"}
    own |= {"LABKIT_PORT": str(serve), "LABKIT_HUB_URL": url, "LABKIT_HUB_API": f"http://127.0.0.1:{back}/jhub/hub/api"}
    environment = {**os.environ, **own, "HOME": str(folder / "service"), "PATH": path}
    with (folder / "hub.log").open("wb") as log:
        process = subprocess.Popen(["jupyterhub"], cwd=folder, env=environment, stdout=log, stderr=log)
    found = Hub(url, folder)
    try:
        until(lambda: _answers(f"{url}services/labkit/readyz"), 120)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        print((folder / "hub.log").read_text()[-3000:])
        for left in psutil.process_iter(["cmdline"]):  # machines outlive the service, where a test has failed
            if any(str(folder) in word for word in left.info["cmdline"] or ()):
                left.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def alice(hub: Hub) -> User:
    return hub.user("alice")


@pytest.fixture(scope="module")
def bob(hub: Hub) -> User:
    return hub.user("bob")


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
