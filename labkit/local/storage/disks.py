"""Disk files (qcow2): made whole or not at all, copied and grown by child processes that have limits.

A child dies with the engine, so that nobody writes behind the next one's back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from labkit.local.qemu.images import QEMU_IMG

# Address space counts what threads reserve as well: qemu-img starts up to 64, and with the C library's usual stacks
# and arenas a dozen of them reserve a gigabyte that they never touch.
_MEMORY = 2**30
_STACK = 2**20
_ARENAS = {"MALLOC_ARENA_MAX": "1"}
_CPU_SECONDS = 1800
_OTHERS = {
    b"\x1f\x8b": "gzip", b"\xfd7zXZ": "xz", b"KDMV": "VMDK", b"vhdxfile": "VHDX", b"conectix": "VHD", b"<<< ": "VDI",
}  # fmt: skip


class DiskError(Exception):
    """A disk that cannot be had and never will be: one sentence."""


async def run(
    *command: str,
    largest: int = 2**62,
    into: Path | None = None,
    umask: int = 0o077,
    variables: Mapping[str, str] | None = None,
) -> str:
    """A child's output, or what goes ``into`` a file. It may write files of ``largest`` bytes. Raises DiskError."""
    limits = (f"--as={_MEMORY}", f"--stack={_STACK}", f"--cpu={_CPU_SECONDS}", f"--fsize={largest}", "--core=0")
    with into.open("wb") if into else contextlib.nullcontext(asyncio.subprocess.PIPE) as output:
        process = await asyncio.create_subprocess_exec(
            "setpriv", "--pdeathsig", "KILL", "prlimit", *limits, *command,
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=asyncio.subprocess.PIPE,
            umask=umask,
            env={"PATH": os.environ.get("PATH", os.defpath), **_ARENAS, **(variables or {}), "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    try:
        answer, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == -signal.SIGXFSZ:
        raise DiskError(f"it is larger than the {largest // 2**20} MiB that it may have")
    if process.returncode:
        said = complaint.decode(errors="replace").strip() or f"it ended with status {process.returncode}"
        raise DiskError(f"{command[0]} failed: {said.splitlines()[-1]}")
    return (answer or b"").decode(errors="replace")


@contextlib.asynccontextmanager
async def whole(target: Path) -> AsyncIterator[Path]:
    """A file to write that becomes ``target`` once it is complete and on disk. Its folder is there already."""
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        await asyncio.to_thread(sync, temporary)
        temporary.replace(target)
        sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


async def create(target: Path, size: int) -> None:
    """An empty disk of ``size`` bytes. Raises DiskError."""
    async with whole(target) as file:
        await run(QEMU_IMG, "create", "-q", "-f", "qcow2", str(file), str(size))


async def copy(source: Path, target: Path) -> None:
    """A copy that shares blocks with its source where the file system can. Raises DiskError."""
    async with whole(target) as file:
        await run("cp", "--reflink=auto", "--sparse=always", str(source), str(file))


async def convert(image: Path, target: Path, size: int) -> None:
    """A disk of our own making from a stranger's image of up to ``size`` bytes. Raises DiskError.

    The header is read here first: even asking QEMU about an image opens the other files that its header names.
    """
    form = image_format(_head(image), image.stat().st_size)
    found = virtual_size(image) if form == "qcow2" else image.stat().st_size
    if found > size:
        raise DiskError(f"the image does not fit: its virtual size is {found} bytes, and {size} are asked for")
    if form == "qcow2":
        await run(QEMU_IMG, "check", "-q", "-f", form, "-r", "leaks", str(image))
    async with whole(target) as file:
        await run(
            QEMU_IMG, "convert", "-f", form, "-O", "qcow2", str(image), str(file), largest=size + size // 8 + 2**24
        )


def image_format(head: bytes, length: int) -> str:
    """``qcow2`` or ``raw`` for an image's first bytes. Raises DiskError for all else, and where it names other files.

    Bytes as in QEMU's docs/interop/qcow2: backing file at 8, incompatible features at 72, bit 2 an external data file.
    """
    if head.startswith(b"QFI\xfb"):
        newer = int.from_bytes(head[4:8], "big") > 2
        if any(head[8:16]) or (newer and head[79] & 4):
            raise DiskError("the image names another file as its backing or data file, which is not allowed")
        return "qcow2"
    other = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), "")
    if other or not length or length % 512:
        found = f"a {other} image" if other else "no disk: it does not consist of whole sectors"
        raise DiskError(f"the image is {found}; qcow2 and raw are read")
    return "raw"


async def grow(disk: Path, size: int) -> None:
    """Make a disk that nobody uses larger; one that is larger already stays. Raises DiskError."""
    if virtual_size(disk) < size:
        await run(QEMU_IMG, "resize", "-q", "-f", "qcow2", str(disk), str(size))


def virtual_size(disk: Path) -> int:
    """The bytes that a guest sees, from the header (qcow2: eight bytes at 24)."""
    return int.from_bytes(_head(disk)[24:32], "big")


def _head(image: Path) -> bytes:
    with image.open("rb") as file:
        return file.read(112).ljust(112, b"\0")


def sync(path: Path) -> None:
    """Have what was written to a file or folder on the disk, whatever happens."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
