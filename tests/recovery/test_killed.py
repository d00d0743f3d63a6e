"""Killed anywhere and asked again: there is exactly one lab, it comes up or is cleaned up, and others live on."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest

from tests.support.home import LABKIT, Home, eventually


def kill(home: Home, word: str) -> int:
    """Kill a part outright; its process id."""
    found = next(process for process in home.processes(word) if "network.holder" not in " ".join(process.cmdline()))
    found.kill()
    return found.pid


@pytest.mark.parametrize(
    "part",
    [
        "labkit.local",
        *(pytest.param(part, marks=pytest.mark.slow) for part in ("labkit.cli controller", "labkit.supervisor")),
    ],
)
def test_a_start_whose_engine_controller_or_supervisor_is_killed_is_finished_by_the_next_command(
    home: Home, part: str
) -> None:
    first = home.json("start", "hello-lab", "--no-wait")
    machine = home.wait_for_machine()
    kill(home, part)
    second = home.json("start", "hello-lab")
    assert (second["id"], second["state"]) == (first["id"], "running")
    assert home.machines() == [machine], "the machine lived on: it was not made a second time"
    assert home.labkit("stop", "hello-lab").returncode == 0
    assert home.leftovers() == []


@pytest.mark.slow
def test_machines_live_on_when_all_of_labkit_is_killed_and_another_lab_is_stopped(home: Home, tmp_path: Path) -> None:
    other = tmp_path / "other-lab"
    shutil.copytree(Path("labkit/templates/bundled/hello-lab"), other)
    (other / "lab.yaml").write_text((other / "lab.yaml").read_text().replace("name: hello-lab", "name: other-lab"))
    stays, goes = home.json("start", "hello-lab"), home.json("start", str(other))
    before = home.machines()
    assert len(before) == 2
    kill(home, "labkit.supervisor")
    for _ in eventually("everything but machines and networks gone", 20):
        if not home.processes("labkit.cli") and not home.processes("labkit.local --exit"):
            break
    assert home.labkit("stop", goes["id"]).returncode == 0
    assert len(home.machines()) == 1
    assert set(home.machines()) < set(before)
    done = home.labkit("exec", stays["id"], "box", "hostname")
    assert (done.stdout, done.returncode) == ("box\n", 0)


@pytest.mark.slow
def test_a_stop_whose_controller_is_killed_is_finished_by_the_next_one(home: Home) -> None:
    lab = home.json("start", "hello-lab")["id"]
    os.kill(home.processes("labkit.cli controller")[0].pid, signal.SIGSTOP)
    stopping = psutil.Popen([str(LABKIT), "stop", lab], env=home.environment)
    for _ in eventually("the stop is asked for"):
        if home.json("status", lab)["state"] == "stopping":
            break
    kill(home, "labkit.cli controller")
    assert stopping.wait(60) == 0
    assert home.leftovers() == []
