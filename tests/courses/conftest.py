"""A Moodle-like platform that is registered with the application, and a browser in which its people click."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from flask import Flask
from werkzeug.test import TestResponse

from labkit.folders import make_private
from labkit.orchestrator.keyring import write_secret
from labkit.settings import Settings
from labkit.store import Platform, SqliteStore
from lti_app.application import create_app
from lti_app.lti.keys import ToolKey, ToolKeys
from tests.lti.browser import Browser
from tests.lti.conftest import direct_labs, site_settings
from tests.lti.platform import TOOL
from tests.support.platform import Platform as Simulator
from tests.support.platform import running_platform

Visit = Callable[..., TestResponse]


@cache
def _pem() -> bytes:
    """One key for all tests: making one takes a while."""
    return ToolKey("any", generate_private_key(public_exponent=65537, key_size=2048)).pem()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = site_settings(tmp_path / "state", LABKIT_IMAGE_REGISTRY="registry.example/labkit")
    make_private(found.state_dir)
    write_secret(make_private(found.keys_dir) / "lti.pem", _pem())
    return found


@pytest.fixture
def store(settings: Settings) -> Iterator[SqliteStore]:
    found = SqliteStore(settings.database)
    yield found
    found.close()


@pytest.fixture
def app(settings: Settings, store: SqliteStore) -> Flask:
    return create_app(settings, direct_labs(settings, store), store)


@pytest.fixture
def moodle(settings: Settings) -> Iterator[Simulator]:
    with running_platform(TOOL) as found:
        found.trust(ToolKeys(settings).jwks())
        yield found


def as_registered(moodle: Simulator, id: str = "p1") -> Platform:
    """What an operator would type in."""
    known = moodle.settings()
    urls = {"auth_url": known["authorization_endpoint"], "token_url": known["token_endpoint"]}
    about = {"issuer": known["issuer"], "client_id": known["client_id"], "name": "Moodle"}
    return Platform(id, **about, **urls, jwks_url=known["jwks_uri"], deployments=(moodle.deployment,), created=1.0)


@pytest.fixture
def registered(store: SqliteStore, moodle: Simulator) -> Platform:
    found = as_registered(moodle)
    store.add_platform(found)
    return found


@pytest.fixture
def visit(app: Flask, moodle: Simulator) -> Visit:
    """Click on an activity (without one: on adding one) as a person, in a browser of his own; the page that comes."""

    def click(user: str, course: str = "2", activity: str = "", *, review: str = "") -> TestResponse:
        browser = Browser(app)
        asked = browser.post("/lti/login", data=moodle.login_request(user, course, activity, review=review))
        if asked.headers["Location"].startswith("/lti/login"):
            asked = browser.get(asked.headers["Location"])
        page = requests.get(asked.headers["Location"], timeout=10).text
        form = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', page)}
        answer = browser.post("/lti/launch", data=form)
        if answer.status_code == 303:
            answer = browser.client.get(answer.headers["Location"], base_url=TOOL, follow_redirects=True)
        answer.browser = browser  # type: ignore[attr-defined]
        return answer

    return click


def send(page: TestResponse, path: str, origin: str = TOOL, **fields: object) -> TestResponse:
    """Post one of a page's forms, by its path below the page's own address."""
    csrf = re.search(r'name="csrf" value="(\w+)"|data-csrf="(\w+)"', page.text)
    assert csrf is not None
    browser: Browser = page.browser  # type: ignore[attr-defined]
    return browser.post(
        page.request.path + path, headers={"Origin": origin}, data={"csrf": csrf[1] or csrf[2], **fields}
    )


def read(page: TestResponse, path: str) -> TestResponse:
    """Follow one of a page's links."""
    browser: Browser = page.browser  # type: ignore[attr-defined]
    found = browser.client.get(page.request.path + path, base_url=TOOL, follow_redirects=True)
    found.browser = browser  # type: ignore[attr-defined]
    return found
