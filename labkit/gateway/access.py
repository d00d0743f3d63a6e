"""Who may open a pane: origin, ticket, epoch. Pure: what the cluster says comes in as values.

The order is fixed. Nothing is asked of the cluster before the ticket's signature, lab, machine and mode hold; so a
stranger learns nothing of which labs and machines exist.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from labkit.gateway.routes import PanePath
from labkit.manifests import names
from labkit.model import MachineState, PaneType
from labkit.tickets import SUBPROTOCOL_PREFIX, Ticket, TicketError

STREAM_PROTOCOLS = {PaneType.TERMINAL: "tty", PaneType.CONSOLE: "plain.kubevirt.io", PaneType.VNC: "plain.kubevirt.io"}
"""The WebSocket subprotocol that a browser offers first, and the only one that is echoed."""

_CONTAINER_PANES = (PaneType.TERMINAL,)
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


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
    """A pane that a machine really has, and the state its machine is in. `address` says whether it has reported one."""

    type: PaneType
    title: str
    state: MachineState
    address: str = ""
    port: int | None = None
    container: bool = False


def check_origin(origin: str | None, host: str | None) -> None:
    """A WebSocket is opened only by a page of the same host and port. Raises Denied.

    Browsers send Origin with every WebSocket, and a page cannot forge it. A proxy in front must pass Host on unchanged
    (jupyter-server-proxy does). No X-Forwarded-Host is believed.
    """
    if not origin or not host or _netloc(origin) != host.lower():
        raise Denied(403, "origin", "This stream can only be opened by a page of the same origin.")


def check_host(host: str | None) -> None:
    """On a loopback port, only loopback names: a web page must not reach it under its own name. Raises Denied."""
    try:
        name = urlsplit(f"//{host or ''}").hostname or ""
    except ValueError:  # a bracket that is never closed
        name = ""
    if name not in LOOPBACK_HOSTS and not name.endswith(".localhost"):
        raise Denied(403, "host", "This server answers only to localhost.")


def _netloc(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def ticket_of(subprotocols: Sequence[str]) -> str | None:
    """The ticket among the subprotocols that a browser offers: the second."""
    if len(subprotocols) == 2 and subprotocols[1].startswith(SUBPROTOCOL_PREFIX):
        return subprotocols[1].removeprefix(SUBPROTOCOL_PREFIX)
    return None


def check_ticket(token: str | None, pane: PanePath, verify: Callable[[str], Ticket]) -> Ticket:
    """The ticket in `token`, if it opens `pane` as far as it can say itself. Raises Denied (403)."""
    if not token:
        raise Denied(403, "missing", "This pane needs a ticket: open it from the lab.")
    try:
        ticket = verify(token)
    except TicketError as error:
        reason = "expired" if "expired" in str(error) else "invalid"
        raise Denied(403, reason, f"This pane cannot be opened: {error}.") from None
    if ticket.lab != pane.lab:
        raise Denied(403, "other-lab", "This ticket is for another lab.")
    if ticket.machines and pane.machine not in ticket.machines:
        raise Denied(403, "other-machine", "This ticket is for other machines of this lab.")
    if ticket.mode != "control":
        raise Denied(403, "view", "Watching without control is not built yet.")
    return ticket


def check_lab(ticket: Ticket, namespace: Mapping[str, Any] | None) -> None:
    """Whether the lab is there and still honours the ticket. Raises Denied."""
    if not lab_lives(namespace, ticket.lab) or namespace is None:
        raise Denied(404, "ended", "This lab has ended.", state=MachineState.STOPPED.value)
    if ticket.epoch < epoch_of(namespace):
        raise Denied(403, "revoked", "This ticket was withdrawn: open the pane from the lab again.")


def lab_lives(namespace: Mapping[str, Any] | None, lab: str) -> bool:
    """Whether this is the namespace of `lab`, and not on its way out."""
    metadata = (namespace or {}).get("metadata", {})
    return metadata.get("labels", {}).get(names.LAB) == lab and not metadata.get("deletionTimestamp")


def epoch_of(namespace: Mapping[str, Any]) -> int:
    """The lab's ticket epoch; 0 where none is written. Raises Denied for one that is no number: nothing passes then."""
    written = namespace.get("metadata", {}).get("annotations", {}).get(names.TICKET_EPOCH, "0")
    try:
        return int(written)
    except ValueError:
        raise Denied(403, "revoked", "This lab's ticket epoch cannot be read, so no ticket is honoured.") from None


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
    if kind not in (_CONTAINER_PANES if container else STREAM_PROTOCOLS):
        what = "container" if container else "machine"
        raise Denied(404, "not-built", f"A {what}'s pane of type {kind} is not served in this version.")
    title = str(found.get("title") or path.pane)
    state, address = (_pod_state, _pod_address) if container else (state_of, _address)
    return MachinePane(PaneType(kind), title, state(machine), address(machine), found.get("port"), container)


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


def check_open(path: PanePath, pane: MachinePane, offered: Sequence[str]) -> None:
    """Whether the pane's stream can be opened now, by a browser that offers these subprotocols. Raises Denied."""
    if not offered or offered[0] != STREAM_PROTOCOLS[pane.type]:
        raise Denied(400, "protocol", f"This pane speaks the subprotocol {STREAM_PROTOCOLS[pane.type]}.")
    running = pane.state is MachineState.RUNNING or (
        pane.state is MachineState.PAUSED and pane.type is not PaneType.TERMINAL
    )
    if not running:
        raise Denied(409, "", f"The machine {path.machine} is {pane.state}.", state=pane.state.value)
    if pane.type is PaneType.TERMINAL and not pane.address:
        raise Denied(409, "", f"The machine {path.machine} has no address yet.", state=MachineState.STARTING.value)
