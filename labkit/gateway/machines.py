"""A pane as its machine (a VirtualMachineInstance, or a container's Pod) declares it, and how the machine is. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.gateway.routes import PanePath
from labkit.manifests import names
from labkit.model import MachineState, PaneType

_SERVED = {
    "VirtualMachineInstance": tuple(kind for kind in PaneType if kind is not PaneType.EXEC),
    "Pod": (PaneType.TERMINAL, PaneType.EXEC, PaneType.HTTP),
}
"""The kinds of panes that there are, by the kind of machine."""


class Denied(Exception):
    """A refusal. `status` is HTTP's, `reason` a stable word for programs, the text one sentence for people."""

    def __init__(self, status: int, reason: str, text: str, **extra: object) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason
        self.extra = extra

    def body(self) -> dict[str, object]:
        """The refusal as JSON."""
        return {"error": str(self), **({"reason": self.reason} if self.reason else {}), **self.extra}


@dataclass(frozen=True)
class MachinePane:
    """A pane that a machine really has, and the state its machine is in. `address` says whether it has reported one,
    `path` is the page that an http pane opens first."""

    type: PaneType
    title: str
    state: MachineState
    address: str = ""
    port: int | None = None
    container: bool = False
    path: str = "/"


def pane_of(path: PanePath, machine: Mapping[str, Any] | None) -> MachinePane:
    """The pane as its machine (a VirtualMachineInstance, or a container's Pod) declares it. Raises Denied (404)."""
    if machine is None:
        raise Denied(404, "stopped", f"The machine {path.machine} is not running.", state=MachineState.STOPPED.value)
    declared = machine.get("metadata", {}).get("annotations", {}).get(names.PANES, "[]")
    try:
        found = next((pane for pane in json.loads(declared) if pane["name"] == path.pane), None)
        kind = str(found["type"]) if found else ""
    except (ValueError, KeyError, TypeError):
        raise Denied(404, "no-pane", f"The panes of {path.machine} cannot be read.") from None
    if found is None:
        raise Denied(404, "no-pane", f"The machine {path.machine} has no pane named {path.pane}.")
    container = machine.get("kind") == "Pod"
    if kind not in _SERVED["Pod" if container else "VirtualMachineInstance"]:
        what = "container" if container else "machine"
        raise Denied(404, "no-pane", f"A {what} has no pane of type {kind}.")
    title = str(found.get("title") or path.pane)
    state, address = (_pod_state, _pod_address) if container else (state_of, _address)
    port, opens = found.get("port"), str(found.get("path") or "/")
    return MachinePane(PaneType(kind), title, state(machine), address(machine), port, container, opens)


@dataclass(frozen=True)
class MachineLogin:
    """The way in to a running machine: its uid, and what its annotation says of the account in it."""

    uid: str
    annotation: str


def login_of(path: PanePath, machine: Mapping[str, Any] | None) -> MachineLogin:
    """The way in to a machine that runs. Raises Denied (404, 409)."""
    if machine is None:
        raise Denied(404, "stopped", f"The machine {path.machine} is not running.", state=MachineState.STOPPED.value)
    if machine.get("kind") == "Pod":
        raise Denied(404, "not-built", "The files of a container are not served in this version.")
    annotation = machine["metadata"].get("annotations", {}).get(names.LOGIN)
    if annotation is None:
        raise Denied(404, "no-login", f"The machine {path.machine} has no account for a learner.")
    state = state_of(machine)
    if state is not MachineState.RUNNING or not _address(machine):
        told = MachineState.STARTING if state is MachineState.RUNNING else state
        raise Denied(409, "", f"The machine {path.machine} is {told}.", state=told.value)
    return MachineLogin(str(machine["metadata"]["uid"]), str(annotation))


def _pod_state(pod: Mapping[str, Any]) -> MachineState:
    """A container's state in labkit's words."""
    match pod.get("status", {}).get("phase"):
        case "Running":
            return MachineState.RUNNING
        case "Failed" | "Succeeded" | "Unknown":
            return MachineState.FAILED
        case _:
            return MachineState.STARTING


def _pod_address(pod: Mapping[str, Any]) -> str:
    return str(pod.get("status", {}).get("podIP") or "")


def state_of(vmi: Mapping[str, Any]) -> MachineState:
    """A machine's state in labkit's words. A paused machine keeps the phase Running; only the condition tells."""
    status = vmi.get("status", {})
    conditions = {entry.get("type"): entry.get("status") for entry in status.get("conditions", ())}
    match status.get("phase"):
        case "Running" if conditions.get("Paused") == "True":
            return MachineState.PAUSED
        case "Running":
            return MachineState.RUNNING
        case "Succeeded":
            return MachineState.STOPPED
        case "Failed" | "Unknown":
            return MachineState.FAILED
        case _:
            return MachineState.STARTING


def _address(vmi: Mapping[str, Any]) -> str:
    interfaces = vmi.get("status", {}).get("interfaces") or [{}]
    return str(interfaces[0].get("ipAddress") or "")
