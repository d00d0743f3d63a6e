"""The supervisor's client: start it where it does not run, ask it, end it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from labkit.cluster.client import chosen
from labkit.errors import SetupError
from labkit.settings import Settings
from labkit.supervisor import Child, Plan

_START_SECONDS = 40.0
_STOP_SECONDS = 40.0
_HOPELESS_RESTARTS = 3
"""A child that ended as often without ever being ready will not mend itself while somebody waits."""
Status = Mapping[str, Any]


def status(settings: Settings) -> Status | None:
    """What the supervisor says of itself and its children; None where none runs."""
    return _ask(settings, "status")


def ensure(settings: Settings, progress: Callable[[str], None] = lambda text: None) -> Status:
    """The running supervisor's status, once all it watches is ready: it is started where none of this version runs.

    Any number of processes may call this at once: one starts it, the others wait. Raises SetupError.
    """
    found = status(settings)
    if found and _usable(found):
        return found
    with _only_one(settings):
        found = status(settings)
        if found and found["version"] != version("labkit"):
            progress(f"Replacing the supervisor of version {found['version']}; machines keep running.")
        if found and (found["ending"] or found["version"] != version("labkit")):
            _stop(settings)
            found = None
        if found is None:
            progress("Starting labkit's engine, controller and gateway.")
            _spawn(settings)
        return _wait_until_ready(settings)


def stop(settings: Settings) -> bool:
    """End the supervisor and what it watches; machines keep running. False where none runs."""
    with _only_one(settings):
        return _stop(settings)


def _usable(found: Status) -> bool:
    ready = all(child["ready"] for child in found["children"])
    return ready and not found["ending"] and found["version"] == version("labkit")


def _plan(settings: Settings) -> Plan:
    labkit = (sys.executable, "-m", "labkit.cli")
    engine = [sys.executable, "-m", "labkit.local", "--exit-with-parent"]
    engine += ["--state-dir", str(settings.state_dir), "--runtime-dir", str(settings.runtime_dir)]
    engine += ["--images-dir", str(settings.images_dir), "--accel", settings.accel]
    gateway = [*labkit, "gateway", "--exit-with-parent", "--socket", str(settings.gateway_socket)]
    gateway += ["--port", str(settings.gateway_port)]
    children = [
        Child("controller", (*labkit, "controller", "--exit-with-parent")),
        Child("gateway", tuple(gateway), str(settings.gateway_socket)),
    ]
    if chosen(settings) == settings.engine_kubeconfig:
        children.insert(0, Child("engine", tuple(engine), str(settings.engine_endpoint)))
    return Plan(
        version=version("labkit"),
        socket=str(settings.supervisor_socket),
        lock=str(settings.state_dir / "supervisor.lock"),
        logs=str(settings.logs_dir),
        children=tuple(children),
    )


def _spawn(settings: Settings) -> None:
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    with open(settings.logs_dir / "supervisor.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "labkit.supervisor"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **settings.environment()},
            cwd="/",
            text=True,
        )
    with process.stdin as stdin:  # type: ignore[union-attr]  # it is a pipe
        stdin.write(_plan(settings).to_json() + "\n")
    # The supervisor outlives us on purpose: nobody here waits for it.
    process.returncode = 0


def _wait_until_ready(settings: Settings) -> Status:
    deadline = time.monotonic() + _START_SECONDS
    found: Status | None = None
    while time.monotonic() < deadline:
        found = status(settings)
        if found and _usable(found):
            return found
        if found and any(child["restarts"] >= _HOPELESS_RESTARTS and not child["ready"] for child in found["children"]):
            break
        time.sleep(0.03)
    waiting = [child["name"] for child in found["children"] if not child["ready"]] if found else ["supervisor"]
    raise SetupError(_why_not(settings, waiting[0]))


def _why_not(settings: Settings, name: str) -> str:
    """One sentence on what did not start, with the last thing that it said."""
    log = settings.logs_dir / f"{name}.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    last = next((line.strip().removeprefix("Error: ") for line in reversed(lines) if line.strip()), "it said nothing")
    return f"the {name} does not start: {last} (see {log}; `labkit doctor` checks the machine)"


def _ask(settings: Settings, ask: str) -> Status | None:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(5)
            connection.connect(str(settings.supervisor_socket))
            connection.sendall(json.dumps({"ask": ask}).encode() + b"\n")
            with connection.makefile() as answer:
                line = answer.readline()
    except OSError:
        return None
    return json.loads(line) if line else None


def _stop(settings: Settings) -> bool:
    if _ask(settings, "stop") is None:
        return False
    deadline = time.monotonic() + _STOP_SECONDS
    while _lock_is_held(settings.state_dir / "supervisor.lock"):
        if time.monotonic() > deadline:
            raise SetupError(f"the supervisor did not end within {_STOP_SECONDS:.0f} s; see {settings.logs_dir}")
        time.sleep(0.03)
    return True


def _lock_is_held(path: Path) -> bool:
    with open(path, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    make_private(settings.runtime_dir)
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(settings.state_dir / "launcher.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_private(folder: Path) -> None:
    """Make a folder that is this user's alone. Raises SetupError where somebody else's stands in its place."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for part in (folder, folder.parent):
        if part.stat().st_uid != os.getuid():
            raise SetupError(f"{part} belongs to somebody else; set XDG_RUNTIME_DIR to a folder of your own")
    os.chmod(folder, 0o700)
