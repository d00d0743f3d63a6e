"""A Flask application with nothing but the API, asked as a program asks it; and a whole `labkit serve` on an engine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from labkit import app, launcher
from labkit.app import Labs
from labkit.model import Operation, Principal, Role
from labkit.remote.client import remote_labs
from lti_app.api import Bearer, blueprint
from tests.support.engine import EngineProcess, running_engine, until
from tests.support.home import LABKIT
from tests.support.service import Service
from tests.support.text_lab import TextLab

ADA = Principal("local", "ada")

PAGES = {
    "01-one.md": "# One\n\n## First {#first points=3}\n\nDo it.\n\n:::hint {cost=1}\nSECRET-HINT\n:::\n",
    "02-two.md": "---\ntitle: Two\nrequires: [first]\n---\n\n## Second {#second}\n\nSECRET-PAGE\n",
}


class Site:
    """The API over one text lab: `ada` has it, and `bob` has none."""

    def __init__(self, folder: Path) -> None:
        self.lab = TextLab(folder, PAGES)
        self.store = self.lab.store
        self._asked: FlaskClient | None = None
        self.tokens = {"ada": self.token(self.lab.principal), "bob": self.token(Principal("local", "bob"))}

    def token(self, who: Principal, *, scope: str = "all", expires: float = 60, role: Role = Role.LEARNER) -> str:
        """A new token."""
        self.store.learner(who)
        whose = Principal(who.realm, who.subject, role=role)
        return self.store.add_token(whose, scope=scope, note="", expires=time.time() + expires)[1]

    def client(self, labs: object = None, **options: Any) -> FlaskClient:
        """A program on another computer, and an API of its own; `labs` instead of the text lab's."""
        app = Flask("test")
        app.register_blueprint(blueprint(cast(Labs, labs or self.lab.labs), [Bearer(self.store)], **options))
        return app.test_client()

    def ask(self, method: str, path: str, who: str = "ada", **more: Any) -> TestResponse:
        """One request, with somebody's token: a name of `tokens`, or a token."""
        headers = {"Authorization": f"Bearer {self.tokens.get(who, who)}", **more.pop("headers", {})}
        self._asked = self._asked or self.client()
        return self._asked.open(f"/api/v1{path}", method=method, headers=headers, **more)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    found = Site(tmp_path_factory.mktemp("site"))
    yield found
    found.lab.close()


@dataclass
class Served:
    """A service, and who asks it."""

    home: Service
    url: str
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def labs(self, who: Principal, way: str = "from afar") -> Any:
        """`Labs` as somebody has them."""
        if way == "here":
            return self.home.labs
        self.home.store.learner(who)
        return remote_labs(self.url, self.token(who))

    def token(self, who: Principal) -> str:
        """A new token of somebody's."""
        return self.home.store.add_token(who, scope="all", note="", expires=2e9)[1]

    def done(self, labs: Labs, who: Principal, operation: Operation) -> Operation:
        """The operation, followed to its end."""
        for _ in app.follow(labs, who, operation, replace(self.home.settings, url=self.url)):
            pass
        return labs.operation(who, operation.id)

    def children(self) -> dict[str, Any]:
        """What the service runs, by name."""
        found = launcher.status(self.home.settings) or {"children": []}
        return {child["name"]: child for child in found["children"]}


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with running_engine() as found:
        yield found


@pytest.fixture(scope="module")
def served(engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = Service(tmp_path_factory.mktemp("home"), engine.kubeconfig, idle_minutes="0.01", most_lab_hours="4")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {**os.environ, **home.settings.environment(), "LABKIT_TOKEN": "not for children"}
    process = subprocess.Popen([LABKIT, "serve", "--port", str(port)], env=environment, stdout=subprocess.DEVNULL)
    found = Served(home, f"http://127.0.0.1:{port}/", environment, process)
    try:
        until(lambda: ready(found), 60)
        yield found
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def ready(served: Served) -> bool:
    try:
        with urllib.request.urlopen(f"{served.url}readyz", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def lab(served: Served) -> str:
    """Ada's lab, started from afar, and running."""
    labs = served.labs(ADA)
    operation = labs.start(ADA, "hello-lab")
    assert served.done(labs, ADA, operation).state == "done"
    return str(operation.lab)
