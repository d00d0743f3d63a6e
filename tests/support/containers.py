"""A tiny container image made on the spot (Debian's static busybox), pods of it, and a namespace to run them in."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from tests.support.engine import EngineProcess, until

BUSYBOX = Path("/bin/busybox")
IMAGE = "localhost/labkit/box"
WEB = "mkdir /w; echo here > /w/index.html; httpd -p 80 -h /w; sleep 1000 & wait"
"""A script that serves a page."""


class Box:
    """A namespace of an engine that has the image ``box``."""

    def __init__(self, engine: EngineProcess, space: str) -> None:
        self.engine, self.space = engine, space

    def get(self, name: str) -> dict[str, Any]:
        """A pod, or an empty one."""
        code, body = self.engine.request("GET", f"/api/v1/namespaces/{self.space}/pods/{name}")
        return json.loads(body) if code == 200 else {}

    def status(self, name: str) -> dict[str, Any]:
        """The status of a pod's first container, or an empty one."""
        found = self.get(name).get("status", {}).get("containerStatuses", [])
        return found[0] if found else {}

    def waiting(self, name: str) -> dict[str, str]:
        """Why a pod's first container does not run: ``reason`` and ``message``, or nothing."""
        return self.status(name).get("state", {}).get("waiting", {})

    def post(self, *objects: dict[str, Any]) -> None:
        """Create objects of the core group; each must be accepted."""
        for obj in objects:
            path = f"/api/v1/namespaces/{self.space}/{obj['kind'].lower()}s"
            code, body = self.engine.request("POST", path, obj)
            assert code == 201, body

    def run(self, obj: dict[str, Any], *phases: str) -> None:
        """Create a pod and wait until it is in one of the phases."""
        self.post(obj)
        self.wait(obj["metadata"]["name"], *phases)

    def wait(self, name: str, *phases: str) -> None:
        """Wait until a pod is in one of the phases, ``Running`` where none is given."""
        wanted = phases or ("Running",)
        try:
            until(lambda: self.get(name)["status"]["phase"] in wanted)
        except AssertionError as error:
            raise AssertionError(f"{name} is not {wanted}: {self.events(name)}") from error

    def kubectl(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """The real kubectl."""
        line = self.engine.kubectl_command("-n", self.space, *words)
        return subprocess.run(line, capture_output=True, text=True, timeout=60, **options)

    def sh(self, name: str, script: str) -> str:
        """What a shell script in a pod prints."""
        done = self.kubectl("exec", name, "--", "sh", "-c", script)
        return done.stdout + done.stderr

    def events(self, name: str) -> dict[str, str]:
        """Messages by reason."""
        items = json.loads(self.engine.request("GET", f"/api/v1/namespaces/{self.space}/events")[1])["items"]
        items = [item for item in items if item["involvedObject"]["name"] == name]
        reasons = {item["reason"] for item in items}
        return {why: " / ".join(item["message"] for item in items if item["reason"] == why) for why in reasons}


def oci_layout(folder: Path, **config: Any) -> None:
    """An OCI layout with one image, tagged ``latest``."""
    applets = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        tar.add(BUSYBOX, "bin/busybox", filter=_owned_by_root)
        for name in sorted({"sh", *applets} - {"busybox"}):
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        accounts = b"root:x:0:0::/root:/bin/sh\nweb:x:33:33::/:/bin/sh\n"
        entry = tarfile.TarInfo("etc/passwd")
        entry.size = len(accounts)
        tar.addfile(entry, io.BytesIO(accounts))
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layer_blob = _blob(blobs, layer.getvalue(), "application/vnd.oci.image.layer.v1.tar")
    about = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["sleep", "1000"], "Env": ["FROM_IMAGE=yes"], **config},
        "rootfs": {"type": "layers", "diff_ids": [layer_blob["digest"]]},
    }
    config_blob = _blob(blobs, json.dumps(about).encode(), "application/vnd.oci.image.config.v1+json")
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": config_blob, "layers": [layer_blob]}
    found = _blob(blobs, json.dumps(manifest).encode(), kind)
    found["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [found]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    return entry


def _blob(folder: Path, content: bytes, kind: str) -> dict[str, Any]:
    number = hashlib.sha256(content).hexdigest()
    (folder / number).write_bytes(content)
    return {"mediaType": kind, "digest": f"sha256:{number}", "size": len(content)}


def container(script: str = "", name: str = "main", **more: Any) -> dict[str, Any]:
    """A container that runs a shell script, or sleeps; it ends at once when told to."""
    command = {"command": ["sh", "-c", f"trap 'exit 0' TERM; {script or 'sleep 1000 & wait'}"]}
    return {"name": name, "image": IMAGE, **command, **more}


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A pod, labelled with its name."""
    meta = {"name": name, "labels": {"app": name}}
    spec = {"containers": list(containers) or [container()], "terminationGracePeriodSeconds": 1, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
