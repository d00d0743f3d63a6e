"""Machines that are put away with their memory, and snapshots that have it: one machine that boots once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.local import processes
from labkit.local.paths import EnginePaths, MachinePaths
from labkit.local.qemu import agent
from tests.local.conftest import Guest, answers, boot, condition_of
from tests.local.test_snapshots import done, restore, snapshot
from tests.local.test_volumes import VMS, get
from tests.support.engine import SUBRESOURCES, EngineProcess, namespace, running_engine, until

AWAY = "labkit-put-away"


@pytest.fixture(scope="module")
def web() -> Iterator[Guest]:
    """A running machine in an engine of its own, in which a process counts in memory."""
    with running_engine() as engine:
        engine.request("POST", "/api/v1/namespaces", namespace("kept"))
        found = boot(engine, "kept")
        until(lambda: condition_of(found, "web", "AgentConnected"))
        loop = "n=0; while :; do n=$((n+1)); echo $n > /run/next; mv /run/next /run/count; sleep 0.2; done"
        count = f"({loop}) < /dev/null > /dev/null 2>&1"
        inside(found, f"{count} & echo $! > /run/counter; echo first > /root/note")
        yield found


def paths_of(guest: Guest) -> MachinePaths:
    """The files of the machine as it is now."""
    engine = guest.engine
    uid = engine.vmi(guest.space, "web")["metadata"]["uid"]
    return EnginePaths(engine.state, engine.runtime, engine.images).machine(uid)


def inside(guest: Guest, script: str) -> str:
    """What a script prints in the machine."""
    command = ["/usr/bin/sh", "-c", script]
    return asyncio.run(agent.execute(paths_of(guest).agent, command, seconds=30, given=b"", poll=0.05))[1]


def ask(guest: Guest, verb: str) -> tuple[int, bytes]:
    """Ask something of the machine; the answer."""
    return guest.engine.request(
        "PUT", f"{SUBRESOURCES}/namespaces/{guest.space}/virtualmachineinstances/web/{verb}", {}
    )


def qemus(guest: Guest) -> list[str]:
    """The machine's processes."""
    return [line for line in guest.engine.processes() if f"path={paths_of(guest).qmp}," in line]


def counts(guest: Guest) -> bool:
    """Whether the process that was started in the beginning is at work."""
    script = "kill -0 $(cat /run/counter) && cat /run/count && sleep 1 && cat /run/count"
    first, second = inside(guest, script).split()
    return int(first) < int(second)


def restart(engine: EngineProcess) -> None:
    """Kill the engine and start it again."""
    engine.kill()
    engine.start()


def test_a_machine_that_is_put_away_takes_no_memory_and_goes_on_where_it_was_though_the_engine_was_killed(
    web: Guest,
) -> None:
    address = web.engine.vmi("kept", "web")["status"]["interfaces"]
    assert ask(web, AWAY) == (200, b"")
    assert qemus(web) == []
    restart(web.engine)
    assert condition_of(web, "web", "Paused")["reason"] == "PausedToDisk"
    assert get(web.engine, f"{VMS.format('kept')}/web")["status"]["printableStatus"] == "Paused"
    assert ask(web, AWAY) == (200, b"")
    assert ask(web, "unpause") == (200, b"")
    assert counts(web)
    until(lambda: answers(web.engine, "kept"))
    assert abs(int(inside(web, "date +%s")) - time.time()) < 3
    assert (web.engine.vmi("kept", "web")["status"]["interfaces"], paths_of(web).memory.exists()) == (address, False)


def test_a_machine_whose_network_was_lost_meanwhile_gets_it_back(web: Guest) -> None:
    ask(web, AWAY)
    for pid in processes.find(f"--holder-dir={web.engine.runtime}/"):
        os.kill(pid, signal.SIGKILL)
    assert ask(web, "unpause") == (200, b"")
    until(lambda: answers(web.engine, "kept"))


def test_what_cannot_be_read_is_said_and_kept(web: Guest) -> None:
    ask(web, AWAY)
    file = paths_of(web).memory
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    code, body = ask(web, "unpause")
    assert (code, b"cannot go on from what was kept of it" in body) == (500, True)
    assert condition_of(web, "web", "Paused")["reason"] == "PausedToDisk"
    events = json.loads(web.engine.kubectl("get", "events", "-n", "kept", "-o", "json"))["items"]
    assert [event["type"] for event in events if event["reason"] == "ResumeFailed"] == ["Warning"]
    file.write_bytes(whole)
    assert ask(web, "unpause") == (200, b"")
    assert counts(web)


@pytest.mark.parametrize("after", [0.3, pytest.param(0.02, marks=pytest.mark.slow)])
def test_an_engine_killed_while_it_puts_a_machine_away_leaves_it_running_or_put_away(web: Guest, after: float) -> None:
    killing = threading.Timer(after, web.engine.kill)
    killing.start()
    with contextlib.suppress(Exception):  # nobody answers any more, in any of the ways in which that shows
        ask(web, AWAY)
    killing.join()
    web.engine.start()
    away = paths_of(web).memory.exists()
    until(lambda: len(qemus(web)) == (not away))
    assert ask(web, "unpause")[0] == (200 if away else 409)
    assert counts(web)


def test_a_snapshot_with_memory_brings_the_running_machine_back_even_after_a_reset(web: Guest) -> None:
    wish = snapshot("whole")
    wish["metadata"]["annotations"] = {"labkit/memory": "true"}
    before = inside(web, "cat /run/count")
    taken = done(web.engine, "kept", wish)
    assert taken["status"]["snapshotVolumes"] == {"includedVolumes": [], "excludedVolumes": []}
    assert counts(web)
    inside(web, "echo second > /root/note; sync; kill $(cat /run/counter)")
    uid = web.engine.vmi("kept", "web")["metadata"]["uid"]
    patch = ("patch", "vm", "web", "-n", "kept", "--type=merge", "-p")
    web.engine.kubectl(*patch, '{"spec": {"runStrategy": "Halted"}}')
    until(lambda: not web.engine.vmi("kept", "web"))
    done(web.engine, "kept", restore("back", "whole"))
    web.engine.kubectl(*patch, '{"spec": {"runStrategy": "RerunOnFailure"}}')
    until(lambda: web.engine.phase("kept", "web") == "Running")
    now = web.engine.vmi("kept", "web")["metadata"]
    assert (now["uid"], now["annotations"]["labkit/start-mode"]) == (uid, "resumed")
    assert inside(web, "cat /root/note") == "first"
    assert counts(web)
    assert int(inside(web, "cat /run/count")) >= int(before)


def test_nothing_of_a_machine_that_was_put_away_stays_when_its_lab_goes(web: Guest) -> None:
    assert ask(web, AWAY) == (200, b"")
    kept = Path(paths_of(web).state)
    web.engine.request("DELETE", "/api/v1/namespaces/kept")
    until(lambda: web.engine.request("GET", "/api/v1/namespaces/kept")[0] == 404)
    until(lambda: not kept.exists())
    until(lambda: not web.engine.leftovers())
