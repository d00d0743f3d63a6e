"""What ends with a Jupyter server as a Hub has it, also where it is killed: real servers of one user, real machines."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil
import pytest

from labkit import launcher
from tests.support.engine import until
from tests.support.home import LABKIT, Home, new_home
from tests.support.jupyter import Jupyter, running_jupyter

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """A user's home, with room for one lab."""
    found = new_home()
    (found.folder / ".config/labkit").mkdir(parents=True)
    (found.folder / ".config/labkit/config.toml").write_text("most_labs = 1\n")
    try:
        yield found
    finally:
        found.end()


@contextmanager
def server(home: Home, folder: Path, *, ends: bool = True) -> Iterator[Jupyter]:
    """A server of his, started in a folder with a file of his own that has the name of one of Python's modules."""
    folder.mkdir(exist_ok=True)
    (folder / "random.py").write_text("raise SystemExit('this is not what was meant')\n")
    config = f"c.LabkitServer.labs_end_with_server = {ends}\n"
    with running_jupyter(folder, environ=home.environment, config=config, cwd=folder) as found:
        yield found


@contextmanager
def service(home: Home) -> Iterator[None]:
    """`labkit serve` on the same state folder, once all of it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serving = subprocess.Popen([LABKIT, "serve", "--port", str(port)], env=home.environment, stdout=subprocess.DEVNULL)
    try:
        until(lambda: ready(home), 60)
        yield
    finally:
        serving.terminate()
        serving.wait(60)


def ready(home: Home) -> bool:
    found = launcher.status(home.settings)
    return found is not None and all(part["ready"] for part in found["children"])


def start(jupyter: Jupyter, template: str = "hello-lab") -> str:
    """A lab, as JupyterLab's panel starts it."""
    status, said = jupyter.json("POST", "labkit/api/labs", {"template": template})
    assert status == 202, said
    return str(said["lab"])


def started(jupyter: Jupyter) -> str:
    """One that runs."""
    lab = start(jupyter)
    until(lambda: states(jupyter).get(lab) == "running", 120)
    return lab


def states(jupyter: Jupyter) -> dict[str, str]:
    """The labs that have not ended."""
    return {one["id"]: one["state"] for one in jupyter.json("GET", "labkit/api/labs")[1]["labs"]}


def farewells(home: Home) -> set[int]:
    """The processes that wait for the end of a server of this home's, or work because of it."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        if "labkit.jupyter.farewell" in (process.info["cmdline"] or ()):
            try:
                found |= {process.pid} if process.environ().get("HOME") == str(home.folder) else set()
            except psutil.NoSuchProcess:
                continue
    return found


def awaited(lock: IO[str]) -> bool:
    """Whether another process waits for a lock."""
    lines = Path("/proc/locks").read_text().splitlines()
    return any("->" in line and f":{os.fstat(lock.fileno()).st_ino} " in line for line in lines)


def nothing_left(home: Home) -> bool:
    return not home.processes() and not farewells(home)


def test_a_killed_server_leaves_nothing_though_the_supervisor_had_crashed_and_a_lab_waited_for_room(
    home: Home, tmp_path: Path
) -> None:
    with server(home, tmp_path) as killed:
        labs = [started(killed), start(killed, "two-machines")]
        assert home.machines()
        for process in home.processes("labkit.supervisor"):
            process.kill()
        killed.process.kill()
        until(lambda: nothing_left(home), 60)
    assert [home.json("status", lab)["state"] for lab in labs] == ["lost", "lost"]
    assert home.leftovers() == []


def test_a_lab_of_the_server_that_is_started_at_once_afterwards_lives(home: Home, tmp_path: Path) -> None:
    with server(home, tmp_path / "one") as first:
        lost, before = started(first), farewells(home)
        first.process.kill()
        with server(home, tmp_path / "two") as second:
            lab = started(second)
            until(lambda: not before & farewells(home), 60)
            assert (states(second), len(home.machines())) == ({lab: "running"}, 1)
            assert home.json("status", lost)["state"] == "lost"
    until(lambda: nothing_left(home), 60)


def test_a_start_waits_while_a_server_before_is_bidden_farewell_and_the_server_answers(
    home: Home, tmp_path: Path
) -> None:
    with (
        ThreadPoolExecutor() as pool,
        server(home, tmp_path) as jupyter,
        home.settings.farewell_lock.open("a") as farewell,
    ):
        fcntl.flock(farewell, fcntl.LOCK_EX)
        asked = pool.submit(start, jupyter)
        until(lambda: awaited(farewell))
        assert (jupyter.json("GET", "api/status")[0], asked.done()) == (200, False)
        fcntl.flock(farewell, fcntl.LOCK_UN)
        assert asked.result(60)
    until(lambda: nothing_left(home), 60)


def test_a_server_that_is_killed_while_its_lab_starts_leaves_nothing(home: Home, tmp_path: Path) -> None:
    with server(home, tmp_path) as killed:
        lab = start(killed)
        home.wait_for_machine()
        killed.process.kill()
        until(lambda: nothing_left(home), 60)
    assert home.json("status", lab)["state"] == "lost"


def test_labs_that_are_to_outlive_their_server_do(home: Home, tmp_path: Path) -> None:
    with server(home, tmp_path, ends=False) as killed:
        lab, machines = started(killed), home.machines()
        assert farewells(home) == set()
        killed.process.kill()
        killed.process.wait()
    assert (home.json("status", lab)["state"], home.machines()) == ("running", machines)
    assert home.labkit("engine", "down").returncode == 0


def test_the_labs_of_a_service_on_the_same_state_folder_go_on(home: Home, tmp_path: Path) -> None:
    with service(home), server(home, tmp_path) as killed:
        lab, machines = started(killed), home.machines()
        killed.process.kill()
        until(lambda: not farewells(home), 60)
        assert (home.json("status", lab)["state"], home.machines()) == ("running", machines)
        assert "`labkit serve` runs here" in (home.settings.logs_dir / "farewell.log").read_text()
        assert home.labkit("stop", lab).returncode == 0
