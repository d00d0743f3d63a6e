"""What Kubernetes objects say, in labkit's words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from labkit.model import LabState, MachineState, MachineStatus
from labkit.orchestrator.causes import cause_of
from labkit.store import LabRow
from labkit.templates import Machine

Object = Mapping[str, Any]


def machine_status(machine: Machine, vm: Object | None, vmi: Object | None) -> MachineStatus:
    """One machine of a template, told by its VirtualMachine and VirtualMachineInstance (either may be missing)."""
    status: Object = (vmi or {}).get("status") or {}
    annotations: Object = (vmi or {}).get("metadata", {}).get("annotations") or {}
    interfaces = status.get("interfaces") or [{}]
    state, detail, cause = _state(vm, vmi)
    if state is MachineState.RUNNING and machine.ready and not _is_ready(status):
        state = MachineState.STARTING
    return MachineStatus(
        name=machine.name,
        state=state,
        panes=machine.panes,
        address=str(interfaces[0].get("ipAddress") or ""),
        detail=detail,
        start_mode=str(annotations.get("labkit/start-mode") or ""),
        acceleration=str(annotations.get("labkit/acceleration") or ""),
        cause=cause,
        type=machine.type,
    )


def container_status(machine: Machine, pod: Object | None) -> MachineStatus:
    """One machine that is a container, told by its Pod."""
    status: Object = (pod or {}).get("status") or {}
    address = str(status.get("podIP") or "")
    ready = MachineState.RUNNING if _is_ready(status) else MachineState.STARTING
    found = MachineStatus(machine.name, ready, machine.panes, address, type=machine.type)
    if cause := cause_of(pod):
        return replace(found, state=MachineState.FAILED, detail=cause.words, cause=cause.said)
    if status.get("phase") == "Succeeded":
        return replace(found, state=MachineState.FAILED, detail="its container has ended")
    return found


def _is_ready(status: Object) -> bool:
    return any(
        found.get("type") == "Ready" and found.get("status") == "True" for found in status.get("conditions") or ()
    )


def _state(vm: Object | None, vmi: Object | None) -> tuple[MachineState, str, str]:
    """State, the learner's sentence and the operator's cause."""
    vm_status: Object = (vm or {}).get("status") or {}
    vmi_status: Object = (vmi or {}).get("status") or {}
    phase = vmi_status.get("phase")
    if phase == "Running":
        return _running(vmi_status)
    if cause := cause_of(vmi, vm):
        return MachineState.FAILED, cause.words, cause.said
    stopped = vm is not None and vmi is None and vm_status.get("printableStatus") == "Stopped"
    if phase == "Succeeded" or (stopped and vm_status.get("runStrategy")):
        return MachineState.STOPPED, "", ""
    return MachineState.STARTING, "", ""


def _running(status: Object) -> tuple[MachineState, str, str]:
    paused = next((found for found in status.get("conditions") or () if found.get("type") == "Paused"), None)
    if paused is None or paused.get("status") == "False":
        return MachineState.RUNNING, "", ""
    if paused.get("reason") == "PausedToDisk":
        return MachineState.PAUSED, "it is put away, and takes no memory", ""
    if paused.get("reason") == "PausedIOError":
        return MachineState.PAUSED, "it stands still: its disk cannot be written", str(paused.get("message") or "")
    return MachineState.PAUSED, "", ""


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
    if row.admitted is None:
        return LabState.QUEUED
    if row.ready is None:
        return LabState.STARTING
    return _running_state([machine.state for machine in machines], row.wanted)


def _running_state(states: Sequence[MachineState], wanted: str) -> LabState:
    """Containers cannot be frozen: a lab that is to be paused is, where any machine stands still."""
    still = [state in (MachineState.PAUSED, MachineState.STOPPED) for state in states]
    frozen = states and all(state is MachineState.PAUSED for state in states)
    return LabState.PAUSED if frozen or (wanted == "paused" and any(still)) else LabState.RUNNING
