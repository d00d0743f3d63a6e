"""Disks: which file an image name means, overlays, empty disks, and cloud-init seeds."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pycdlib

_LOCAL = re.compile(r"localhost/labkit/(?P<name>[a-z0-9][a-z0-9._-]*)(:[A-Za-z0-9._-]+)?")
QEMU_IMG = "qemu-img"
SEED_BYTES = 2**20
_MOST_LAYERS = 16
_LAYERS: dict[Path, bytes] = {}
"""Empty layers by what they lie on: one is like another, and a process for each would cost a start 0.1 s."""


class ImageError(Exception):
    """A disk image that cannot be had: one sentence with the remedy."""


def resolve(reference: str, images: Path) -> Path:
    """The disk file that a containerDisk's image means now.

    ``localhost/labkit/NAME[:TAG]`` is ``IMAGES/NAME/current/disk.qcow2``; ``current`` is a link to one build, and the
    file is given inside that build, so that a later build does not change what a running machine reads.
    Raises ImageError.
    """
    match = _LOCAL.fullmatch(reference)
    if not match:
        raise ImageError(
            f"image '{reference}': registry images are not supported by the embedded engine yet; "
            "use a bundled one (localhost/labkit/NAME)"
        )
    name = match["name"]
    disk = (images / name / "current").resolve() / "disk.qcow2"
    if not disk.is_file():
        raise ImageError(f"image '{name}' is not built ({disk} is missing): run 'labkit images build {name}'")
    return disk


async def create_overlay(backing: Path, target: Path) -> None:
    """A private, empty layer on top of an image. Raises ImageError, also for one that would read other files here."""
    found = json.loads(await _qemu_img("info", "-f", "qcow2", "--output=json", "--force-share", str(backing)))
    if "backing-filename" in found or "data-file" in found["format-specific"]["data"]:
        raise ImageError(f"the image '{backing}' is not whole: make it so with 'qemu-img convert -O qcow2'")
    await _create("-b", str(backing), "-F", "qcow2", str(target))


async def create_layer(backing: Path, target: Path) -> None:
    """A private, empty layer on top of a template's disk, which never changes. Raises ImageError, OSError."""
    if (empty := _LAYERS.get(backing)) is None:
        await _create("-b", str(backing), "-F", "qcow2", str(target))
        _LAYERS[backing] = await asyncio.to_thread(target.read_bytes)
        if len(_LAYERS) > _MOST_LAYERS:
            del _LAYERS[next(iter(_LAYERS))]
        return
    with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(empty)


async def create_empty(target: Path, size: int) -> None:
    """An empty disk of ``size`` bytes. Raises ImageError."""
    await _create(str(target), str(size))


async def _create(*arguments: str) -> None:
    await _qemu_img("create", "-q", "-f", "qcow2", *arguments)


async def _qemu_img(*arguments: str) -> bytes:
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(QEMU_IMG, *arguments, stdout=pipe, stderr=pipe, umask=0o077)
    except FileNotFoundError as error:
        raise ImageError(f"{QEMU_IMG} is not installed: run 'apt-get install qemu-utils'") from error
    answer, complaint = await process.communicate()
    if process.returncode:
        raise ImageError(f"{QEMU_IMG} failed: {complaint.decode(errors='replace').strip()}")
    return answer


def write_seed(target: Path, files: Mapping[str, bytes]) -> None:
    """A NoCloud seed: an ISO image with the label ``cidata``, readable by this user only (it may hold secrets).

    Seeds are of one size, so that one can take another's place under a saved machine.
    """
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for number, (name, content) in enumerate(files.items()):
        iso.add_fp(io.BytesIO(content), len(content), f"/FILE{number}.;1", rr_name=name, joliet_path=f"/{name}")
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        iso.write_fp(file)
        file.truncate(max(SEED_BYTES, file.tell()))
    iso.close()
