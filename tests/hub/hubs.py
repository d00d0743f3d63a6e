"""A real JupyterHub with configurable-http-proxy, the `simple` spawner and the `dummy` authenticator; and its users."""

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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from labkit.settings import load
from tests.support.engine import until
from tests.support.home import LABKIT

ROOT = Path(__file__).parent.parent.parent
CONFIG = """
c.JupyterHub.bind_url = "{url}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.allow_named_servers = True
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

OWN_ENGINES = """
import os, pathlib
config, share = pathlib.Path("{folder}/etc/jupyter_server_config.d"), pathlib.Path("{folder}/share/labextensions")
config.mkdir(parents=True), share.mkdir(parents=True)
(config / "labkit.json").write_text(pathlib.Path("ROOT/labextension/install/server.json").read_text())
(share / "labkit").symlink_to("ROOT/labkit/labextension")
c.Spawner.environment = {{name: os.environ[name] for name in ("LABKIT_IMAGES_DIR", "LABKIT_WARM")}}
c.Spawner.environment |= {{"JUPYTER_CONFIG_PATH": "{folder}/etc", "JUPYTER_PATH": "{folder}/share"}}
""".replace("ROOT", str(ROOT))
"""Users' servers with an engine each, and labkit's extensions."""


@dataclass
class Hub:
    """A running Hub."""

    url: str
    folder: Path

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """What the Hub's API answers to its operator."""
        request = urllib.request.Request(f"{self.url}hub/api{path}", method=method)
        request.add_header("Authorization", "token driver-token-of-this-test")
        with urllib.request.urlopen(request, data=json.dumps(body).encode(), timeout=150) as answer:
            return json.loads(answer.read() or b"null")

    def start(self, name: str) -> None:
        """Start a user's server, and wait until it answers."""
        self.api("POST", f"/users/{name}/server")
        until(lambda: self.api("GET", f"/users/{name}")["server"], 120)

    def user(self, name: str) -> User:
        """A user, whose server has been started."""
        self.api("POST", f"/users/{name}")
        self.start(name)
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


@contextmanager
def running_hub(more: str, environ: Mapping[str, str], *, ready: str) -> Iterator[Hub]:
    """A Hub below /jhub/, with `more` in its configuration; up once its path `ready` answers.

    In `more` and `environ`, {folder}, {url} and {api} (the Hub's, on this computer) and {free} (a port) are filled in.
    """
    proxy = os.environ.get("CONFIGURABLE_HTTP_PROXY") or shutil.which("configurable-http-proxy")
    assert proxy, "install configurable-http-proxy with npm, and name it in CONFIGURABLE_HTTP_PROXY"
    path = f"{Path(LABKIT).parent}:{os.environ['PATH']}"
    assert shutil.which("jupyterhub", path=path), "install jupyterhub with pip"
    folder = Path(tempfile.mkdtemp(prefix="lkh"))
    front, back, api, free = _ports(4)
    url = f"http://127.0.0.1:{front}/jhub/"
    known = {"folder": str(folder), "url": url, "api": f"http://127.0.0.1:{back}/jhub/hub/api", "free": str(free)}
    text = "c = get_config()\n" + more.format(**known)
    text += CONFIG.format(url=url, hub=back, api=api, folder=folder, proxy=proxy)
    (folder / "jupyterhub_config.py").write_text(text)
    (folder / "service").mkdir()
    own = {"LABKIT_IMAGES_DIR": str(load().images_dir), "LABKIT_WARM": "off", "HOME": str(folder / "service")}
    own |= {name: value.format(**known) for name, value in environ.items()}
    with (folder / "hub.log").open("wb") as log:
        environment = {**os.environ, **own, "PATH": path}
        process = subprocess.Popen(["jupyterhub"], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: _answers(url + ready), 120)
        yield Hub(url, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        print((folder / "hub.log").read_text()[-20000:])
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
