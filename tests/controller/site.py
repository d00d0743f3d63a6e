"""A whole installation for tests of the controller: an engine, a proxy before it, a store, labs of one bare machine."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from labkit import app
from labkit.model import Operation, Principal, Role
from labkit.orchestrator.keyring import Keyring
from labkit.orchestrator.labs import DirectLabs, Labs
from labkit.orchestrator.work import Surroundings
from labkit.settings import Settings, load
from labkit.store import SqliteStore
from tests.support.engine import EngineProcess, until
from tests.support.proxy import Proxy

OPERATOR = Principal("local", "root", name="Root", role=Role.OPERATOR)
LAB = """
apiVersion: labkit/v1
kind: Lab
name: {name}
title: Bare machines
machines:
"""
MACHINE = "  - {{name: box{number}, type: vm, image: {{bundled: tiny}}, memory: 256Mi, panes: [console]}}\n"


class Site:
    """One installation. Its engine is shared with other sites; all else is its own."""

    def __init__(self, engine: EngineProcess, **settings: str) -> None:
        self.engine = engine
        self.folder = Path(tempfile.mkdtemp(prefix="lks"))
        self.proxy = Proxy(engine, self.folder)
        given = {"engine_timeout": "10", "lease_seconds": "15", "idle_minutes": "0", "start_timeout": "60"} | settings
        given["image_registry"] = "localhost/labkit"  # to labkit the engine is somebody's cluster here
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LABKIT_")},
            "HOME": str(self.folder),
            "LABKIT_STATE_DIR": str(self.folder / "s"),
            "LABKIT_KUBECONFIG": str(self.proxy.kubeconfig),
            **{f"LABKIT_{name.upper()}": value for name, value in given.items()},
        }
        self.settings: Settings = load(self.environment)
        self.around: Surroundings = app.surroundings(self.settings, Keyring(self.settings))
        self.store: SqliteStore = self.around.store  # type: ignore[assignment]
        self.labs: Labs = DirectLabs(self.around, Keyring(self.settings))
        self.processes: list[subprocess.Popen[bytes]] = []

    def template(self, name: str = "bare", machines: int = 1) -> str:
        """The folder of a template of bare machines: ready as soon as they run."""
        folder = self.folder / name
        (folder / "instructions").mkdir(parents=True, exist_ok=True)
        text = LAB.format(name=name) + "".join(MACHINE.format(number=number) for number in range(machines))
        (folder / "lab.yaml").write_text(text)
        (folder / "instructions" / "01-look.md").write_text("---\ntitle: Look\n---\n\n## Look {#look}\n\nLook at it.\n")
        return str(folder)

    def controller(self) -> subprocess.Popen[bytes]:
        """A controller as a process of its own."""
        command = [sys.executable, "-m", "labkit.cli", "controller", "--exit-with-parent"]
        with (self.folder / "controller.log").open("ab") as log:
            found = subprocess.Popen(command, env=self.environment, stdin=subprocess.PIPE, stdout=log, stderr=log)
        self.processes.append(found)
        return found

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """A controller in a thread of this process."""
        controller = app.controller(self.settings)
        failed: list[BaseException] = []

        def run() -> None:
            try:
                controller.run(self.settings.state_dir / "controller.lock")
            except BaseException as error:  # told below, in the thread that asks
                failed.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            controller.stop()
            thread.join(30)
        assert not failed, failed

    def end_of(self, operation: Operation, seconds: float = 120) -> Operation:
        """The operation, once it is final."""

        def final() -> Operation | None:
            found = self.store.operation(operation.id)
            return found if found and found.state.final else None

        return until(final, seconds)  # type: ignore[return-value]

    def namespaces(self) -> set[str]:
        """The labs that the engine has of this installation, asked past the proxy."""
        selector = f"labkit%2Finstallation%3D{self.store.installation()}"
        _, body = self.engine.request("GET", f"/api/v1/namespaces?labelSelector={selector}")
        return {item["metadata"]["name"].removeprefix("labkit-") for item in json.loads(body)["items"]}

    def settled(self, seconds: float = 90) -> None:
        """Wait until no operation is open, and the labs of the store are just those of the engine."""

        def same() -> bool:
            rows = self.store.labs()
            alive = {row.id for row in rows}
            still = all(row.ready and not self.store.busy(row.id) for row in rows)
            return still and self.namespaces() == alive

        until(same, seconds)

    def close(self) -> None:
        """End what it has started, and leave nothing in the engine."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait(10)
            if process.stdin:
                process.stdin.close()
        for lab in self.namespaces():
            self.engine.request("DELETE", f"/api/v1/namespaces/labkit-{lab}")
        until(lambda: not self.namespaces(), 30)
        self.proxy.close()
        self.store.close()
        shutil.rmtree(self.folder)
