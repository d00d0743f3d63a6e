"""The users of each module's Hub."""

from __future__ import annotations

import pytest

from tests.hub.hubs import Hub, User


@pytest.fixture(scope="module")
def alice(hub: Hub) -> User:
    return hub.user("alice")


@pytest.fixture(scope="module")
def bob(hub: Hub) -> User:
    return hub.user("bob")
