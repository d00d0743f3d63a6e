"""The application on a store of each module's own; for each test a registered platform, and a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from labkit import app as labkit_app
from labkit.app import Labs
from labkit.orchestrator.keyring import Keyring
from labkit.orchestrator.labs import DirectLabs
from labkit.settings import Settings, load
from labkit.store import SqliteStore
from lti_app.application import create_app
from tests.lti.browser import Browser
from tests.lti.platform import TOOL, MockPlatform, running_platform


def site_settings(folder: Path, **more: str) -> Settings:
    """An installation in a folder of its own, whose platforms may be on this machine."""
    own = {"LABKIT_STATE_DIR": str(folder), "LABKIT_PUBLIC_URL": TOOL, "LABKIT_PRIVATE_PLATFORMS": "true"}
    return load({"HOME": str(folder), "LABKIT_KUBECONFIG": str(folder / "none"), **own, **more})


def direct_labs(settings: Settings, store: SqliteStore) -> Labs:
    """`Labs` on the settings' engine; nobody does its operations."""
    keys = Keyring(settings)
    return DirectLabs(labkit_app.surroundings(settings, keys, store), keys)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return site_settings(tmp_path_factory.mktemp("site") / "state")


@pytest.fixture(scope="module")
def store(settings: Settings) -> Iterator[SqliteStore]:
    found = SqliteStore(settings.database)
    yield found
    found.close()


@pytest.fixture(scope="module")
def app(settings: Settings, store: SqliteStore) -> Flask:
    return create_app(settings, direct_labs(settings, store), store)


@pytest.fixture
def platform(store: SqliteStore) -> Iterator[MockPlatform]:
    with running_platform() as mock:
        store.add_platform(mock.registered())
        yield mock
        store.remove_platform(mock.registered().id)


@pytest.fixture
def browser(app: Flask) -> Browser:
    return Browser(app)
