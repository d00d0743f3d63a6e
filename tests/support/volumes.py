"""Claims, machines that use them, and what a guest reads and writes, for tests."""

from __future__ import annotations

import base64
import json
import socket
import time
from typing import Any

from tests.support.engine import EngineProcess, machine, until

PVCS = "/api/v1/namespaces/{}/persistentvolumeclaims"


def claim(name: str, size: str = "64Mi", **spec: Any) -> dict[str, Any]:
    """A PersistentVolumeClaim."""
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": wanted}


def user(name: str, space: str, *, strategy: str = "Manual", **volume: Any) -> dict[str, Any]:
    """A VirtualMachine without a network whose second disk, ``/dev/vdb``, is the volume source given."""
    vm = machine(name, space, strategy=strategy)
    spec = vm["spec"]["template"]["spec"]
    del spec["networks"], spec["domain"]["devices"]["interfaces"]
    spec["domain"]["devices"] |= {"autoattachPodInterface": False, "autoattachGraphicsDevice": False}
    spec["domain"]["devices"]["disks"][1]["name"] = "data"
    spec["volumes"][1] = {"name": "data", **volume}
    return vm


def in_guest(engine: EngineProcess, space: str, name: str, command: str) -> str:
    """What a shell command prints in a running guest, asked through the guest agent."""
    uid = until(lambda: engine.vmi(space, name).get("metadata", {}).get("uid"))
    until(lambda: any(c["type"] == "AgentConnected" for c in engine.vmi(space, name)["status"]["conditions"]), 90)
    path = engine.runtime / ("m" + uid.replace("-", "")[:11]) / "qga.sock"
    started = _ask(path, "guest-exec", {"path": "/bin/sh", "arg": ["-c", command], "capture-output": True})
    done = until(lambda: (found := _ask(path, "guest-exec-status", started))["exited"] and found)
    assert done["exitcode"] == 0, done
    return base64.b64decode(done.get("out-data", "")).decode()


def _ask(path: Any, command: str, arguments: dict[str, Any]) -> Any:
    deadline = time.monotonic() + 20
    while True:  # The engine may be on the line for a moment: then ours is closed, or stays silent.
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(3)
                line.connect(str(path))
                line.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
                return json.loads(line.makefile().readline())["return"]
        except (OSError, ValueError):
            assert time.monotonic() < deadline, f"the guest agent did not answer {command}"
