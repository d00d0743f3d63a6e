"""What a guest is asked and told through its agent, and what happens where there is none."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from labkit.local.qemu import agent
from labkit.local.qemu.agent import INFO, AgentError, filesystems, guest_info, guest_os_info, users
from tests.local.conftest import Guest, boot, condition_of, post
from tests.local.test_machine import put
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


@pytest.mark.slow
def test_a_machine_without_an_agent_answers_in_plain_text_and_reboots_by_its_power_button(
    engine: EngineProcess, space: str
) -> None:
    alone = boot(engine, space, runcmd=["chmod 0 /usr/bin/qemu-ga"])
    assert ask(alone, "guestosinfo") == (500, "VMI does not have guest agent connected")
    before = engine.vmi(space, "web")["metadata"]["uid"]
    with engine.stream(space, "web", "console") as console:
        console.read_until(b"tiny is ready", 30)
        assert put(alone, "softreboot") == (200, b"")
        assert b"The system is going down" in console.read_until(b"tiny is ready", 120)
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


def synced(*answers: bytes) -> Iterator[bytes]:
    """A guest that understands the first question; its further lines."""
    yield b"sync"
    yield from answers


async def asked(tmp_path: Path, lines: Iterable[bytes], question: str) -> Any:
    """One question (or a command to run) to a guest that sends these lines, and then nothing."""

    async def guest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = re.findall(rb"[0-9]+", await reader.readline())[0]
        try:
            for line in lines:
                writer.write((b'{"return": %s}' % number if line == b"sync" else line) + b"\n")
                await writer.drain()
            await reader.read()
        except (ConnectionError, asyncio.CancelledError):
            pass  # It was not listened to any longer.
        writer.close()

    async with await asyncio.start_unix_server(guest, tmp_path / "qga"):
        if question == "run":
            return await agent.run(tmp_path / "qga", ["true"], seconds=1)
        return await agent.ask(tmp_path / "qga", question, seconds=1)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "did not answer"),
        (repeat(b"{}"), "other questions"),
        (repeat(b"x" * 65536), "channel failed"),
        (synced(b"{" * 2**21), "channel failed"),
        (synced(b"[" * 100_000), "channel failed"),
        (synced(b"1" * 10_000), "channel failed"),
        (synced(b"\xc3\x28"), "channel failed"),
        (synced(b'{"error": {"desc": "%s"}}' % (b"no" * 2**18)), "refused guest-info: nono"),
        (synced(b'{"error": "\\ud800"}'), r"refused guest-info: \?$"),
    ],
)
def test_whatever_a_guest_answers_is_refused_soon_and_in_one_sentence(
    tmp_path: Path, lines: Iterable[bytes], said: str
) -> None:
    with pytest.raises(AgentError, match=said) as refused:
        asyncio.run(asked(tmp_path, lines, "guest-info"))
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("answer", [b'{"return": null}', b'{"return": [1]}', b'{"return": "a"}', b'{"error": 1}'])
def test_a_command_that_the_guest_did_not_really_start_did_not_go_well(tmp_path: Path, answer: bytes) -> None:
    with pytest.raises(AgentError):
        asyncio.run(asked(tmp_path, synced(answer), "run"))


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1" * 400, '"\\ud800"', '{"a": [NaN]}', f'"{"x" * 10**6}"'])
def test_what_a_guest_says_of_itself_can_be_written_as_json_and_is_short(value: str) -> None:
    said = json.dumps(guest_os_info(json.loads(f'{{"id": {value}}}')), allow_nan=False, ensure_ascii=False)
    assert len(said.encode()) < 300
