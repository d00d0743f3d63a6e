"""The supervisor, with real processes: it keeps children running, ends them all, and never leaves one behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from labkit.supervisor import IDLE_EXIT, Child, Plan

WAITS = (sys.executable, "-c", "import sys; sys.stdin.read()")
"""A well-behaved child: it ends when its standard input does."""


class Running:
    """A supervisor process and the way to ask it."""

    def __init__(self, folder: Path, *children: Child, service: bool = False) -> None:
        self.socket = folder / "s.sock"
        self.plan = Plan("1.0", str(self.socket), str(folder / "lock"), str(folder), children, service=service)
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-m", "labkit.supervisor"], stdin=subprocess.PIPE, text=True)
        assert process.stdin is not None
        process.stdin.write(self.plan.to_json() + "\n")
        process.stdin.close()
        return process

    def ask(self, what: str) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.socket))
            connection.sendall(json.dumps({"ask": what}).encode() + b"\n")
            return json.loads(connection.makefile().readline())

    def child(self) -> dict[str, Any]:
        """The first child's status, or nothing where nobody answers yet."""
        try:
            return self.ask("status")["children"][0]
        except OSError:
            return {"pid": None, "ready": False}

    def ready_child(self) -> int:
        return int(until(lambda: self.child()["ready"] and self.child()["pid"]))


def until(what: Callable[[], Any], seconds: float = 10) -> Any:
    """What `what` gives, once it is true. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = what()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(*children: Child, service: bool = False) -> Running:
        started.append(Running(tmp_path, *children, service=service))
        return started[-1]

    yield start
    for found in started:
        found.process.kill()
        found.process.wait()


def test_a_child_that_is_killed_is_started_again(supervise: Callable[..., Running]) -> None:
    running = supervise(Child("waits", WAITS))
    first = running.ready_child()
    os.kill(first, signal.SIGKILL)
    until(lambda: running.child()["pid"] not in (None, first))
    assert running.child()["restarts"] == 1


def test_stop_ends_supervisor_and_children(supervise: Callable[..., Running]) -> None:
    running = supervise(Child("waits", WAITS))
    child = running.ready_child()
    assert running.ask("stop") == {"stopping": True}
    assert running.process.wait(10) == 0
    assert not psutil.pid_exists(child)
    assert not running.socket.exists()


def test_a_service_ends_by_a_signal_and_not_because_a_client_asks(supervise: Callable[..., Running]) -> None:
    running = supervise(Child("waits", WAITS), service=True)
    child = running.ready_child()
    assert "error" in running.ask("stop")
    assert (running.ask("status")["ending"], running.child()["pid"]) == (False, child)
    running.process.terminate()
    assert running.process.wait(10) == 0


def test_a_child_that_ignores_its_end_of_input_gets_a_signal(supervise: Callable[..., Running]) -> None:
    running = supervise(Child("stays", (sys.executable, "-c", "import time; time.sleep(600)")))
    child = running.ready_child()
    running.ask("stop")
    assert running.process.wait(10) == 0
    assert not psutil.pid_exists(child)


def test_killed_outright_it_leaves_no_child_behind(supervise: Callable[..., Running]) -> None:
    running = supervise(Child("waits", WAITS))
    child = running.ready_child()
    running.process.kill()
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_an_idle_child_ends_it_all(supervise: Callable[..., Running]) -> None:
    idle = Child("idle", (sys.executable, "-c", f"import time; time.sleep(1); raise SystemExit({IDLE_EXIT})"))
    running = supervise(Child("waits", WAITS), idle)
    child = running.ready_child()
    assert running.process.wait(10) == 0
    assert not psutil.pid_exists(child)


def test_there_is_only_one(supervise: Callable[..., Running]) -> None:
    running = supervise(Child("waits", WAITS))
    running.ready_child()
    assert running.start().wait(10) == 1
    assert running.child()["ready"]


def test_a_child_is_ready_when_it_accepts_connections(supervise: Callable[..., Running], tmp_path: Path) -> None:
    path = tmp_path / "child.sock"
    serve = f"import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind({str(path)!r}); s.listen(); sys.stdin.read()"
    running = supervise(Child("serves", (sys.executable, "-c", serve), str(path)))
    assert running.ready_child()
    assert path.exists()


def test_an_unknown_question_is_answered_with_the_known_ones(supervise: Callable[..., Running]) -> None:
    running = supervise(Child("waits", WAITS))
    running.ready_child()
    assert running.ask("dance") == {"error": "'dance' is not known; known: status, stop"}
