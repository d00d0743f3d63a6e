"""What Kubernetes objects say, in labkit's words."""

from dataclasses import replace
from typing import Any

import pytest

from labkit.model import LabState, MachineState, MachineStatus
from labkit.orchestrator.observe import container_status, lab_state, machine_status
from labkit.store import LabRow
from labkit.templates import Image, Machine, Readiness
from labkit.view import machine_json

BOX = Machine("box", "vm", Image("bundled", "tiny"), 1, 2**28)


def vmi(phase: str, *conditions: dict[str, str], **status: Any) -> dict[str, Any]:
    return {"metadata": {"annotations": {}}, "status": {"phase": phase, "conditions": list(conditions), **status}}


def vm(printable: str, *conditions: dict[str, str]) -> dict[str, Any]:
    return {"status": {"printableStatus": printable, "runStrategy": "RerunOnFailure", "conditions": list(conditions)}}


SYNC_FAULT = {"type": "Synchronized", "status": "False", "reason": "ErrImagePull", "message": "no image tiny"}
FAILURE = {"type": "Failure", "status": "True", "message": "quota"}
SYNCED = {"type": "Synchronized", "status": "True"}


@pytest.mark.parametrize(
    ("the_vm", "the_vmi", "state", "cause"),
    [
        (None, None, MachineState.STARTING, ""),
        (vm("Starting"), vmi("Scheduling"), MachineState.STARTING, ""),
        (vm("Running"), vmi("Running", SYNCED), MachineState.RUNNING, ""),
        (vm("Paused"), vmi("Running", {"type": "Paused", "status": "True"}), MachineState.PAUSED, ""),
        (vm("ErrImagePull"), vmi("Pending", SYNC_FAULT), MachineState.FAILED, "ErrImagePull: no image tiny"),
        (vm("ErrorUnschedulable"), None, MachineState.FAILED, "the engine says ErrorUnschedulable"),
        (
            vm("Starting", {"type": "Failure", "status": "True", "message": "quota"}),
            None,
            MachineState.FAILED,
            "Failure: quota",
        ),
        (vm("Stopped"), None, MachineState.STOPPED, ""),
        (vm("Stopped"), vmi("Succeeded"), MachineState.STOPPED, ""),
        (vm("Starting"), vmi("Failed"), MachineState.FAILED, "its process ended with an error"),
    ],
)
def test_a_machines_state(the_vm: Any, the_vmi: Any, state: MachineState, cause: str) -> None:
    found = machine_status(BOX, the_vm, the_vmi)
    assert (found.state, found.cause, bool(found.detail)) == (state, cause, bool(cause))


def test_a_machines_address_is_its_first_interfaces() -> None:
    assert machine_status(BOX, None, vmi("Running", interfaces=[{"ipAddress": "10.1.2.3"}])).address == "10.1.2.3"


def lab(**changes: Any) -> LabRow:
    values = {"wanted": "running", "admitted": 0.5, "ready": 1.0, "ended": None, "lost": False, "fault": ""}
    return LabRow("a", "w", "l", "Ada", "hello-lab", "d", created=0.0, **{**values, **changes})


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (lab(ready=None), LabState.STARTING),
        (lab(), LabState.RUNNING),
        (lab(wanted="ended"), LabState.STOPPING),
        (lab(wanted="ended", ended=2.0), LabState.STOPPED),
        (lab(ended=2.0, fault="no image"), LabState.FAILED),
        (lab(ended=2.0, lost=True), LabState.LOST),
    ],
)
def test_a_labs_state_follows_its_row(row: LabRow, state: LabState) -> None:
    assert lab_state(row, [MachineStatus("box", MachineState.RUNNING)]) is state


def test_a_lab_is_paused_when_all_its_machines_are() -> None:
    paused, running = MachineStatus("a", MachineState.PAUSED), MachineStatus("b", MachineState.RUNNING)
    assert lab_state(lab(), [paused, paused]) is LabState.PAUSED
    assert lab_state(lab(), [paused, running]) is LabState.RUNNING


@pytest.mark.parametrize(("ready", "state"), [("False", MachineState.STARTING), ("True", MachineState.RUNNING)])
def test_a_machine_with_a_readiness_of_its_own_starts_until_it_is_ready(ready: str, state: MachineState) -> None:
    machine = replace(BOX, ready=Readiness("agent"))
    found = machine_status(machine, vm("Running"), vmi("Running", {"type": "Ready", "status": ready}))
    assert found.state is state


@pytest.mark.parametrize("phase", ["Running", "Succeeded"])
def test_a_machine_says_whether_it_is_a_container(phase: str) -> None:
    web = Machine("web", "container", Image("bundled", "web"), 1, 2**28)
    found = (machine_status(BOX, None, None), container_status(web, {"status": {"phase": phase}}))
    assert [machine_json(one)["type"] for one in found] == ["vm", "container"]
