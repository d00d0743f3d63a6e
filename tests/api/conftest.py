"""A Flask application with nothing but the API, asked as a program asks it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from labkit.app import Labs
from labkit.model import Principal, Role
from lti_app.api import Bearer, blueprint
from tests.support.text_lab import TextLab

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
