"""A home of its own for the whole of labkit: state, sockets and machines that no other test sees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from labkit.settings import Settings, load
from tests.support.cluster import Cluster

LABKIT = Path(sys.executable).parent / "labkit"
ENGINE_PARTS = ("labkit.local", "labkit.supervisor", "labkit.cli", "qemu-system", "dnsmasq")


@dataclass
class Home:
    """A newcomer's home folder, and what runs for it."""

    folder: Path
    warm: str = "off"

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("LABKIT_", "XDG_", "JUPYTER"))
        }
        own = {"HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder / "run"), "LABKIT_WARM": self.warm}
        return {**kept, **own}

    @property
    def settings(self) -> Settings:
        return load(self.environment)

    def labkit(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        everything = {**self.environment, **environment}
        return subprocess.run(
            [LABKIT, *words], env=everything, capture_output=True, text=True, timeout=150, check=False
        )

    def json(self, *words: str) -> Any:
        """What a command prints with --json. Fails where the command does."""
        done = self.labkit(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def kubectl(self, *words: str) -> str:
        """What the real kubectl prints of this home's engine."""
        done = Cluster(self.settings.engine_kubeconfig).run_kubectl(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def processes(self, word: str = "") -> list[psutil.Process]:
        """What runs for this home (its folders stand on the command line, or in the environment)."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or ())
            if word in line and any(part in line for part in ENGINE_PARTS) and self._owns(process, line):
                found.append(process)
        return found

    def _owns(self, process: psutil.Process, line: str) -> bool:
        if str(self.folder) in line:
            return True
        try:
            return process.environ().get("LABKIT_STATE_DIR", "").startswith(str(self.folder))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def machines(self) -> list[int]:
        """The process ids of this home's QEMUs."""
        return sorted(process.pid for process in self.processes("qemu-system"))

    def wait_for_machine(self) -> int:
        """The one machine's process, once there is one."""
        for _ in eventually("a machine", 30):
            if found := self.machines():
                return found[0]
        raise AssertionError

    def leftovers(self) -> list[str]:
        """What a lab would leave behind if it did: machines, networks, disks, sockets, namespaces."""
        found = [
            f"process {process.pid}"
            for word in ("qemu-system", "network.holder", "dnsmasq")
            for process in self.processes(word)
        ]
        engine = self.settings.state_dir / "engine"
        found += [str(path) for path in engine.rglob("*") if path.suffix in (".qcow2", ".iso")]
        services = {self.settings.supervisor_socket, self.settings.gateway_socket}
        found += [str(path) for path in self.settings.runtime_dir.rglob("*.sock") if path not in services]
        if self.settings.engine_kubeconfig.exists():
            found += [name for name in self.kubectl("get", "namespaces", "--output=name").split() if "labkit-" in name]
        return found

    def end(self) -> None:
        """End everything, whatever state it is in."""
        self.labkit("engine", "down")
        for process in self.processes():
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def new_home(*, image: bool = True) -> Home:
    """A home in which only the machine image is there already (building it is another test's business).

    Its path is short: sockets live below it, and a socket's path holds 108 bytes.
    """
    folder = Path(tempfile.mkdtemp(prefix="lk-"))
    state = folder / ".local/state/labkit"
    state.mkdir(parents=True)
    (folder / "run").mkdir(mode=0o700)
    if image:
        (state / "images").symlink_to(load().images_dir)
    return Home(folder)


def eventually(what: str, seconds: float = 20) -> Iterator[None]:
    """Come round again until the caller breaks out; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")
