"""Machines outlive the engine; nothing outlives its namespace."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
from collections.abc import Iterator

import psutil
import pytest

from tests.local.conftest import boot, post
from tests.support.engine import SUBRESOURCES, EngineProcess, machine, namespace, running_engine, seed, until


@pytest.fixture(scope="module")
def own_engine() -> Iterator[EngineProcess]:
    """An engine that may be killed."""
    with running_engine() as engine:
        engine.request("POST", "/api/v1/namespaces", namespace("lab"))
        boot(engine, "lab")
        yield engine


def qemu(engine: EngineProcess) -> list[int]:
    """The pids of the engine's machines."""
    lines = [(p.pid, " ".join(p.info["cmdline"] or [])) for p in psutil.process_iter(["cmdline"])]
    return [pid for pid, line in lines if line.startswith("qemu-system") and str(engine.runtime) in line]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_machine_lives_on_over_the_engines_end_and_its_streams_work_again(
    own_engine: EngineProcess, number: int
) -> None:
    before, port = qemu(own_engine), own_engine.kubeconfig.read_text()
    own_engine.kill(number)
    assert qemu(own_engine) == before
    own_engine.start()
    assert own_engine.kubeconfig.read_text() == port
    until(lambda: own_engine.phase("lab", "web") == "Running", 10)
    with own_engine.stream("lab", "web", "portforward/22") as stream:
        assert stream.recv(10).startswith(b"SSH")
    with own_engine.stream("lab", "web", "console") as console:
        console.send(b"\n")
        assert console.recv(10)


def test_a_watch_from_before_a_restart_starts_anew(own_engine: EngineProcess) -> None:
    since = json.loads(own_engine.request("GET", "/api/v1/secrets?limit=1")[1])["metadata"]["resourceVersion"]
    post(own_engine, "lab", {**seed("lab"), "metadata": {"name": "later"}})
    own_engine.kill()
    own_engine.start()
    event = json.loads(own_engine.request("GET", f"/api/v1/secrets?watch=1&resourceVersion={since}")[1])
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_a_machine_killed_behind_the_engines_back_is_started_again(own_engine: EngineProcess) -> None:
    old = own_engine.vmi("lab", "web")["metadata"]["uid"]
    own_engine.kill()
    for pid in qemu(own_engine):
        psutil.Process(pid).kill()
    own_engine.start()
    until(
        lambda: own_engine.phase("lab", "web") == "Running" and own_engine.vmi("lab", "web")["metadata"]["uid"] != old,
        20,
    )


def test_stop_ends_the_machine_and_start_brings_a_new_one(own_engine: EngineProcess) -> None:
    path = f"{SUBRESOURCES}/namespaces/lab/virtualmachines/web"
    assert own_engine.request("PUT", f"{path}/stop")[0] == 202
    until(lambda: not own_engine.vmi("lab", "web"), 10)
    assert own_engine.leftovers() == []
    assert own_engine.request("PUT", f"{path}/start")[0] == 202
    until(lambda: own_engine.phase("lab", "web") == "Running", 10)


def test_a_namespace_takes_everything_with_it(own_engine: EngineProcess) -> None:
    own_engine.request("POST", "/api/v1/namespaces", namespace("other"))
    for space in ("lab", "other"):
        code, _ = own_engine.request("DELETE", f"/api/v1/namespaces/{space}")
        assert code == 200
    until(lambda: own_engine.request("GET", "/api/v1/namespaces/lab")[0] == 404, 20)
    assert own_engine.processes() == []
    assert own_engine.leftovers() == []


def test_machines_and_folders_that_belong_to_nothing_are_removed_at_the_next_start(own_engine: EngineProcess) -> None:
    own_engine.request("POST", "/api/v1/namespaces", namespace("gone"))
    own_engine.request("POST", "/api/v1/namespaces/gone/secrets", seed("gone"))
    own_engine.request("POST", "/apis/kubevirt.io/v1/namespaces/gone/virtualmachines", machine("web", "gone"))
    until(lambda: own_engine.phase("gone", "web") == "Running")
    own_engine.kill()
    with contextlib.closing(sqlite3.connect(own_engine.state / "engine" / "objects" / "objects.db")) as objects:
        objects.execute("DELETE FROM objects WHERE kind LIKE 'virtualmachine%' AND namespace = 'gone'")
        objects.commit()
    own_engine.start()
    until(lambda: own_engine.processes() == [], 10)
    assert own_engine.leftovers() == []
