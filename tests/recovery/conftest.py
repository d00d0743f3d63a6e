"""A home of its own for each test, of which nothing may be left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.home import Home, new_home


@pytest.fixture
def home() -> Iterator[Home]:
    found = new_home()
    yield found
    found.end()
    assert found.processes() == []
