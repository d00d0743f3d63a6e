"""kill -9, again and again: machines live on, the next engine finds them, and nothing is left of what was deleted."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3

from tests.local.conftest import post
from tests.local.test_survival import qemu
from tests.support.engine import SUBRESOURCES, EngineProcess, machine, namespace, running_engine, seed, until

VMS = "/apis/kubevirt.io/v1/namespaces/lab/virtualmachines"
VMIS = "/apis/kubevirt.io/v1/namespaces/lab/virtualmachineinstances"


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    """An engine that may be killed, with a namespace and the machines' seed."""
    with running_engine() as found:
        found.request("POST", "/api/v1/namespaces", namespace("lab"))
        post(found, "lab", seed("lab"))
        yield found
        assert "Traceback" not in found.log.read_text()


def small(name: str, strategy: str = "Always") -> dict[str, Any]:
    """A machine of which ten fit anywhere."""
    found = machine(name, "lab", strategy=strategy)
    found["spec"]["template"]["spec"]["domain"]["memory"]["guest"] = "128Mi"
    return found


def items(engine: EngineProcess, path: str) -> dict[str, dict[str, Any]]:
    """The objects of a list by name."""
    return {item["metadata"]["name"]: item for item in json.loads(engine.request("GET", path)[1])["items"]}


def running(engine: EngineProcess) -> set[str]:
    """The names of running instances."""
    return {name for name, vmi in items(engine, VMIS).items() if vmi["status"]["phase"] == "Running"}


def prompts(engine: EngineProcess, name: str) -> bool:
    """Whether the console of a machine answers the Enter key with its prompt."""
    with contextlib.suppress(TimeoutError), engine.stream("lab", name, "console") as console:
        seen = b""
        console.send(b"\n")
        while b"login:" not in seen:
            seen += console.recv(2)
        return True
    return False


@pytest.mark.parametrize("count", [3, pytest.param(10, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_all_machines_are_taken_over_and_their_streams_work_again(engine: EngineProcess, count: int) -> None:
    names = {f"m{n}" for n in range(count)}
    post(engine, "lab", *(small(name) for name in names))
    until(lambda: running(engine) == names, 120)
    for name in names:
        until(lambda name=name: prompts(engine, name), 240)
    before, uids = sorted(qemu(engine)), {vmi["metadata"]["uid"] for vmi in items(engine, VMIS).values()}
    began = time.monotonic()
    engine.kill()
    assert sorted(qemu(engine)) == before
    engine.start()
    until(lambda: running(engine) == names, 20)
    print(f"{count} machines: answering again after {time.monotonic() - began:.2f} s")
    assert all(prompts(engine, name) for name in names)
    for name in names:
        with engine.stream("lab", name, "vnc") as screen:
            assert screen.recv(10) == b"RFB 003.008\n"
    assert sorted(qemu(engine)) == before
    assert {vmi["metadata"]["uid"] for vmi in items(engine, VMIS).values()} == uids
    nothing_is_left_after_deletion(engine)


def nothing_is_left_after_deletion(engine: EngineProcess) -> None:
    """No process, no file, no address."""
    engine.request("DELETE", "/api/v1/namespaces/lab")
    until(lambda: engine.request("GET", "/api/v1/namespaces/lab")[0] == 404, 60)
    assert engine.processes() == []
    assert engine.leftovers() == []


class Meddler:
    """Somebody who creates, stops, starts and deletes machines without end, whatever is answered."""

    def __init__(self, engine: EngineProcess, chance: random.Random) -> None:
        self._engine, self._chance = engine, chance
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._meddle)

    def __enter__(self) -> Meddler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _meddle(self) -> None:
        while not self._over.is_set():
            name = f"m{self._chance.randrange(4)}"
            path = f"{SUBRESOURCES}/namespaces/lab/virtualmachines/{name}"
            request = self._chance.choice(
                [
                    ("POST", VMS, small(name)),
                    ("DELETE", f"{VMS}/{name}"),
                    ("PUT", f"{path}/stop"),
                    ("PUT", f"{path}/start"),
                ]
            )
            with contextlib.suppress(urllib3.exceptions.HTTPError):  # the engine was killed
                self._engine.request(*request)
            self._over.wait(self._chance.random() * 0.1)


def as_it_should_be(engine: EngineProcess) -> bool:
    """Whether every machine runs or not as its strategy says, and there is no process beside."""
    vms, vmis = items(engine, VMS), items(engine, VMIS)
    wanted = {name for name, vm in vms.items() if vm["spec"]["runStrategy"] == "Always"}
    ended = [vm for vm in vms.values() if "deletionTimestamp" in vm["metadata"]]
    return not ended and running(engine) == wanted == set(vmis) and len(qemu(engine)) == len(wanted)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # connections that the kill cuts
@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_killed_in_the_middle_of_anything_it_comes_back_and_tidies_up(engine: EngineProcess, kills: int) -> None:
    chance = random.Random(kills)  # noqa: S311 - the same moments each time
    for _ in range(kills):
        with Meddler(engine, chance):
            time.sleep(chance.random())
            engine.kill()
        engine.start()
    until(lambda: as_it_should_be(engine), 60)
    folders = [path.name for path in (engine.state / "engine" / "machines").iterdir()]
    assert len(folders) == len(qemu(engine))
    assert {path.name for path in engine.runtime.glob("m*")} == set(folders)
    print(f"{kills} kills: {len(folders)} machines run")
    nothing_is_left_after_deletion(engine)
