"""One engine for the API's tests, and one machine that boots once for those that need a guest."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.engine import EngineProcess, headless_service, machine, namespace, running_engine, seed, until


@pytest.fixture(scope="session")
def engine() -> Iterator[EngineProcess]:
    """An engine that answers."""
    with running_engine() as found:
        yield found


@pytest.fixture
def space(engine: EngineProcess) -> str:
    """A new namespace."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    assert engine.request("POST", "/api/v1/namespaces", namespace(name))[0] == 201
    return name


def post(engine: EngineProcess, space: str, *objects: dict) -> None:
    """Create objects; each must be accepted."""
    groups = {
        "v1": "/api/v1",
        "kubevirt.io/v1": "/apis/kubevirt.io/v1",
        "networking.k8s.io/v1": "/apis/networking.k8s.io/v1",
        "cdi.kubevirt.io/v1beta1": "/apis/cdi.kubevirt.io/v1beta1",
        "snapshot.kubevirt.io/v1beta1": "/apis/snapshot.kubevirt.io/v1beta1",
    }
    plurals = {"NetworkPolicy": "networkpolicies"}
    for obj in objects:
        plural = plurals.get(obj["kind"], obj["kind"].lower() + "s")
        path = f"{groups[obj['apiVersion']]}/namespaces/{space}/{plural}"
        code, body = engine.request("POST", path, obj)
        assert code == 201, body


@dataclass(frozen=True)
class Guest:
    """A machine named ``web`` that has booted to its login prompt."""

    engine: EngineProcess
    space: str


def boot(engine: EngineProcess, space: str, **cloud_config: object) -> Guest:
    """Create the machine ``web`` and wait until its guest answers on port 22."""
    config = seed(space, hostname="web", **cloud_config)
    post(engine, space, config, headless_service("web", space), machine("web", space))
    until(lambda: engine.phase(space, "web") == "Running")
    until(lambda: answers(engine, space), 120)
    return Guest(engine, space)


def condition_of(guest: Guest, name: str, kind: str) -> dict:
    """One condition of a VMI, or an empty one."""
    conditions = guest.engine.vmi(guest.space, name).get("status", {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == kind), {})


def answers(engine: EngineProcess, space: str) -> bool:
    """Whether SSH greets from the machine ``web``."""
    try:
        with engine.stream(space, "web", "portforward/22") as stream:
            return stream.recv(5)[:3] == b"SSH"
    except Exception:  # not listening yet, in any of the ways in which that shows
        return False


@pytest.fixture(scope="session")
def guest(engine: EngineProcess) -> Guest:
    """A running machine; tests leave it running and unpaused."""
    engine.request("POST", "/api/v1/namespaces", namespace("guest"))
    return boot(engine, "guest")


@pytest.fixture(scope="module")
def own_engine() -> Iterator[EngineProcess]:
    """An engine that a test may end and start again."""
    with running_engine() as found:
        yield found
