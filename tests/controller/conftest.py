"""One engine for each module, and a new installation before it for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controller.site import Site
from tests.support.engine import EngineProcess, running_engine


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with running_engine() as found:
        yield found


@pytest.fixture
def site(engine: EngineProcess) -> Iterator[Site]:
    found = Site(engine)
    yield found
    print((found.folder / "controller.log").read_text() if (found.folder / "controller.log").exists() else "")
    found.close()
