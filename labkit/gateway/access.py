"""Who may open a pane: origin, ticket, epoch. Pure: what the cluster says comes in as values.

The order is fixed. Nothing is asked of the cluster before the ticket's signature, lab, machine and mode hold; so a
stranger learns nothing of which labs and machines exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from labkit.gateway.machines import Denied, MachinePane
from labkit.gateway.routes import PanePath
from labkit.manifests import names
from labkit.model import MachineState, PaneType
from labkit.tickets import SUBPROTOCOL_PREFIX, Ticket, TicketError

STREAM_PROTOCOLS = {
    PaneType.TERMINAL: "tty",
    PaneType.EXEC: "tty",
    PaneType.CONSOLE: "plain.kubevirt.io",
    PaneType.VNC: "plain.kubevirt.io",
}
"""The WebSocket subprotocol that a browser offers first, and the only one that is echoed."""

REQUEST_HEADER = "Labkit-Request"
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


def check_origin(origin: str | None, host: str | None) -> None:
    """A WebSocket is opened only by a page of the same host and port. Raises Denied.

    Browsers send Origin with every WebSocket, and a page cannot forge it. A proxy in front must pass Host on unchanged
    (jupyter-server-proxy does). No X-Forwarded-Host is believed.
    """
    if not origin or not host or _netloc(origin) != host.lower():
        raise Denied(403, "origin", "This can only be asked by a page of the same origin.")


def check_host(host: str | None, public: str = "") -> None:
    """On a loopback port, only loopback names, and the `public` one of a proxy in front: no web page is to reach it by
    its own name. Raises Denied."""
    own = loopback_name(host) or host_name(host).endswith(".localhost")
    if not own and (not public or host_name(host) != host_name(public)):
        raise Denied(403, "host", "This server answers only to localhost.")


def loopback_name(host: str | None) -> bool:
    """Whether a request was sent to this computer's own name or address."""
    return host_name(host) in LOOPBACK_HOSTS


def host_name(host: str | None) -> str:
    """The name in a Host header, in small letters; "" where there is none."""
    try:
        return urlsplit(f"//{host or ''}").hostname or ""
    except ValueError:  # a bracket that is never closed
        return ""


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


def check_change(headers: Mapping[str, str]) -> None:
    """What changes something is asked for by a script of our own page: by no form, and from no other origin.

    The header makes a browser ask first where another origin tries (and nobody answers it). Raises Denied.
    """
    check_origin(headers.get("origin"), headers.get("host"))
    if headers.get(REQUEST_HEADER.lower()) != "1":
        raise Denied(403, "request", f"A request that changes something needs the header {REQUEST_HEADER}: 1.")


def check_ticket(token: str | None, pane: PanePath, verify: Callable[[str], Ticket], *, control: bool) -> Ticket:
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
    if control and ticket.mode != "control":
        raise Denied(403, "view", "This ticket is for watching only.")
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


def check_open(path: PanePath, pane: MachinePane, offered: Sequence[str]) -> None:
    """Whether the pane's stream can be opened now, by a browser that offers these subprotocols. Raises Denied."""
    protocol = STREAM_PROTOCOLS.get(pane.type)
    if protocol is None:
        raise Denied(404, "no-stream", "This pane is a web page: it has no stream.")
    if not offered or offered[0] != protocol:
        raise Denied(400, "protocol", f"This pane speaks the subprotocol {protocol}.")
    running = pane.state is MachineState.RUNNING or (
        pane.state is MachineState.PAUSED and pane.type in (PaneType.VNC, PaneType.CONSOLE)
    )
    if not running:
        raise Denied(409, "", f"The machine {path.machine} is {pane.state}.", state=pane.state.value)
    if pane.type is PaneType.TERMINAL and not pane.address:
        raise Denied(409, "", f"The machine {path.machine} has no address yet.", state=MachineState.STARTING.value)
