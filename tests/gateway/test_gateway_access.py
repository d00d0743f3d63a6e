"""Who may open what: the rules as values in, a refusal out."""

from __future__ import annotations

import json
from contextlib import nullcontext
from typing import Any

import pytest

from labkit.gateway import access
from labkit.gateway.machines import Denied, MachinePane, pane_of
from labkit.gateway.routes import PanePath
from labkit.model import MachineState, PaneType
from labkit.tickets import Ticket

PATH = PanePath("alab", "m", "console")


def vmi(phase: str, *conditions: str, panes: Any = None) -> dict[str, Any]:
    declared = [{"name": "console", "type": "console", "title": "Console"}] if panes is None else panes
    status = {"phase": phase, "conditions": [{"type": name, "status": "True"} for name in conditions]}
    return {"metadata": {"annotations": {"labkit/panes": json.dumps(declared)}}, "status": status}


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://hub.example", "hub.example", True),
        ("https://Hub.Example:8443", "hub.example:8443", True),
        ("http://evil.example", "hub.example", False),
        ("http://hub.example:81", "hub.example", False),
        ("http://hub.example.evil.example", "hub.example", False),
        ("null", "hub.example", False),
        ("http://[hub.example", "hub.example", False),
        (None, "hub.example", False),
        ("", "", False),
    ],
)
def test_a_stream_is_opened_only_by_a_page_of_the_same_host_and_port(origin: Any, host: str, allowed: bool) -> None:
    with nullcontext() if allowed else pytest.raises(Denied):
        access.check_origin(origin, host)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1:80", True),
        ("localhost", True),
        ("[::1]:80", True),
        ("a.localhost:1", True),
        ("evil.example:80", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("[::1", False),
        (None, False),
    ],
)
def test_the_loopback_port_answers_only_to_loopback_names(host: str | None, allowed: bool) -> None:
    with nullcontext() if allowed else pytest.raises(Denied):
        access.check_host(host)


def test_the_ticket_is_the_second_subprotocol_and_no_other() -> None:
    assert access.ticket_of(["tty", "labkit.ticket.abc"]) == "abc"
    assert access.ticket_of(["labkit.ticket.abc"]) is None
    assert access.ticket_of(["labkit.ticket.abc", "tty"]) is None
    assert access.ticket_of(["tty", "labkit.ticket.abc", "x"]) is None


@pytest.mark.parametrize(
    ("object_", "state"),
    [
        (vmi(""), MachineState.STARTING),
        (vmi("Scheduled"), MachineState.STARTING),
        (vmi("Running", "Ready"), MachineState.RUNNING),
        (vmi("Running", "Paused"), MachineState.PAUSED),
        (vmi("Succeeded"), MachineState.STOPPED),
        (vmi("Failed"), MachineState.FAILED),
    ],
)
def test_a_machine_is_told_in_labkits_words(object_: dict[str, Any], state: MachineState) -> None:
    assert pane_of(PATH, object_).state is state


@pytest.mark.parametrize("panes", ["not a list", [], [{"name": "other", "type": "vnc"}], [{"name": "console"}], [3]])
def test_a_pane_that_its_machine_does_not_declare_is_not_there(panes: Any) -> None:
    with pytest.raises(Denied) as denied:
        pane_of(PATH, vmi("Running", panes=panes))
    assert denied.value.status == 404


@pytest.mark.parametrize("metadata", [{}, {"labels": {"labkit/lab": "other"}}, {"deletionTimestamp": "2026-01-01"}])
def test_a_lab_that_ends_or_is_not_labkits_is_not_there(metadata: dict[str, Any]) -> None:
    whole = {"labels": {"labkit/lab": "alab"}, **metadata} if "deletionTimestamp" in metadata else metadata
    with pytest.raises(Denied) as denied:
        access.check_lab(Ticket("alab", "someone", 0), {"metadata": whole})
    assert denied.value.status == 404


def test_an_epoch_that_cannot_be_read_lets_nobody_pass() -> None:
    metadata = {"labels": {"labkit/lab": "alab"}, "annotations": {"labkit/ticket-epoch": "many"}}
    with pytest.raises(Denied, match="cannot be read"):
        access.check_lab(Ticket("alab", "someone", 0, epoch=99), {"metadata": metadata})


@pytest.mark.parametrize(
    ("kind", "state", "address", "allowed"),
    [
        (PaneType.CONSOLE, MachineState.RUNNING, "", True),
        (PaneType.VNC, MachineState.PAUSED, "", True),
        (PaneType.VNC, MachineState.STARTING, "", False),
        (PaneType.TERMINAL, MachineState.RUNNING, "10.0.0.2", True),
        (PaneType.TERMINAL, MachineState.RUNNING, "", False),
        (PaneType.TERMINAL, MachineState.PAUSED, "10.0.0.2", False),
    ],
)
def test_a_terminal_needs_an_address_and_a_screen_may_be_paused(
    kind: PaneType, state: MachineState, address: str, allowed: bool
) -> None:
    pane = MachinePane(kind, "Title", state, address)
    with nullcontext() if allowed else pytest.raises(Denied):
        access.check_open(PATH, pane, [access.STREAM_PROTOCOLS[kind]])
