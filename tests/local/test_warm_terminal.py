"""Warm starts of a Debian machine with systemd: minutes where instructions are emulated, so it is run by hand."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.local.paths import EnginePaths
from labkit.local.qemu import agent
from tests.local.conftest import answers, post
from tests.support.engine import EngineProcess, machine, namespace, running_engine, seed, until

IMAGES = Path(os.environ.get("LABKIT_TEST_IMAGES", "/nowhere"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(not (IMAGES / "terminal").exists(), reason="LABKIT_TEST_IMAGES names no folder with terminal"),
]
SELF = """
echo mac=$(cat /sys/class/net/e*/address); echo address=$(ip -4 -o addr show scope global | awk '{print $4}')
echo hostname=$(hostname); echo machine-id=$(cat /etc/machine-id); echo instance=$(cat /var/lib/cloud/data/instance-id)
echo host-key=$(cut -d' ' -f2 /etc/ssh/ssh_host_ed25519_key.pub)
echo random=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' '); echo clock=$(date +%s)
"""


@pytest.fixture(scope="module")
def warm() -> Iterator[EngineProcess]:
    """An engine with a template of a terminal machine."""
    with running_engine(images=IMAGES, warm="4") as engine:
        body = {"name": "set", "machines": {"web": terminal("any")["spec"]["template"]["spec"]}, "spares": 0}

        def ready() -> bool:
            told = json.loads(engine.request("POST", "/labkit/warm", body)[1])["machines"]["web"]
            assert "why" not in told or not told["why"], told
            return bool(told["state"] == "ready")

        begun = time.monotonic()
        until(ready, 1500)
        print(f"template made in {time.monotonic() - begun:.0f} s")
        yield engine


def terminal(space: str) -> dict[str, Any]:
    """A machine ``web`` of the image terminal."""
    found = machine("web", space, image="terminal")
    found["spec"]["template"]["spec"]["domain"]["memory"]["guest"] = "512Mi"
    return found


def start(engine: EngineProcess, space: str) -> str:
    """A running machine with a user of its own; how it was started. Prints the seconds."""
    user = {"name": "ada", "plain_text_passwd": "secret", "lock_passwd": False, "ssh_authorized_keys": [f"key {space}"]}
    files = [{"path": "/etc/note", "content": f"for {space}", "permissions": "0640"}]
    config = {"hostname": f"web-{space}", "users": [user], "write_files": files, "runcmd": ["echo ran > /root/ran"]}
    assert engine.request("POST", "/api/v1/namespaces", namespace(space))[0] == 201
    begun = time.monotonic()
    post(engine, space, seed(space, **config), terminal(space))
    until(lambda: engine.phase(space, "web") == "Running", 120)
    running = time.monotonic() - begun
    until(lambda: answers(engine, space), 120)
    print(f"{space}: running {running:.1f} s, ssh answers {time.monotonic() - begun:.1f} s, load {os.getloadavg()[0]}")
    return str(engine.vmi(space, "web")["metadata"]["annotations"]["labkit/start-mode"])


def inside(engine: EngineProcess, space: str, script: str) -> str:
    """What a script prints in the machine."""
    paths = EnginePaths(engine.state, engine.runtime, engine.images)
    channel = paths.machine(engine.vmi(space, "web")["metadata"]["uid"]).agent
    return asyncio.run(agent.execute(channel, ["/bin/sh", "-c", script], seconds=90, given=b"", poll=0.2))[1]


def test_two_terminals_share_nothing_that_makes_a_machine_itself(warm: EngineProcess) -> None:
    assert [start(warm, space) for space in ("one", "two")] == ["warm", "warm"]
    found = []
    for space in ("one", "two"):
        halves = [inside(warm, space, "\n".join(SELF.splitlines()[part])) for part in (slice(0, 3), slice(3, None))]
        found.append(dict(line.split("=", 1) for line in "\n".join(halves).splitlines()))
    one, two = found
    print(one, two)
    assert all(one.values())
    assert [item for item in one if item != "clock" and one[item] == two[item]] == []
    assert (one["hostname"], two["hostname"]) == ("web-one", "web-two")
    assert abs(int(two["clock"]) - time.time()) < 30


def test_the_learners_part_arrives_in_a_terminal(warm: EngineProcess) -> None:
    until(lambda: inside(warm, "two", "cat /root/ran") == "ran", 60)
    look = "id -un ada; stat -c %a /etc/note; cat /etc/note; echo; cat /home/ada/.ssh/authorized_keys"
    assert inside(warm, "two", look).splitlines() == ["ada", "640", "for two", "key two"]
