"""An embedded engine of its own for a test, in folders of its own: ``with running_engine() as engine: …``."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil

from labkit import settings
from tests.support.cluster import SUBRESOURCES as SUBRESOURCES
from tests.support.cluster import Cluster

T = TypeVar("T")


def until(what: Callable[[], T], seconds: float = 30.0) -> T:
    """What ``what`` gives, once it is true. Fails after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s; last: {found!r}"
        time.sleep(0.05)
    return found


class EngineProcess(Cluster):
    """An engine, its folders and clients for it. ``folder`` must be short: sockets are made below it."""

    def __init__(self, folder: Path, images: Path, *options: str) -> None:
        self.options = options
        self.state, self.runtime, self.images = folder / "s", folder / "r", images
        super().__init__(self.state / "engine" / "kubeconfig")
        self.log = folder / "engine.log"
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, *more: str) -> list[str]:
        """The command line that starts it."""
        folders = [f"--state-dir={self.state}", f"--runtime-dir={self.runtime}", f"--images-dir={self.images}"]
        options = ["--accel=tcg", "--exit-with-parent", *self.options, *more]
        return [sys.executable, "-m", "labkit.local", *folders, *options]

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.PIPE, stderr=log)
        until(self._answers)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the engine, not its machines."""
        process = self.process  # another thread may start the next one meanwhile
        assert process is not None
        assert process.stdin is not None
        process.send_signal(number)
        process.wait(20)
        process.stdin.close()

    def processes(self) -> list[str]:
        """Command lines of everything that belongs to this engine, but for itself."""
        found = {process.pid: " ".join(process.info["cmdline"] or []) for process in _processes_of(self)}
        return [line for line in found.values() if "--state-dir" not in line]

    def leftovers(self) -> list[str]:
        """Files of machines and networks."""
        folders = (self.runtime, self.state / "engine" / "machines", self.state / "engine" / "networks")
        return [str(path) for folder in folders for path in folder.glob("*") if path.name != "lock"]

    def vmi(self, namespace: str, name: str) -> dict[str, Any]:
        """A VMI as it is now; an empty one where there is none."""
        code, body = self.request("GET", f"/apis/kubevirt.io/v1/namespaces/{namespace}/virtualmachineinstances/{name}")
        return json.loads(body) if code == 200 else {}

    def phase(self, namespace: str, name: str) -> str:
        """The phase of a VMI, or ''."""
        return str(self.vmi(namespace, name).get("status", {}).get("phase", ""))

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the engine ended"
        with contextlib.suppress(Exception):
            return self.kubeconfig.exists() and self.request("GET", "/readyz")[0] == 200
        return False


def _processes_of(engine: EngineProcess) -> Iterator[psutil.Process]:
    """Those that name its folder, and those in containers, whose volumes are in it."""
    for process in psutil.process_iter(["pid", "cmdline"]):
        mounts = ""
        with contextlib.suppress(OSError):
            mounts = Path(f"/proc/{process.pid}/mountinfo").read_text()
        if str(engine.runtime) in " ".join(process.info["cmdline"] or []) or f"{engine.state}/" in mounts:
            yield process


@contextlib.contextmanager
def running_engine(
    images: Path | None = None, *, anywhere: bool = True, network: str = "auto", warm: str = "off", spares: int = 0
) -> Iterator[EngineProcess]:
    """An engine that answers; afterwards nothing of it is left."""
    folder = Path(tempfile.mkdtemp(prefix="lk", dir="/tmp"))
    options = [
        f"--network={network}",
        f"--warm={warm}",
        f"--spares={spares}",
        *(["--import-from-anywhere"] if anywhere else []),
    ]
    engine = EngineProcess(folder, images or settings.load().images_dir, *options)
    try:
        engine.start()
        yield engine
    finally:
        if engine.process and engine.process.poll() is None:
            engine.kill()
        for process in _processes_of(engine):
            if process.pid != os.getpid():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        print(engine.log.read_text(errors="replace"), file=sys.stderr)
        shutil.rmtree(folder)


def namespace(name: str) -> dict[str, Any]:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def machine(name: str, space: str, *, strategy: str = "RerunOnFailure", image: str = "tiny") -> dict[str, Any]:
    """A VirtualMachine with a disk, a seed from the Secret ``seed``, and the pod network."""
    devices = {
        "disks": [{"name": disk, "disk": {"bus": "virtio"}} for disk in ("root", "seed")],
        "interfaces": [{"name": "default", "bridge": {}}],
        "rng": {},
    }
    spec = {
        "terminationGracePeriodSeconds": 0,
        "domain": {"memory": {"guest": "256Mi"}, "devices": devices},
        "networks": [{"name": "default", "pod": {}}],
        "volumes": [
            {"name": "root", "containerDisk": {"image": f"localhost/labkit/{image}"}},
            {"name": "seed", "cloudInitNoCloud": {"secretRef": {"name": "seed"}}},
        ],
    }
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name, "namespace": space},
        "spec": {"runStrategy": strategy, "template": {"metadata": {"labels": {"app": name}}, "spec": spec}},
    }


def headless_service(name: str, space: str) -> dict[str, Any]:
    """A headless Service for the machine of that name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": space},
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"app": name}},
    }


def seed(space: str, **cloud_config: Any) -> dict[str, Any]:
    """The Secret with the machines' user data."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "seed", "namespace": space},
        "stringData": {"userdata": "#cloud-config\n" + json.dumps(cloud_config)},
    }
