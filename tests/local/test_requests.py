"""start, stop and restart: what each is answered under every run strategy and in every state of the machine. Pure."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.local.api.status import ApiError
from labkit.local.kubevirt import requests
from labkit.local.kubevirt.vm_plan import plan
from tests.local.test_rules import NOW, vm, vmi

VERBS = {"start": requests.start, "stop": requests.stop, "restart": requests.restart}
ALREADY, OFF = "VM is already running", "VM is not running"
NO_RESTART = "RunStategy {} does not support manual restart requests"
FAILED = "RerunOnFailure does not support starting VM from failed state"
SHORTER = "Halted only supports manual stop requests with a shorter graceperiod"
NO_START = "{} does not support manual start requests"
STATES = ("", "Running", "Succeeded", "Failed")
ANSWERS = {
    ("Always", "start"): (NO_START, ALREADY, NO_START, NO_START),
    ("Once", "start"): (NO_START, ALREADY, NO_START, NO_START),
    ("Halted", "start"): ("Always", ALREADY, "Always", "Always"),
    ("Manual", "start"): ("+Start", ALREADY, "+Stop+Start", "+Stop+Start"),
    ("RerunOnFailure", "start"): ("+Start", ALREADY, "+Stop+Start", FAILED),
    ("Always", "stop"): ("Halted",) * 4,
    ("Once", "stop"): ("Halted",) * 4,
    ("Halted", "stop"): (OFF, SHORTER, OFF, OFF),
    ("Manual", "stop"): (OFF, "+Stop", OFF, OFF),
    ("RerunOnFailure", "stop"): (OFF, "+Stop", OFF, OFF),
    ("Halted", "restart"): (NO_RESTART,) * 4,
    ("Once", "restart"): (NO_RESTART,) * 4,
    ("Always", "restart"): ("VM is not running: Halted", *("+Stop+Start",) * 3),
    ("Manual", "restart"): ("VM is not running: Halted", *("+Stop+Start",) * 3),
    ("RerunOnFailure", "restart"): ("VM is not running: Halted", *("+Stop+Start",) * 3),
}
"""Per state: the new run strategy, the +actions asked for, or the refusal."""
ROWS = [(*key, state, said) for key, answers in ANSWERS.items() for state, said in zip(STATES, answers, strict=True)]


def machine_in(state: str) -> dict[str, Any] | None:
    """A VMI in a phase, with a grace period."""
    found = vmi(state) if state else None
    if found:
        found["spec"]["terminationGracePeriodSeconds"] = 30
    return found


@pytest.mark.parametrize(("strategy", "verb", "state", "said"), ROWS)
def test_every_verb_has_its_answer_under_every_strategy_in_every_state(
    strategy: str, verb: str, state: str, said: str
) -> None:
    found = vm(strategy)
    if " " in said:
        with pytest.raises(ApiError) as refused:
            VERBS[verb](found, machine_in(state), {})
        why = f'Operation cannot be fulfilled on virtualmachine.kubevirt.io "web": {said.format(strategy)}'
        assert (refused.value.code, refused.value.message) == (409, why)
        return
    VERBS[verb](found, machine_in(state), {})
    asked = "".join(f"+{request['action']}" for request in found["status"].get("stateChangeRequests", []))
    assert (found["spec"]["runStrategy"], asked) == ((strategy, said) if said[0] == "+" else (said, ""))


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_only_a_stop_overtakes_what_is_under_way(verb: str) -> None:
    found = vm("Manual", stateChangeRequests=[{"action": "Start"}])
    with pytest.raises(ApiError) as refused:
        VERBS[verb](found, machine_in("Succeeded"), {})
    said = "Internal error occurred: unable to complete request: stop/start already underway"
    assert (refused.value.code, refused.value.message) == (500, said)
    requests.stop(found, machine_in("Running"), {})
    assert found["status"]["stateChangeRequests"] == [{"action": "Stop", "uid": "vmi-1"}]


def test_a_machine_that_takes_long_to_stop_can_be_given_less_time() -> None:
    found = vm("Halted")
    requests.stop(found, machine_in("Running"), {"gracePeriod": 5})
    assert found["status"]["stateChangeRequests"] == [{"action": "Stop", "uid": "vmi-1"}]


@pytest.mark.parametrize("seconds", [-1, 2**31, 10**400, "5", True, 1.5])
@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_a_grace_period_that_is_none_is_refused(verb: str, seconds: object) -> None:
    found = vm("Manual")
    with pytest.raises(ApiError) as refused:
        VERBS[verb](found, machine_in("Running"), {"gracePeriod": seconds})
    assert refused.value.code == 400


def test_a_stop_in_the_middle_of_a_restart_leaves_no_start_behind() -> None:
    found = vm("Always")
    requests.restart(found, machine_in("Running"), {})
    requests.stop(found, machine_in("Running"), {})
    halted = plan(found, None, NOW)
    assert (halted.create, halted.status.get("stateChangeRequests")) == (None, None)
    requests.start(found | {"status": halted.status}, None, {"paused": True})


def test_machines_that_failed_together_are_not_tried_again_together() -> None:
    waits = set()
    for n in range(20):
        failed = vmi("Failed", ran=False)
        failed["metadata"]["uid"] = f"vmi-{n}"
        again = plan(vm("Always"), failed, NOW).status
        waits.add(plan(vm("Always", **again), None, NOW).again)
    assert len(waits) > 3
    assert all(10 <= wait <= 15 for wait in waits if wait)


def test_no_machine_waits_longer_than_five_minutes_for_the_next_try() -> None:
    old = {"consecutiveFailCount": 50, "lastFailedVMIUID": "another", "retryAfterTimestamp": "2026-01-01T00:00:00Z"}
    again = plan(vm("Always", startFailure=old), vmi("Failed", ran=False), NOW).status
    assert again["startFailure"]["retryAfterTimestamp"] == "2026-01-01T00:05:00Z"


def test_a_changed_template_needs_a_restart_until_the_machine_is_a_new_one() -> None:
    found, running = vm("Always"), vmi("Running")
    changed = running | {"spec": running["spec"] | {"hostname": "another"}}

    def asked(now: dict[str, Any] | None) -> list[str]:
        return [item["status"] for item in plan(found, now, NOW).status["conditions"] if item["type"] == word]

    word = "RestartRequired"
    assert asked(changed) == ["True"]
    assert asked(vmi("Failed")) == asked(None) == []
