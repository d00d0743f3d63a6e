"""A tiny container image made on the spot (Debian's static busybox), and pods of it."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

BUSYBOX = Path("/bin/busybox")
IMAGE = "localhost/labkit/box"


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
