"""start, stop and restart under each run strategy: codes, words, and what they do to spec and status."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Space, vm
from tests.support.cluster import Answer
from tests.support.engine import until

OFF = [
    ("Halted", "start", 202, ""),
    ("Halted", "stop", 409, "VM is not running"),
    ("Halted", "restart", 409, "RunStategy Halted does not support manual restart requests"),
    ("Manual", "start", 202, ""),
    ("Manual", "stop", 409, "VM is not running"),
    ("Manual", "restart", 409, "VM is not running: Halted"),
]
"""Strategies under which a new machine stays off."""
ON = [
    ("Always", "start", 409, "VM is already running"),
    ("Always", "stop", 202, ""),
    ("Always", "restart", 202, ""),
    ("Once", "start", 409, "VM is already running"),
    ("Once", "stop", 202, ""),
    ("Once", "restart", 409, "RunStategy Once does not support manual restart requests"),
    ("RerunOnFailure", "start", 409, "VM is already running"),
    ("RerunOnFailure", "stop", 202, ""),
    ("RerunOnFailure", "restart", 202, ""),
]
"""Strategies under which it is started, here with an image that is nowhere: it is on, but never runs."""


def check(answer: Answer, code: int, message: str, kind: str = "virtualmachine") -> None:
    """Success without a body, or a conflict in KubeVirt's words."""
    assert answer.code == code, answer.body
    if code == 202:
        assert answer.body == b""
        return
    assert answer.refusal == (409, "Conflict")
    assert answer.message == f'Operation cannot be fulfilled on {kind}.kubevirt.io "web": {message}'


def exists(space: Space) -> bool:
    return space.get("virtualmachineinstances", "web").code == 200


@pytest.mark.parametrize(("strategy", "verb", "code", "message"), OFF)
def test_a_machine_that_is_off(space: Space, strategy: str, verb: str, code: int, message: str) -> None:
    space.make(vm(strategy=strategy))
    check(space.do(verb), code, message)
    if code == 202:
        until(lambda: exists(space), 20)


@pytest.mark.parametrize(("strategy", "verb", "code", "message"), ON)
def test_a_machine_that_is_on(space: Space, strategy: str, verb: str, code: int, message: str) -> None:
    space.make(vm(strategy=strategy))
    until(
        lambda: space.get("virtualmachineinstances", "web").document.get("status", {}).get("phase") == "Scheduling", 30
    )
    before = space.get("virtualmachineinstances", "web").document["metadata"]["uid"]
    check(space.do(verb), code, message)

    def uid() -> str:
        return str(space.get("virtualmachineinstances", "web").document.get("metadata", {}).get("uid", ""))

    if (verb, code) == ("stop", 202):
        until(lambda: not exists(space), 30)
    elif (verb, code) == ("restart", 202):
        until(lambda: uid() not in ("", before), 30)
    else:
        assert uid() == before


@pytest.mark.parametrize(
    ("strategy", "verb", "becomes"),
    [
        ("Halted", "start", "Always"),
        ("Always", "stop", "Halted"),
        ("Once", "stop", "Halted"),
        ("Manual", "start", "Manual"),
    ],
)
def test_start_and_stop_rewrite_some_strategies(space: Space, strategy: str, verb: str, becomes: str) -> None:
    space.make(vm(strategy=strategy))
    if verb == "stop":
        until(lambda: exists(space), 20)
    check(space.do(verb), 202, "")
    assert space.get("virtualmachines", "web").document["spec"]["runStrategy"] == becomes


def test_the_older_spelling_is_rewritten_in_its_own_words(space: Space) -> None:
    found = vm()
    found["spec"]["running"] = False
    del found["spec"]["runStrategy"]
    space.make(found)
    check(space.do("start"), 202, "")
    spec = space.get("virtualmachines", "web").document["spec"]
    assert (spec["running"], "runStrategy" in spec) == (True, False)


def test_a_machine_started_paused_is_asked_to(space: Space) -> None:
    space.make(vm(strategy="Manual"))
    check(space.do("start", body={"paused": True}), 202, "")
    found = until(lambda: exists(space) and space.get("virtualmachineinstances", "web").document, 20)
    assert found["spec"]["startStrategy"] == "Paused"


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_a_dry_run_does_nothing(space: Space, verb: str) -> None:
    strategy = "Halted" if verb == "start" else "Always"
    space.make(vm(strategy=strategy))
    if verb != "start":
        until(lambda: exists(space), 20)
    before = space.get("virtualmachines", "web").document["spec"]
    check(space.do(verb, body={"dryRun": ["All"]}), 202, "")
    assert space.get("virtualmachines", "web").document["spec"] == before


@pytest.mark.parametrize("seconds", [5, -1])
def test_a_restart_is_gentle_or_at_once_and_nothing_between(space: Space, seconds: int) -> None:
    space.make(vm(strategy="Always"))
    until(lambda: exists(space), 20)
    assert space.do("restart", body={"gracePeriodSeconds": seconds}).code == 400


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_a_machine_that_is_not_there_is_not_found(space: Space, verb: str) -> None:
    answer = space.do(verb, "nobody")
    assert answer.refusal == (404, "NotFound")
    assert "nobody" in answer.message


def test_a_machine_that_was_never_on_is_stopped_and_not_ready(space: Space) -> None:
    space.make(vm())
    status = until(lambda: space.get("virtualmachines", "web").document.get("status", {}), 20)
    assert status["printableStatus"] == "Stopped"
    ready = until(lambda: space.condition("virtualmachines", "web", "Ready"), 20)
    assert (ready["status"], ready["reason"]) == ("False", "VMINotExists")


def test_a_machines_instance_is_its_own_and_carries_its_templates_labels(space: Space) -> None:
    made = space.make(vm(strategy="Always"))
    found = until(lambda: exists(space) and space.get("virtualmachineinstances", "web").document, 20)
    owner = found["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("VirtualMachine", made["metadata"]["uid"], True)
    assert found["metadata"]["labels"]["app"] == "web"


def test_a_phase_is_dated(space: Space) -> None:
    space.make(vm(strategy="Always"))
    phases = until(lambda: exists(space) and space.get("virtualmachineinstances", "web").document.get("status"), 20)
    first = phases["phaseTransitionTimestamps"][0]
    assert (first["phase"], first["phaseTransitionTimestamp"][-1]) == ("Pending", "Z")


def test_a_deleted_machine_takes_its_instance_with_it(space: Space) -> None:
    space.make(vm(strategy="Always"))
    until(lambda: exists(space), 20)
    space.delete("virtualmachines", "web")
    until(lambda: not exists(space) and space.names("virtualmachines") == [], 30)
