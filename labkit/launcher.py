"""The supervisor's client: start it where it does not run, ask it, end it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import distributions, requires, version
from pathlib import Path
from typing import Any

from labkit.cluster.client import chosen
from labkit.errors import SetupError
from labkit.folders import make_private
from labkit.settings import Settings
from labkit.supervisor import Child, Plan, run

_START_SECONDS = 40.0
_STOP_SECONDS = 40.0
_HANDED_ON = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)
_HANDED_ON_PREFIXES = ("LC_", "XDG_", "PYTHON", "LABKIT_", "KUBERNETES_SERVICE_")
_OF_ENGINE = 'extra == "engine"'
_HOPELESS_RESTARTS = 4
"""A child that ended as often without ever being ready will not mend itself while somebody waits."""
Status = Mapping[str, Any]


def gateway_root(settings: Settings) -> str:
    """Where on this computer the gateway says that it listens; "" where it does not say."""
    try:
        return f"http://127.0.0.1:{json.loads(settings.gateway_endpoint.read_text())['port']}/"
    except (OSError, ValueError, KeyError):
        return ""


def status(settings: Settings) -> Status | None:
    """What the supervisor says of itself and its children; None where none runs."""
    return _ask(settings, "status")


def ensure(settings: Settings, progress: Callable[[str], None] = lambda text: None) -> Status:
    """The running supervisor's status, once all it watches is ready: it is started where none of this version runs.

    Any number of processes may call this at once: one starts it, the others wait. Raises SetupError, also where a
    service of other settings runs, and where `url` says that all this is elsewhere.
    """
    here(settings)
    _wait_for_farewell(settings, progress)
    found, plan = status(settings), _plan(settings)
    if found and _usable(found, plan):
        return found
    with _only_one(settings):
        found = status(settings)
        _check_service(found, settings)
        if found and not found.get("ending") and not _same(found, plan):
            progress(f"Replacing the supervisor of version {found['version']}: version or settings have changed.")
        if found and (found.get("ending") or not _same(found, plan)):
            _stop(settings)
            found = None
        if found is None:
            _check_engine(settings)
            progress("Starting labkit's engine, controller and gateway.")
            _spawn(settings, plan)
        return _wait_until_ready(settings, plan)


def _check_engine(settings: Settings) -> None:
    """Raises SetupError where the embedded engine is wanted, and is not installed."""
    wanted = [line for line in requires("labkit") or () if _OF_ENGINE in line.replace("'", '"')]
    names = [found[0] for line in wanted if (found := re.match(r"[\w.-]+", line))]
    lacking = [name for name in names if not any(distributions(name=name))]
    if lacking and chosen(settings) == settings.engine_kubeconfig:
        raise SetupError(
            f"the embedded engine is not installed (there is no {', '.join(lacking)}): install labkit's wheel with its "
            "extra [engine], or name a cluster (LABKIT_KUBECONFIG) or a service (LABKIT_URL)"
        )


def here(settings: Settings) -> None:
    """Raises SetupError where labs are on another computer: what is asked for concerns this one."""
    if settings.url:
        raise SetupError(f"LABKIT_URL is set: labs are at {settings.url}; unset it to run or manage them here")


def serve(settings: Settings, port: int, more: Sequence[Child]) -> int:
    """Be the supervisor, of a service with these children more, on a port of 127.0.0.1, until told to end by SIGTERM:
    the exit status.

    Children get no variable that may hold another's secret. Raises SetupError where a supervisor runs already.
    """
    here(settings)
    make_private(settings.logs_dir)
    make_private(settings.runtime_dir)
    with _only_one(settings):
        if _lock_is_held(settings.state_dir / "supervisor.lock"):
            raise SetupError("labkit runs here already: end it with `labkit engine down --keep-labs` first")
    _check_engine(settings)
    kept = {**_handed_on(os.environ), **settings.environment()}
    os.environ.clear()
    os.environ.update(kept)
    return run(_plan(settings, port, more))


def stop(settings: Settings) -> bool:
    """End the supervisor and what it watches; machines keep running. False where none runs. Raises SetupError."""
    with _only_one(settings):
        check_ours(settings)
        return _stop(settings)


@contextmanager
def ended(settings: Settings) -> Iterator[None]:
    """What ran here has been ended, machines apart, and nobody else can start anything until the end of the block. What
    it starts itself ends with it. Raises SetupError, also where what runs is a service."""
    with _only_one(settings):
        check_ours(settings)
        _stop(settings)
        try:
            yield
        finally:
            _stop(settings)


def start_engine(settings: Settings) -> None:
    """Start the embedded engine with nothing that gives it work. Only while all is `ended`. Raises SetupError."""
    plan = _plan(settings)
    # Others' settings are never these: to them, it is not what they need.
    plan = replace(plan, children=tuple(each for each in plan.children if each.name == "engine"), settings="engine")
    _spawn(settings, plan)
    _wait_until_ready(settings, plan)


def check_ours(settings: Settings) -> None:
    """Raises SetupError where what runs is a service, which we do not end."""
    found = status(settings)
    if found and found.get("service"):
        raise SetupError("`labkit serve` runs here: end it where it was started (`systemctl stop labkit`)")


@contextmanager
def held_off(settings: Settings) -> Iterator[None]:
    """Nobody can start the supervisor meanwhile. Raises SetupError where one runs."""
    with _only_one(settings):
        if _ask(settings, "status") is not None or _lock_is_held(settings.state_dir / "controller.lock"):
            raise SetupError("engine, controller or gateway run: end them with `labkit engine down --keep-labs` first")
        yield


def _usable(found: Status, plan: Plan) -> bool:
    ready = all(child["ready"] for child in found["children"])
    return ready and not found.get("ending") and _same(found, plan)


def _same(found: Status, plan: Plan) -> bool:
    """Whether a supervisor is of our version, and was started with our settings."""
    return bool(found["version"] == plan.version and found.get("settings") == plan.settings)


def _check_service(found: Status | None, settings: Settings) -> None:
    """Raises SetupError where a service runs that is not ours to replace."""
    if found and found.get("service") and not _same(found, _plan(settings)):
        raise SetupError(
            "`labkit serve` runs here with other settings or another version: restart it, or use its settings "
            "(the file named in LABKIT_CONFIG, or its LABKIT_ variables)"
        )


def _plan(settings: Settings, port: int | None = None, more: Sequence[Child] = ()) -> Plan:
    """Engine (where it is embedded), controller and gateway; and for a service, which stays, what it has `more`."""
    labkit = (sys.executable, "-m", "labkit.cli")
    engine = [sys.executable, "-m", "labkit.local", "--exit-with-parent"]
    engine += ["--state-dir", str(settings.state_dir), "--runtime-dir", str(settings.runtime_dir)]
    engine += ["--images-dir", str(settings.images_dir), "--accel", settings.accel]
    engine += ["--warm", settings.warm, "--spares", str(settings.spares)]
    gateway = [*labkit, "gateway", "--exit-with-parent", "--socket", str(settings.gateway_socket)]
    gateway += ["--port", str(port or settings.gateway_port), *(["--web", str(settings.web_socket)] if more else [])]
    controller = [*labkit, "controller", "--exit-with-parent", *(["--stay", "--attest"] if more else [])]
    children = [
        Child("controller", tuple(controller)),
        Child("gateway", tuple(gateway), str(settings.gateway_socket)),
        *more,
    ]
    if chosen(settings) == settings.engine_kubeconfig:
        children.insert(0, Child("engine", tuple(engine), str(settings.engine_endpoint)))
    return Plan(
        version=version("labkit"),
        socket=str(settings.supervisor_socket),
        lock=str(settings.state_dir / "supervisor.lock"),
        logs=str(settings.logs_dir),
        children=tuple(children),
        settings=hashlib.sha256(json.dumps(settings.environment(), sort_keys=True).encode()).hexdigest(),
        service=bool(more),
    )


def _spawn(settings: Settings, plan: Plan) -> None:
    make_private(settings.logs_dir)
    _wait_for_lock(settings)  # of one that was just on its way out
    with open(settings.logs_dir / "supervisor.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "labkit.supervisor"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**_handed_on(os.environ), **settings.environment()},
            cwd="/",
            text=True,
        )
    with process.stdin as stdin:  # type: ignore[union-attr]  # it is a pipe
        stdin.write(plan.to_json() + "\n")
    # The supervisor outlives us on purpose: nobody here waits for it.
    process.returncode = 0


def _handed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables a process that outlives us may have: none that can hold a token of Jupyter's or a Hub's."""
    return {
        name: value
        for name, value in environ.items()
        if name in _HANDED_ON or (name.startswith(_HANDED_ON_PREFIXES) and name != "LABKIT_TOKEN")
    }


def _wait_until_ready(settings: Settings, plan: Plan) -> Status:
    deadline = time.monotonic() + _START_SECONDS
    found: Status | None = None
    while time.monotonic() < deadline:
        found = status(settings)
        if found and _usable(found, plan):
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
    """As `stop`. One that has only begun does not listen yet: it is asked until it has ended."""
    running = _lock_is_held(settings.state_dir / "supervisor.lock")
    _wait_for_lock(settings, lambda: _ask(settings, "stop"))
    return running


def _wait_for_farewell(settings: Settings, progress: Callable[[str], None]) -> None:
    """Wait while what ran for a Jupyter server that has ended is being ended: it would take what starts now along."""
    if not settings.farewell_lock.exists():
        return
    with open(settings.farewell_lock, "a+") as farewell:
        try:
            fcntl.flock(farewell, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Waiting until what ran for a Jupyter server before has ended.")
            fcntl.flock(farewell, fcntl.LOCK_SH)


def _wait_for_lock(settings: Settings, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Wait until no supervisor runs (any more). Raises SetupError where one does not end."""
    deadline = time.monotonic() + _STOP_SECONDS
    while _lock_is_held(settings.state_dir / "supervisor.lock"):
        meanwhile()
        if time.monotonic() > deadline:
            raise SetupError(f"the supervisor did not end within {_STOP_SECONDS:.0f} s; see {settings.logs_dir}")
        time.sleep(0.03)


def _lock_is_held(path: Path) -> bool:
    with open(path, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    make_private(settings.state_dir)
    make_private(settings.runtime_dir)
    with open(settings.state_dir / "launcher.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
