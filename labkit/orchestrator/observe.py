"""What Kubernetes objects say, in labkit's words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from labkit.model import LabState, MachineState, MachineStatus
from labkit.store import LabRow
from labkit.templates import Machine

Object = Mapping[str, Any]

_STUCK = {
    "ErrorUnschedulable",
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrorPvcNotFound",
    "DataVolumeError",
    "CrashLoopBackOff",
}
"""A VirtualMachine's printableStatus that will not mend itself soon."""


def machine_status(machine: Machine, vm: Object | None, vmi: Object | None) -> MachineStatus:
    """One machine of a template, told by its VirtualMachine and VirtualMachineInstance (either may be missing)."""
    status: Object = (vmi or {}).get("status") or {}
    annotations: Object = (vmi or {}).get("metadata", {}).get("annotations") or {}
    interfaces = status.get("interfaces") or [{}]
    state, detail = _state(vm, vmi)
    return MachineStatus(
        name=machine.name,
        state=state,
        panes=machine.panes,
        address=str(interfaces[0].get("ipAddress") or ""),
        detail=detail,
        start_mode=str(annotations.get("labkit/start-mode") or ""),
        acceleration=str(annotations.get("labkit/acceleration") or ""),
    )


_STUCK_PODS = {
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
}
"""Why a container waits that will not start by itself soon."""


def container_status(machine: Machine, pod: Object | None) -> MachineStatus:
    """One machine that is a container, told by its Pod."""
    status: Object = (pod or {}).get("status") or {}
    record: Object = next(iter(status.get("containerStatuses") or ()), {})
    state, detail = _container_state(status, record.get("state") or {})
    return MachineStatus(machine.name, state, machine.panes, str(status.get("podIP") or ""), detail)


def _container_state(status: Object, state: Object) -> tuple[MachineState, str]:
    waiting: Object = state.get("waiting") or {}
    reason = str(waiting.get("reason") or "")
    if reason in _STUCK_PODS:
        return MachineState.FAILED, str(waiting.get("message") or f"the engine says {reason}")
    if status.get("phase") in ("Failed", "Succeeded"):
        return MachineState.FAILED, str(status.get("message") or status.get("reason") or "its container has ended")
    scheduled = _conditions(status, kept="PodScheduled").get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return MachineState.FAILED, str(scheduled.get("message") or "there is no room for it")
    ready = _conditions(status).get("Ready", {}).get("status") == "True"
    return (MachineState.RUNNING if ready else MachineState.STARTING), ""


def _state(vm: Object | None, vmi: Object | None) -> tuple[MachineState, str]:
    vm_status: Object = (vm or {}).get("status") or {}
    vmi_status: Object = (vmi or {}).get("status") or {}
    printable = str(vm_status.get("printableStatus") or "")
    phase = vmi_status.get("phase")
    conditions = _conditions(vmi_status)
    fault = _fault(conditions) or _fault(_conditions(vm_status))
    if phase == "Running":
        return (MachineState.PAUSED, "") if "Paused" in conditions else (MachineState.RUNNING, "")
    if printable in _STUCK or fault:
        return MachineState.FAILED, fault or f"the engine says {printable}"
    if phase == "Failed":
        return MachineState.FAILED, "it crashed"
    if phase == "Succeeded" or (
        vm is not None and vmi is None and printable == "Stopped" and vm_status.get("runStrategy")
    ):
        return MachineState.STOPPED, ""
    return MachineState.STARTING, ""


def _conditions(status: Object, kept: str = "Synchronized") -> dict[str, Object]:
    """Conditions by type: those that hold, and `kept`, which says something where it does not."""
    return {
        str(condition.get("type")): condition
        for condition in status.get("conditions") or ()
        if condition.get("status") != "False" or condition.get("type") == kept
    }


def _fault(conditions: Mapping[str, Object]) -> str:
    """The engine's own sentence where it cannot make a machine, else nothing."""
    for name, bad in (("Synchronized", "False"), ("Failure", "True")):
        condition = conditions.get(name)
        if condition and condition.get("status") == bad:
            return str(condition.get("message") or condition.get("reason") or name)
    return ""


def lab_state(row: LabRow, machines: Iterable[MachineStatus]) -> LabState:
    """A lab in one word: what its row wants, corrected by what its machines are."""
    if row.fault:
        return LabState.FAILED
    if row.lost:
        return LabState.LOST
    if row.ended is not None:
        return LabState.STOPPED
    if row.wanted == "ended":
        return LabState.STOPPING
    if row.ready is None:
        return LabState.STARTING
    return _running_state([machine.state for machine in machines])


def _running_state(states: Sequence[MachineState]) -> LabState:
    if states and all(state is MachineState.PAUSED for state in states):
        return LabState.PAUSED
    return LabState.RUNNING
