"""What a guest is asked and told through its agent, and what happens where there is none."""

from __future__ import annotations

import json
from typing import Any

from labkit.local.qemu.agent import INFO, AgentError, filesystems, guest_info, users
from tests.local.conftest import Guest, boot, condition_of, post
from tests.local.test_machine import put, read_until
from tests.support.engine import SUBRESOURCES, EngineProcess, machine, seed, until


def ask(guest: Guest, what: str) -> tuple[int, Any]:
    """One look at the guest; text where it is not JSON."""
    path = f"{SUBRESOURCES}/namespaces/{guest.space}/virtualmachineinstances/web/{what}"
    code, body = guest.engine.request("GET", path)
    return code, json.loads(body) if code == 200 else body.decode()


def test_a_guest_says_who_it_is_what_it_can_and_what_is_mounted(guest: Guest) -> None:
    until(lambda: condition_of(guest, "web", "AgentConnected"), 60)
    code, found = ask(guest, "guestosinfo")
    assert (code, found["hostname"], found["os"]["id"], found["timezone"]) == (200, "web", "labkit-tiny", "UTC, 0")
    assert {"name": "guest-ping", "enabled": True} in found["supportedCommands"]
    assert found["fsInfo"]["disks"][0]["mountPoint"] == "/"
    assert found["guestAgentVersion"]


def test_file_systems_and_users_are_lists_of_their_own(guest: Guest) -> None:
    until(lambda: condition_of(guest, "web", "AgentConnected"), 60)
    disks = ask(guest, "filesystemlist")[1]["items"]
    assert [set(disk) for disk in disks] == [{"diskName", "mountPoint", "fileSystemType", "usedBytes", "totalBytes"}]
    assert ask(guest, "userlist") == (200, {"metadata": {}, "items": []})


def test_answers_are_put_in_kubevirts_words_and_what_is_refused_is_left_out() -> None:
    answers: list[Any] = [AgentError("refused")] * len(INFO)
    assert guest_info(answers)["os"] == {}
    assert users([{"user": "a", "login-time": 1.5}]) == [{"userName": "a", "loginTime": 1.5}]
    assert filesystems([{"name": "vda1", "mountpoint": "/", "type": "ext4"}])[0]["diskName"] == "vda1"


def test_a_machine_without_an_agent_answers_in_plain_text_and_reboots_by_its_power_button(
    engine: EngineProcess, space: str
) -> None:
    alone = boot(engine, space, runcmd=["chmod 0 /usr/bin/qemu-ga"])
    assert ask(alone, "guestosinfo") == (500, "VMI does not have guest agent connected")
    before = engine.vmi(space, "web")["metadata"]["uid"]
    with engine.stream(space, "web", "console") as console:
        read_until(console, b"tiny is ready", 30)
        assert put(alone, "softreboot") == (200, b"")
        assert b"The system is going down" in read_until(console, b"tiny is ready", 120)
    assert (engine.vmi(space, "web")["metadata"]["uid"], engine.phase(space, "web")) == (before, "Running")


def test_a_machine_with_neither_agent_nor_power_button_cannot_be_rebooted_softly(
    engine: EngineProcess, space: str
) -> None:
    found = machine("web", space)
    found["spec"]["template"]["spec"]["domain"]["features"] = {"acpi": {"enabled": False}}
    post(engine, space, seed(space), found)
    until(lambda: engine.phase(space, "web") == "Running")
    code, body = put(Guest(engine, space), "softreboot")
    assert (code, b"neither have the agent connected nor the ACPI feature enabled" in body) == (409, True)
