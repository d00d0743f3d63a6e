"""Images from elsewhere and to elsewhere: files, addresses with a checksum, containerDisks, registries."""

from __future__ import annotations

import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from labkit.images import bake, oci, qcow2, store, trial
from labkit.images.definition import MIB
from labkit.images.errors import DiskRefused, ImageError, ImageUnknown
from labkit.images.store import BuiltImage
from labkit.images.tools import require, run

NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
FORMATS = ("oci-archive", "docker-archive", "qcow2")
_SECONDS = 60

Progress = Callable[[str], None]


def take(
    source: str,
    name: str,
    *,
    images_dir: Path,
    sha256: str = "",
    size: int = 0,
    boot: trial.Boot | None,
    tls_verify: bool = True,
    progress: Progress,
) -> BuiltImage:
    """Import an image under a name: a disk file, an http(s) address of one, or an address of skopeo's.

    `sha256` (hex) is that of the disk, or of a container image's manifest; an http(s) address must have it. `size` in
    bytes makes a disk larger. With `boot` a disk that does not boot is refused. Raises ImageError.
    """
    if not NAME.fullmatch(name):
        raise ImageError(f'"{name}" is no name for an image: lower-case letters, digits and "-".')
    with store.exclusive(name, images_dir, progress) as work:
        disk = work / "taken"
        if source.startswith(oci.ADDRESSES):
            layout = _fetch_layout(source, work, progress, tls_verify=tls_verify)
            if not oci.take_disk(layout, disk):
                _demand(sha256, oci.digest(layout), source)
                return store.publish(name, images_dir, layout)
        elif urlsplit(source).scheme in ("http", "https"):
            _download(source, disk, sha256, progress)
        else:
            _copy_file(Path(source).expanduser(), disk)
        _demand(sha256, store.sha256(disk), source)
        progress("checking the disk")
        result = _whole(disk, work / store.DISK, source)
        bake.resize(result, size, source)
        if boot:
            progress("booting it once, to see that it does")
            trial.boots(result, boot, source)
        return store.publish(name, images_dir, result)


def _demand(wanted: str, found: str, called: str) -> None:
    if wanted and wanted.lower() != found:
        raise DiskRefused(f"{called} is not what its checksum says: its SHA-256 is {found}.")


def _fetch_layout(source: str, work: Path, progress: Progress, *, tls_verify: bool) -> Path:
    require(("skopeo",))
    progress(f"copying {source}")
    oci.copy(source, f"oci:{work / store.LAYOUT}:{oci.TAG}", tls_verify=tls_verify)
    return work / store.LAYOUT


def _download(address: str, target: Path, sha256: str, progress: Progress) -> None:
    if not sha256:
        raise DiskRefused(f"{address} comes over the network: give its checksum with --sha256.")
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer, target.open("wb") as file:  # noqa: S310
            length, had, told = int(answer.headers.get("Content-Length") or 0), 0, 0
            while block := answer.read(MIB):
                file.write(block)
                had += len(block)
                if length and had * 10 // length > told:
                    told = had * 10 // length
                    progress(f"fetched {had // MIB} of {length // MIB} MiB")
    except (urllib.error.URLError, OSError) as error:
        raise ImageError(f"{address} cannot be fetched: {getattr(error, 'reason', error)}.") from error
    if length and had != length:
        raise DiskRefused(f"{address} ended after {had} of {length} bytes: try again.")


def _copy_file(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise ImageUnknown(f"{source} cannot be read: {error.strerror}.") from error


def _whole(disk: Path, target: Path, called: str) -> Path:
    """A QCOW2 that was judged, from a disk of either format."""
    require(("qemu-img",))
    if qcow2.judge(disk, called) == "raw":
        run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, target])
        disk.unlink()
        return target
    return disk.rename(target)


def give(image: BuiltImage, target: Path, form: str, progress: Progress) -> None:
    """Write an image to a file: as an OCI archive or docker-archive (a VM as a containerDisk), or a disk as QCOW2.

    Raises ImageError.
    """
    if form == "qcow2" and image.kind != "vm":
        raise ImageError(f"{image.name} is a container image and has no disk: export it as {FORMATS[0]}.")
    if target.exists():
        raise ImageError(f"{target} is there already: choose another name, or delete it.")
    if form == "qcow2":
        shutil.copyfile(image.disk, target)
        return
    _send(image, f"{form}:{target}:labkit/{image.name}:{oci.TAG}", progress)


def push(image: BuiltImage, registry: str, tag: str, progress: Progress, *, tls_verify: bool = True) -> str:
    """Push an image to a registry (a VM as a containerDisk); returns the reference to use. Raises ImageError."""
    reference = f"{registry.removeprefix('docker://').rstrip('/')}/{image.name}:{tag}"
    _send(image, f"docker://{reference}", progress, tls_verify=tls_verify)
    return reference


def _send(image: BuiltImage, target: str, progress: Progress, *, tls_verify: bool = True) -> None:
    require(("skopeo", "umoci"))
    with store.scratch(image.folder) as work:
        layout = image.oci
        if image.kind == "vm":
            progress("wrapping the disk as a containerDisk")
            layout = oci.make_container_disk(image.disk, work)
        progress(f"writing {target}")
        oci.copy(f"oci:{layout}:{oci.TAG}", target, tls_verify=tls_verify)
