"""Whether a file is a disk that may be used: read before any program opens it, because a QCOW2 can name other files."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path

from labkit.images.errors import DiskRefused, ToolFailed
from labkit.images.tools import run

MAGIC = b"QFI\xfb"
EXTERNAL_DATA = 1 << 2  # of the incompatible features: the guest's data lie in a file of their own
BOOT_SIGNATURE = b"\x55\xaa"


@dataclass(frozen=True)
class Header:
    """What a QCOW2's header says of other files. See docs/interop/qcow2 in QEMU."""

    backing: str
    external_data: bool


def header(path: Path) -> Header | None:
    """The header of a QCOW2; None for any other file."""
    with path.open("rb") as file:
        head = file.read(112).ljust(112, b"\0")
        if not head.startswith(MAGIC):
            return None
        version, offset, length = struct.unpack_from(">IQI", head, 4)
        features = struct.unpack_from(">Q", head, 72)[0] if version >= 3 else 0
        file.seek(offset)
        backing = file.read(min(length, 1023)).decode(errors="replace") if offset else ""
    return Header(backing, bool(features & EXTERNAL_DATA))


def judge(path: Path, called: str) -> str:
    """The format ("qcow2" or "raw") of a whole and self-contained disk, called `called`. Raises DiskRefused."""
    found = header(path)
    if found is None:
        with path.open("rb") as file:
            if file.read(512)[510:] != BOOT_SIGNATURE:
                raise DiskRefused(
                    f"{called} is no disk image: it begins neither as a QCOW2 nor with a boot sector "
                    "('qemu-img convert -O qcow2' makes one of other formats)."
                )
        if path.stat().st_size % 512:
            raise DiskRefused(f"{called} is cut short: its size is no multiple of 512 bytes.")
        return "raw"
    if found.backing:
        raise DiskRefused(
            f"{called} is only a layer on top of {found.backing}: make it whole with 'qemu-img convert -O qcow2'."
        )
    if found.external_data:
        raise DiskRefused(f"{called} keeps its data in another file: make it whole with 'qemu-img convert -O qcow2'.")
    _check(path, called)
    return "qcow2"


def _check(path: Path, called: str) -> None:
    try:
        run(["qemu-img", "check", "-q", "-f", "qcow2", "--output=json", path])
    except ToolFailed as error:
        if "status 3" in str(error):  # space that nothing uses: nothing is lost
            return
        raise DiskRefused(f"{called} is damaged or cut short ('qemu-img check' finds errors).") from error


def virtual_size(path: Path) -> int:
    """Bytes that a guest sees of a QCOW2 that was judged."""
    return int(json.loads(run(["qemu-img", "info", "-f", "qcow2", "--output=json", path]))["virtual-size"])
