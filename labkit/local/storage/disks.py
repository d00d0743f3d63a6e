"""Disk files (qcow2): made whole or not at all, copied and grown by child processes that have limits.

A child dies with the engine, so that nobody writes behind the next one's back.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from labkit.local.files import make_private
from labkit.local.qemu.images import QEMU_IMG

_MEMORY = 2**30
_CPU_SECONDS = 1800
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR")


class DiskError(Exception):
    """A disk that cannot be had and never will be: one sentence."""


async def run(*command: str, largest: int = 2**62) -> str:
    """A child's output; ``largest`` is the size in bytes of a file that it may write. Raises DiskError."""
    limits = (f"--as={_MEMORY}", f"--cpu={_CPU_SECONDS}", f"--fsize={largest}", "--core=0")
    process = await asyncio.create_subprocess_exec(
        "setpriv", "--pdeathsig", "KILL", "prlimit", *limits, *command,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        umask=0o077, env={name: os.environ[name] for name in _KEPT if name in os.environ},
    )  # fmt: skip
    try:
        output, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = complaint.decode(errors="replace").strip() or f"it ended with status {process.returncode}"
        raise DiskError(f"{command[0]} failed: {said.splitlines()[-1]}")
    return output.decode(errors="replace")


@contextlib.asynccontextmanager
async def whole(target: Path) -> AsyncIterator[Path]:
    """A file to write that becomes ``target`` once it is complete and on disk."""
    make_private(target.parent)
    temporary = target.with_name(f".{target.name}.new")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        await asyncio.to_thread(_sync, temporary)
        temporary.replace(target)
        _sync(target.parent)
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


async def grow(disk: Path, size: int) -> None:
    """Make a disk that nobody uses larger; one that is larger already stays. Raises DiskError."""
    if virtual_size(disk) < size:
        await run(QEMU_IMG, "resize", "-q", "-f", "qcow2", str(disk), str(size))


def virtual_size(disk: Path) -> int:
    """The bytes that a guest sees, from the header (qcow2: eight bytes at 24)."""
    with disk.open("rb") as file:
        return int.from_bytes(file.read(32)[24:32], "big")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
