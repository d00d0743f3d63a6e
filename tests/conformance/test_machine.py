"""A booted machine, through a plain WebSocket client that does what virtctl does."""

from __future__ import annotations

import base64
import threading
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from tests.conformance.conftest import Space
from tests.support.cluster import SUBRESOURCES
from tests.support.engine import machine, seed, until
from tests.support.streams import Stream, refusal

GREETING = b"RFB 003.008\n"


def act(space: Space, verb: str) -> tuple[int, bytes]:
    """One action on the instance, as virtctl sends it."""
    answer = space.do(verb, plural="virtualmachineinstances")
    return answer.code, answer.body


def test_virtctl_console_tries_again_until_the_machine_runs(booted: Space) -> None:
    booted.make(machine("late", booted.name, strategy="Always"))

    until(lambda: booted.get("virtualmachineinstances", "late").code == 200, 20)
    codes = set()

    def opened() -> Stream | None:
        try:
            return booted.cluster.stream(booted.name, "late", "console")
        except InvalidStatus as refused:
            codes.add(refused.response.status_code)
            return None

    with until(opened, 60) as console:
        assert console.recv(60)
    assert codes <= {400}
    booted.delete("virtualmachines", "late")


def test_the_console_shows_what_is_typed_and_what_the_guest_says(booted: Space) -> None:
    with booted.cluster.stream(booted.name, "web", "console") as console:
        assert console.subprotocol == "plain.kubevirt.io"
        console.send(b"\n")
        assert isinstance(console.recv(20), bytes)
        console.send(b"\n")
        assert b"web login:" in console.read_until(b"login:")


def test_text_is_dropped(booted: Space) -> None:
    with booted.cluster.stream(booted.name, "web", "console") as console:
        console.send("nonsense\n")
        console.send(b"\n")
        assert b"nonsense" not in console.read_until(b"login:")


@pytest.mark.parametrize("what", ["vnc", "console"])
def test_the_newest_client_wins_and_the_older_is_cut_without_a_word(booted: Space, what: str) -> None:
    with (
        booted.cluster.stream(booted.name, "web", what) as first,
        booted.cluster.stream(booted.name, "web", what) as second,
    ):
        with pytest.raises(ConnectionClosedError) as cut:
            first.read_until(b"never sent")
        assert (cut.value.rcvd, first.close_code) == (None, 1006)
        second.send(b"\n")
        assert second.recv(20)


def test_the_screen_greets_and_can_be_kept(booted: Space) -> None:
    with booted.cluster.stream(booted.name, "web", "vnc") as first:
        assert first.recv(10) == GREETING
        code, message = refusal(booted.cluster.stream, booted.name, "web", "vnc?preserveSession=true")
        assert (code, "Active VNC connection. Request denied." in message) == (500, True)
        first.send(GREETING)
        assert first.recv(10)[0] >= 1


def test_a_token_may_come_as_a_subprotocol_which_is_not_echoed(booted: Space) -> None:
    coded = base64.urlsafe_b64encode(booted.cluster.token.encode()).decode().rstrip("=")
    offered = ["plain.kubevirt.io", f"base64url.bearer.authorization.k8s.io.{coded}"]
    path = ("web", "vnc")
    with booted.cluster.stream(booted.name, *path, subprotocols=offered, additional_headers={}) as stream:
        assert stream.subprotocol == "plain.kubevirt.io"
    assert refusal(booted.cluster.stream, booted.name, "web", "vnc", additional_headers={})[0] == 401


def test_no_protocol_is_echoed_that_was_not_offered(booted: Space) -> None:
    with booted.cluster.stream(booted.name, "web", "vnc", subprotocols=None) as stream:
        assert (stream.subprotocol, stream.recv(10)) == (None, GREETING)


@pytest.mark.parametrize("port", ["22", "22/tcp"])
@pytest.mark.parametrize("plural", ["virtualmachineinstances", "virtualmachines"])
def test_a_port_of_the_guest_is_reached(booted: Space, port: str, plural: str) -> None:
    path = f"{SUBRESOURCES}/namespaces/{booted.name}/{plural}/web/portforward/{port}"
    with booted.cluster.open(path) as stream:
        assert stream.recv(10).startswith(b"SSH-2.0-")


def test_a_closed_port_is_refused_before_the_upgrade(booted: Space) -> None:
    code, message = refusal(booted.cluster.stream, booted.name, "web", "portforward/9")
    assert code == 500
    assert message.startswith("Internal error occurred: dialing VM:")


def test_a_machine_pauses_once_keeps_its_screen_and_goes_on(booted: Space) -> None:
    assert act(booted, "pause") == (200, b"")
    try:
        again = booted.do("pause", plural="virtualmachineinstances")
        assert (again.refusal, "VMI is already paused" in again.message) == ((409, "Conflict"), True)
        ready = until(lambda: booted.condition("virtualmachineinstances", "web", "Ready")["status"] == "False", 20)
        paused = until(lambda: booted.condition("virtualmachineinstances", "web", "Paused"), 20)
        assert (ready, paused["status"], paused["reason"]) == (True, "True", "PausedByUser")
        assert booted.get("virtualmachineinstances", "web").document["status"]["phase"] == "Running"
        until(lambda: booted.get("virtualmachines", "web").document["status"]["printableStatus"] == "Paused", 20)
        with booted.cluster.stream(booted.name, "web", "vnc") as stream:
            assert stream.recv(10) == GREETING
        code, message = refusal(booted.cluster.stream, booted.name, "web", "portforward/22")
        assert (code, "VMI is paused" in message) == (409, True)
    finally:
        assert act(booted, "unpause") == (200, b"")
    assert b"VMI is not paused" in act(booted, "unpause")[1]
    until(lambda: booted.condition("virtualmachineinstances", "web", "Paused") == {}, 20)


def test_a_screenshot_is_a_picture_and_disturbs_no_viewer(booted: Space) -> None:
    with booted.cluster.stream(booted.name, "web", "vnc") as viewer:
        assert viewer.recv(10) == GREETING
        answer = booted.see("vnc/screenshot")
        assert (answer.code, answer.body[:8]) == (200, b"\x89PNG\r\n\x1a\n")
        viewer.send(GREETING)
        assert viewer.recv(10)


def test_the_guest_says_what_it_is_who_is_there_and_what_is_mounted(booted: Space) -> None:
    until(lambda: booted.condition("virtualmachineinstances", "web", "AgentConnected"), 60)
    assert booted.see("guestosinfo").document["os"]["id"]
    assert "items" in booted.see("userlist").document
    assert [item["mountPoint"] for item in booted.see("filesystemlist").document["items"]]


def test_a_running_machine_shows_where_it_is(booted: Space) -> None:
    status = booted.get("virtualmachineinstances", "web").document["status"]
    phases = [item["phase"] for item in status["phaseTransitionTimestamps"]]
    assert phases == ["Pending", "Scheduling", "Scheduled", "Running"]
    assert status["interfaces"][0]["ipAddress"].count(".") == 3
    assert (bool(status["nodeName"]), len(status["activePods"])) == (True, 1)
    vm = booted.get("virtualmachines", "web").document["status"]
    assert (vm["created"], vm["ready"], vm["printableStatus"]) == (True, True, "Running")


def test_events_tell_of_the_start(booted: Space) -> None:
    assert "Started" in booted.kubectl("get", "events", "--field-selector=involvedObject.name=web")


def test_kubectl_waits_for_a_machine_to_be_ready(booted: Space) -> None:
    assert "condition met" in booted.kubectl("wait", "--for=condition=Ready", "vm/web", "--timeout=30s")


@pytest.mark.slow
def test_a_guest_that_powers_off_stays_off_and_some_strategies_keep_its_instance(booted: Space) -> None:
    phases = {"Manual": "Succeeded", "Once": "Succeeded", "RerunOnFailure": ""}
    off = seed(booted.name, hostname="off", runcmd=["poweroff"])
    booted.make(off | {"metadata": {"name": "off"}}, *(powered(strategy, booted.name) for strategy in phases))
    booted.do("start", "off-manual")
    names = [f"off-{strategy.lower()}" for strategy in phases]
    until(lambda: set(names) <= set(booted.names("virtualmachineinstances")), 20)
    until(lambda: all(stopped(booted, name) for name in names), 120)
    assert [phase(booted, name) for name in names] == list(phases.values())
    for name in names:
        booted.delete("virtualmachines", name)


def phase(space: Space, name: str) -> str:
    """An instance's phase, or ''."""
    found = space.get("virtualmachineinstances", name)
    return str(found.document["status"]["phase"]) if found.code == 200 else ""


def powered(strategy: str, space: str) -> dict[str, Any]:
    """A machine that powers itself off once it has booted."""
    found = machine(f"off-{strategy.lower()}", space, strategy=strategy)
    found["spec"]["template"]["spec"]["volumes"][1]["cloudInitNoCloud"]["secretRef"]["name"] = "off"
    return found


def stopped(space: Space, name: str) -> bool:
    """Whether the machine is shown as stopped."""
    return bool(space.get("virtualmachines", name).document["status"]["printableStatus"] == "Stopped")


def prompts(space: Space) -> int:
    """How often the guest has come to its prompt."""
    listed = space.get("pods", query="labelSelector=vm.kubevirt.io%2Fname%3Dweb").document["items"]
    return space.get("pods", f"{listed[0]['metadata']['name']}/log", "container=guest-console-log").body.count(
        b"login:"
    )


def test_a_reset_reboots_the_same_machine(booted: Space) -> None:
    before = booted.get("virtualmachineinstances", "web").document["metadata"]["uid"]
    before_reset = prompts(booted)
    assert act(booted, "reset") == (200, b"")
    until(lambda: prompts(booted) > before_reset, 90)
    assert booted.get("virtualmachineinstances", "web").document["metadata"]["uid"] == before


def test_a_restart_gives_a_new_machine_and_ends_its_streams(booted: Space) -> None:
    before = booted.get("virtualmachineinstances", "web").document["metadata"]["uid"]
    with booted.cluster.stream(booted.name, "web", "vnc") as stream:
        threading.Timer(0.2, booted.do, ("restart",)).start()
        with pytest.raises(ConnectionClosedError):
            stream.read_until(b"never sent", 30)
        assert stream.close_code == 1006

    def renewed() -> bool:
        found = booted.get("virtualmachineinstances", "web").document
        return found.get("metadata", {}).get("uid", before) != before and found["status"]["phase"] == "Running"

    until(renewed, 60)
