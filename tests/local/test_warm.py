"""Warm starts on real machines: one template, clones of it, a spare; nothing that tells machines apart is shared."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit.local.paths import EnginePaths
from labkit.local.qemu import agent
from tests.local.conftest import answers, post
from tests.support.engine import SUBRESOURCES, EngineProcess, machine, namespace, running_engine, seed, until

SELF = """
echo mac=$(cat /sys/class/net/e*/address); echo address=$(ip -4 -o addr show scope global | awk '{print $4}')
echo hostname=$(hostname); echo machine-id=$(cat /etc/machine-id); echo instance=$(cat /var/lib/labkit/instance)
echo host-key=$(dropbearkey -y -f /etc/dropbear/dropbear_ed25519_host_key | sed -n 2p)
echo random=$(head -c 16 /dev/urandom | hexdump -e '16/1 "%02x"'); echo clock=$(date +%s)
"""
USER = {
    "name": "ada",
    "plain_text_passwd": "secret",
    "lock_passwd": False,
    "ssh_authorized_keys": ["ssh-ed25519 AAAA a"],
}
WARM = "/labkit/warm"


@pytest.fixture(scope="module")
def warm() -> Iterator[EngineProcess]:
    """An engine with a template of the tests' machine."""
    with running_engine(warm="4") as engine:
        until(lambda: prepare(engine)["machines"]["web"]["state"] == "ready", 400)
        yield engine


def prepare(engine: EngineProcess, spares: int = 0) -> dict[str, Any]:
    """Have a template made, and spares kept."""
    spec = machine("web", "any")["spec"]["template"]["spec"]
    code, body = engine.request("POST", WARM, {"name": "set", "machines": {"web": spec}, "spares": spares})
    assert code == 200, body
    return dict(json.loads(body))


def parked(engine: EngineProcess, machines: int) -> bool:
    """Whether the one set that is kept by hand is parked, with so many machines."""
    return [each["machines"] for each in json.loads(engine.request("GET", WARM)[1])["spares"]] == [machines]


def keep(engine: EngineProcess, machines: int, spares: int = 1) -> int:
    """Have a set of so many machines kept parked; the status of the answer."""
    spec = machine("web", "any")["spec"]["template"]["spec"]
    body = {"name": "set", "machines": {f"web{n}": spec for n in range(machines)}, "spares": spares}
    return engine.request("POST", WARM, body)[0]


def start(engine: EngineProcess, space: str) -> str:
    """A running machine ``web`` with user data of its own in a new namespace; how it was started."""
    files = [{"path": "/etc/note", "content": f"for {space}", "permissions": "0640"}]
    config = {"hostname": f"web-{space}", "users": [USER], "write_files": files, "runcmd": ["echo ran > /root/ran"]}
    assert engine.request("POST", "/api/v1/namespaces", namespace(space))[0] == 201
    post(engine, space, seed(space, **config), machine("web", space))
    until(lambda: engine.phase(space, "web") == "Running", 60)
    return str(engine.vmi(space, "web")["metadata"]["annotations"]["labkit/start-mode"])


def inside(engine: EngineProcess, space: str, script: str) -> str:
    """What a script prints in the machine."""
    paths = EnginePaths(engine.state, engine.runtime, engine.images)
    channel = paths.machine(engine.vmi(space, "web")["metadata"]["uid"]).agent
    command = ["/usr/bin/sh", "-c", script]
    return asyncio.run(agent.execute(channel, command, seconds=30, given=b"", poll=0.05))[1]


def self_of(engine: EngineProcess, space: str) -> dict[str, str]:
    """All that tells a machine from another, read in it."""
    until(lambda: answers(engine, space), 60)
    return dict(line.split("=", 1) for line in inside(engine, space, SELF).splitlines())


BOOT = "cat /proc/sys/kernel/random/boot_id"


def booted_again(engine: EngineProcess, space: str, before: str) -> bool:
    """Whether the machine says that this is another boot; while it boots it says nothing."""
    with contextlib.suppress(Exception):
        return inside(engine, space, BOOT) != before
    return False


@pytest.fixture(scope="module")
def clones(warm: EngineProcess) -> tuple[str, str]:
    """The namespaces of two clones."""
    assert (start(warm, "one"), start(warm, "two")) == ("warm", "warm")
    return "one", "two"


def test_two_clones_differ_in_everything_that_makes_a_machine_itself(
    warm: EngineProcess, clones: tuple[str, str]
) -> None:
    one, two = (self_of(warm, space) for space in clones)
    assert all(one.values())
    assert [item for item in one if item != "clock" and one[item] == two[item]] == []
    assert (one["hostname"], two["hostname"]) == ("web-one", "web-two")
    assert len(one["machine-id"]) == len(two["machine-id"]) == 32


def test_a_clones_clock_goes_right(warm: EngineProcess, clones: tuple[str, str]) -> None:
    before = time.time()
    told = int(inside(warm, clones[0], "date +%s"))
    assert before - 3 <= told <= time.time() + 3


def test_the_learners_part_arrives_in_a_clone(warm: EngineProcess, clones: tuple[str, str]) -> None:
    look = "id -un ada; stat -c %a /etc/note; cat /etc/note; echo; cat /root/ran; cat /home/ada/.ssh/authorized_keys"
    until(lambda: inside(warm, "two", "cat /root/ran"))
    assert inside(warm, "two", look).splitlines() == ["ada", "640", "for two", "ran", "ssh-ed25519 AAAA a"]
    assert inside(
        warm, "two", "printf 'secret\\n' | su ada -s /usr/bin/sh -c 'echo in' 2>&1; grep -c ^ada: /etc/passwd"
    )


def test_the_api_says_of_a_clone_what_is_so_in_it(warm: EngineProcess, clones: tuple[str, str]) -> None:
    status = warm.vmi("one", "web")["status"]
    own = self_of(warm, "one")
    assert status["interfaces"][0]["mac"] == own["mac"]
    assert status["interfaces"][0]["ipAddress"] + "/24" == own["address"]
    assert status["guestOSInfo"]["id"] == "labkit-tiny"
    assert any(item["type"] == "AgentConnected" for item in status["conditions"])


def test_a_machine_that_is_made_anew_is_a_new_clone(warm: EngineProcess) -> None:
    assert start(warm, "six") == "warm"
    before = warm.vmi("six", "web")["metadata"]["uid"]
    warm.request("DELETE", "/apis/kubevirt.io/v1/namespaces/six/virtualmachines/web")
    until(lambda: not warm.vmi("six", "web"))
    post(warm, "six", machine("web", "six"))
    until(lambda: warm.phase("six", "web") == "Running", 60)
    now = warm.vmi("six", "web")["metadata"]
    assert (now["annotations"]["labkit/start-mode"], now["uid"] == before) == ("warm", False)


@pytest.mark.slow
def test_a_clone_has_its_own_address_after_a_reboot_too(warm: EngineProcess, clones: tuple[str, str]) -> None:
    before = self_of(warm, "two")
    up = "/apis/subresources.kubevirt.io/v1/namespaces/two/virtualmachineinstances/web/reset"
    boot = inside(warm, "two", BOOT)
    assert warm.request("PUT", up)[0] == 200
    until(lambda: booted_again(warm, "two", boot), 120)
    after = self_of(warm, "two")
    assert {item for item in before if before[item] == after[item]} >= {"mac", "address", "machine-id", "host-key"}


@pytest.mark.slow
def test_a_set_kept_by_hand_is_parked_anew_when_its_machines_change_and_when_the_engine_is_started_again(
    warm: EngineProcess, clones: tuple[str, str]
) -> None:
    for machines in (1, 2):
        assert keep(warm, machines) == 200
        until(lambda machines=machines: parked(warm, machines), 60)
    warm.kill()
    warm.start()
    until(lambda: parked(warm, 2), 60)
    assert keep(warm, 2, spares=0) == 200
    until(lambda: prepare(warm)["spares"] == [])


def test_a_spare_is_claimed_with_an_identity_of_its_own(warm: EngineProcess, clones: tuple[str, str]) -> None:
    until(lambda: prepare(warm, spares=1)["spares"], 60)
    assert start(warm, "three") == "spare"
    assert until(lambda: prepare(warm)["spares"] == [])
    spare, clone = self_of(warm, "three"), self_of(warm, "one")
    assert [item for item in spare if item != "clock" and spare[item] == clone[item]] == []
    assert spare["hostname"] == "web-three"
    assert warm.vmi("three", "web")["status"]["interfaces"][0]["mac"] == spare["mac"]


def test_the_engine_tells_what_is_warm(warm: EngineProcess, clones: tuple[str, str]) -> None:
    found = json.loads(warm.request("GET", WARM)[1])
    template = found["templates"][0]
    assert (found["on"], found["acceleration"], template["memory"]) == (True, "tcg", 256)
    assert template["hits"] >= 2
    assert 50 * 2**20 < template["bytes"] < 300 * 2**20


def test_a_damaged_template_costs_no_start_and_goes_after_the_second(
    warm: EngineProcess, clones: tuple[str, str]
) -> None:
    (state,) = warm.state.glob("engine/warm/*/state")
    then = state.stat()
    state.chmod(0o600)
    state.write_bytes(b"\xff" * then.st_size)
    os.utime(state, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert (start(warm, "four"), state.exists()) == ("cold", True)
    assert (start(warm, "five"), state.exists()) == ("cold", False)
    events = json.loads(warm.request("GET", "/api/v1/namespaces/four/events")[1])["items"]
    assert "WarmStartFailed" in [event["reason"] for event in events]


def test_a_clone_that_was_put_away_goes_on_though_its_template_is_gone(
    warm: EngineProcess, clones: tuple[str, str]
) -> None:
    up = f"{SUBRESOURCES}/namespaces/one/virtualmachineinstances/web"
    before = self_of(warm, "one")
    assert warm.request("PUT", f"{up}/labkit-put-away", {}) == (200, b"")
    assert warm.request("PUT", f"{up}/unpause", {}) == (200, b"")
    after = self_of(warm, "one")
    assert {item for item in before if before[item] != after[item]} <= {"random", "clock"}


@pytest.mark.parametrize(
    "point",
    [
        "engine/machines/*/memory",
        pytest.param("engine/machines/*/state", marks=pytest.mark.slow),
        pytest.param("engine/machines/*/about.json", marks=pytest.mark.slow),
    ],
    ids=["booting", "saving", "finishing"],
)
def test_an_engine_killed_while_it_makes_a_template_leaves_nothing_of_it(point: str) -> None:
    with running_engine(warm="4") as engine:
        prepare(engine)
        until(lambda: [*engine.state.glob(point), *engine.state.glob("engine/warm/*")], 400)
        engine.kill()
        ready = [path.name for path in engine.state.glob("engine/warm/*/about.json")]
        engine.start()
        until(lambda: not engine.processes() and not engine.leftovers())
        assert [path.name for path in engine.state.glob("engine/warm/*/about.json")] == ready
        assert len(list(engine.state.glob("engine/warm/*"))) == len(ready)


@pytest.mark.slow
def test_two_hundred_starts_and_stops_leave_nothing() -> None:
    with running_engine(warm="4") as engine:
        until(lambda: prepare(engine)["machines"]["web"]["state"] == "ready", 400)
        before = open_files(engine)
        for number in range(200):
            assert start(engine, f"s{number}") == "warm"
            assert engine.request("DELETE", f"/api/v1/namespaces/s{number}")[0] == 200
            until(lambda: not engine.processes() and not engine.leftovers(), 60)
        assert open_files(engine) <= before + 4
        assert [path.name for path in (engine.state / "engine" / "warm").iterdir()] != []


def open_files(engine: EngineProcess) -> int:
    assert engine.process
    return len(list(Path(f"/proc/{engine.process.pid}/fd").iterdir())) + len(
        psutil.Process(engine.process.pid).threads()
    )
