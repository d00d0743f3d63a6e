"""Warm starts that nobody asked for: recent starts make a template and spares; here without private networks."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.local.conftest import answers, post
from tests.support.engine import EngineProcess, machine, namespace, running_engine, seed, until


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    """An engine that keeps one set parked after demand, on a computer that can make no private networks."""
    with running_engine(network="plain", warm="4", spares=1) as found:
        yield found


def start(engine: EngineProcess, space: str) -> str:
    """A machine ``web`` in a new namespace, which answers; how it was started."""
    assert engine.request("POST", "/api/v1/namespaces", namespace(space))[0] == 201
    post(engine, space, seed(space, hostname=space), machine("web", space))
    until(lambda: answers(engine, space), 200)
    return str(engine.vmi(space, "web")["metadata"]["annotations"]["labkit/start-mode"])


def told(engine: EngineProcess, what: str) -> list[object]:
    return list(json.loads(engine.request("GET", "/labkit/warm")[1])[what])


def test_the_first_machine_of_its_kind_boots_and_has_a_template_made(engine: EngineProcess) -> None:
    assert start(engine, "one") == "cold"
    until(lambda: told(engine, "templates"), 300)


def test_a_machine_like_one_that_was_started_lately_is_parked_and_claimed(engine: EngineProcess) -> None:
    until(lambda: told(engine, "spares"), 200)
    assert start(engine, "two") == "spare"
