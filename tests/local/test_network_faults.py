"""What a machine does where its network cannot be had as policies want it: it never runs open."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from labkit.local.doctor import examine
from tests.local.conftest import post
from tests.support.engine import EngineProcess, machine, namespace, running_engine, seed, until


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a command that only complains before the real one."""

    def shadow(command: str) -> None:
        file = tmp_path / command
        file.write_text(f"#!/bin/sh\necho {command} is out of order >&2\nexit 1\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    return shadow


def start(engine: EngineProcess, phase: str) -> dict:
    """A machine named ``web``, once it is in that phase."""
    engine.request("POST", "/api/v1/namespaces", namespace("lab"))
    post(engine, "lab", seed("lab"), machine("web", "lab", strategy="Once"))
    until(lambda: engine.phase("lab", "web") == phase, 30)
    return engine.vmi("lab", "web")


def test_without_a_filter_a_machine_fails_and_says_why(broken: Callable[[str], None]) -> None:
    broken("nft")
    with running_engine(network="private") as engine:
        conditions = start(engine, "Failed")["status"]["conditions"]
        found = next(item for item in conditions if item["type"] == "Synchronized")
        assert (found["status"], found["reason"]) == ("False", "FailedCreate")
        assert "nft is out of order" in found["message"]
        assert not [line for line in engine.processes() if line.startswith("qemu")]


def test_a_holder_changes_nothing_in_a_network_that_is_the_computers_own(tmp_path: Path) -> None:
    options = f"--holder-dir={tmp_path} --address=10.77.9.1"
    # Safe though it should go wrong: what is taken for the computer's own network is a new one.
    holder = f"timeout 60 {sys.executable} -m labkit.local.network.holder {options}"
    script = f"sleep 90 & {holder} --join=$!; ip link; kill $!"
    own = [] if os.getuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    done = subprocess.run(["unshare", *own, "--net", "--", "sh", "-c", script], capture_output=True, text=True)
    assert ("is in the computer's own network" in done.stderr, "br0" in done.stdout) == (True, False)


def test_where_no_private_network_can_be_made_one_machine_runs_alone_and_the_doctor_says_what_is_lost(
    broken: Callable[[str], None],
) -> None:
    broken("nft")
    assert "nft is out of order: labs of one machine run; no second machine" in str(examine(Path("/none"), "tcg"))
    with running_engine() as engine:
        start(engine, "Running")
        assert any("user,id=net0,restrict=on" in line for line in engine.processes())


def test_without_a_way_out_a_machine_runs_closed_and_an_event_says_so(broken: Callable[[str], None]) -> None:
    broken("slirp4netns")
    with running_engine() as engine:
        start(engine, "Running")
        shown = until(lambda: engine.kubectl("get", "events", "-n", "lab", "--field-selector=reason=NetworkNotReady"))
        assert "slirp4netns is out of order" in shown


def test_a_way_out_that_ends_is_brought_back_and_goes_with_the_last_machine() -> None:
    def running(engine: EngineProcess) -> list[psutil.Process]:
        lines = [(p, " ".join(p.info["cmdline"] or [])) for p in psutil.process_iter(["cmdline"])]
        return [p for p, line in lines if line.startswith("slirp4netns") and str(engine.runtime) in line]

    with running_engine() as engine:
        start(engine, "Running")
        first = until(lambda: running(engine))[0]
        first.send_signal(signal.SIGKILL)
        until(lambda: [p for p in running(engine) if p.pid != first.pid], 10)
        engine.request("DELETE", "/api/v1/namespaces/lab")
        until(lambda: not running(engine) and not engine.leftovers(), 10)


def test_a_dns_server_that_ends_is_brought_back_while_the_machine_runs_on() -> None:
    def servers(engine: EngineProcess) -> dict[int, psutil.Process]:
        found = [(p, " ".join(p.info["cmdline"] or [])) for p in psutil.process_iter(["cmdline"])]
        return {p.pid: p for p, line in found if line.startswith("dnsmasq") and str(engine.runtime) in line}

    with running_engine() as engine:
        before = start(engine, "Running")["metadata"]["uid"]
        first = until(lambda: len(found := servers(engine)) == 2 and found)
        next(iter(first.values())).send_signal(signal.SIGKILL)
        until(lambda: len(now := servers(engine)) == 2 and not now.keys() & first.keys(), 15)
        assert (engine.phase("lab", "web"), engine.vmi("lab", "web")["metadata"]["uid"]) == ("Running", before)
