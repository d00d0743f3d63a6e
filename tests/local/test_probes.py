"""Readiness and liveness: how answers are counted, and what they do to a real machine."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.local.controllers.probes import after
from tests.local.conftest import Guest, condition_of, post
from tests.support.engine import SUBRESOURCES, EngineProcess, machine, namespace, seed, until

PROBE = {"successThreshold": 2, "failureThreshold": 3}


@pytest.mark.parametrize(
    ("first", "answers", "good"),
    [
        (False, [True], False),
        (False, [True, True], True),
        (False, [True, False, True], False),
        (True, [False, False], True),
        (True, [False, False, True, False, False], True),
        (True, [False, False, False], False),
        (True, [False, False, False, True, True], True),
    ],
)
def test_a_verdict_changes_after_enough_answers_in_a_row(first: bool, answers: list[bool], good: bool) -> None:
    believed, against = first, 0
    for answer in answers:
        believed, against = after(believed, against, answer, PROBE)
    assert believed is good


def start(engine: EngineProcess, space: str, name: str, **spec: Any) -> None:
    """Create a machine with probes that ask every second."""
    found = machine(name, space, strategy="Once")
    for probe in spec.values():
        probe |= {"periodSeconds": 1, "timeoutSeconds": 5}
    found["spec"]["template"]["spec"] |= spec
    post(engine, space, found)


@pytest.fixture(scope="module")
def probed(engine: EngineProcess) -> Guest:
    """Machines that boot side by side, each with another probe."""
    engine.request("POST", "/api/v1/namespaces", namespace("probed"))
    post(engine, "probed", seed("probed", write_files=[{"path": "/ok", "content": "ok"}]))
    ssh, later = {"tcpSocket": {"port": 22}}, {"initialDelaySeconds": 3600}
    start(engine, "probed", "tcp", readinessProbe={**ssh}, livenessProbe={"guestAgentPing": {}, **later})
    start(engine, "probed", "http", readinessProbe={"httpGet": {"port": 7681}}, livenessProbe={**ssh, **later})
    start(engine, "probed", "exec", readinessProbe={"exec": {"command": ["test", "-e", "/ok"]}})
    start(engine, "probed", "never", livenessProbe={"tcpSocket": {"port": 9}})
    return Guest(engine, "probed")


def test_a_machine_that_fails_its_liveness_probe_is_ended(probed: Guest) -> None:
    until(lambda: probed.engine.phase("probed", "never") == "Failed", 60)
    events = probed.engine.kubectl("get", "events", "-n", "probed")
    assert "Liveness probe failed" in events
    assert "failed its liveness probe" in events


@pytest.mark.parametrize("name", ["tcp", "http", "exec"])
def test_a_machine_is_ready_once_its_probe_is_answered(probed: Guest, name: str) -> None:
    ready = until(
        lambda: found if (found := condition_of(probed, name, "Ready")).get("status") == "True" else None, 150
    )
    running = probed.engine.vmi("probed", name)["status"]["phaseTransitionTimestamps"][-1]
    assert running["phaseTransitionTimestamp"] < ready["lastTransitionTime"]
    assert "2/2" in probed.engine.kubectl("get", "pods", "-n", "probed", "-l", f"app={name}")


def test_a_machine_with_another_liveness_probe_than_a_ping_cannot_be_paused(probed: Guest) -> None:
    path = f"{SUBRESOURCES}/namespaces/probed/virtualmachineinstances"
    assert probed.engine.request("PUT", f"{path}/tcp/pause")[0] == 200
    code, body = probed.engine.request("PUT", f"{path}/http/pause")
    assert (code, b"Pausing VMIs with a non-GuestAgentPing LivenessProbe is not supported" in body) == (403, True)
