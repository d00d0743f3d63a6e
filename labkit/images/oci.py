"""Container images as OCI layout folders, and disks inside of them (containerDisks), through umoci and skopeo."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

from labkit.images.bootstrap import EPOCH
from labkit.images.definition import MIB, Definition
from labkit.images.errors import DiskRefused, ToolFailed
from labkit.images.tools import run

TAG = "latest"
CREATED = "2026-01-01T00:00:00Z"
# KubeVirt runs QEMU as this user, and looks for the disk in this folder.
QEMU_USER = 107
DISK_FOLDER = "disk"
ADDRESSES = ("docker://", "docker-archive:", "oci-archive:", "oci:")
_REFUSAL = re.compile(r'msg="(.*)"')


def make_container(made: Definition, root: Path, layout: Path) -> None:
    """Write an image of one layer, the tar file `root`, with what the definition says to run."""
    options = [f"--config.cmd={word}" for word in made.command]
    options += [f"--config.exposedports={port}/tcp" for port in made.ports]
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **made.env}
    options += [f"--config.env={name}={value}" for name, value in environment.items()]
    _make(root, layout, options)


def make_container_disk(disk: Path, work: Path) -> Path:
    """Write a KubeVirt containerDisk to a folder in the work folder: the disk as `/disk/disk.qcow2` and no more."""
    layer, layout = work / "layer.tar", work / "container-disk"
    with tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as archive, disk.open("rb") as content:
        for name, mode, size in ((DISK_FOLDER, 0o755, 0), (f"{DISK_FOLDER}/disk.qcow2", 0o440, disk.stat().st_size)):
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.REGTYPE if size else tarfile.DIRTYPE
            entry.mode, entry.size, entry.mtime = mode, size, EPOCH
            entry.uid = entry.gid = QEMU_USER
            archive.addfile(entry, content if size else None)
    _make(layer, layout, [])
    layer.unlink()
    return layout


def _make(layer: Path, layout: Path, options: list[str]) -> None:
    image = f"{layout}:{TAG}"
    run(["umoci", "init", "--layout", layout])
    run(["umoci", "new", "--image", image])
    run(["umoci", "raw", "add-layer", "--image", image, "--history.created", CREATED, layer])
    fixed = ["--created", CREATED, "--history.created", CREATED, "--architecture=amd64", "--os=linux"]
    run(["umoci", "config", "--image", image, *fixed, *options])
    run(["umoci", "gc", "--layout", layout])


def copy(source: str, target: str, *, tls_verify: bool = True) -> None:
    """Copy an image between two of skopeo's addresses. Raises ToolFailed with the registry's own words."""
    side = {"docker://": f"tls-verify={'true' if tls_verify else 'false'}"}
    options = [f"--src-{side['docker://']}"] if source.startswith("docker://") else []
    options += [f"--dest-{side['docker://']}"] if target.startswith("docker://") else []
    try:
        run(["skopeo", "--insecure-policy", "copy", "--quiet", *options, source, target])
    except ToolFailed as error:
        said = [*_REFUSAL.findall(error.output), str(error)][0]
        raise ToolFailed(f"{source} cannot be copied to {target}: {said}", error.output) from error


def digest(layout: Path) -> str:
    """The SHA-256 of the one image in a layout, in hex: that of its manifest."""
    found: str = _manifests(layout)[0]["digest"]
    return found.removeprefix("sha256:")


def size(layout: Path) -> int:
    """Bytes of a layout's files."""
    return sum(path.stat().st_size for path in layout.rglob("*") if path.is_file())


def _manifests(layout: Path) -> list[dict[str, Any]]:
    manifests: list[dict[str, Any]] = json.loads((layout / "index.json").read_text())["manifests"]
    return manifests


def _blob(layout: Path, described: dict[str, Any]) -> Path:
    algorithm, _, value = str(described["digest"]).partition(":")
    return layout / "blobs" / algorithm / value


def take_disk(layout: Path, target: Path) -> bool:
    """Write the disk of a containerDisk to a file; False where the image is none. Raises DiskRefused."""
    manifest = json.loads(_blob(layout, _manifests(layout)[0]).read_text())
    for layer in reversed(manifest["layers"]):
        if layer["mediaType"].endswith("zstd"):
            raise DiskRefused("The image's layers are compressed with zstd, which is not read here: push it with gzip.")
        try:
            with tarfile.open(_blob(layout, layer)) as archive:
                if _take_from(archive, target):
                    return True
        except (tarfile.TarError, gzip.BadGzipFile, EOFError) as error:
            raise DiskRefused(f"A layer of the image is damaged: {error}.") from error
    return False


def _take_from(archive: tarfile.TarFile, target: Path) -> bool:
    for member in archive:
        path = Path(member.name.removeprefix("./").lstrip("/"))
        if member.isfile() and path.parent == Path(DISK_FOLDER) and not path.name.startswith(".wh."):
            content = archive.extractfile(member)
            if content:
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file, MIB)
                return True
    return False
