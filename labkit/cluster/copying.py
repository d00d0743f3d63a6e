"""Files and folders copied between here and a machine. What is written is complete or not there."""

from __future__ import annotations

import contextlib
import os
import posixpath
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Protocol

from labkit.cluster.sftp import PIECE, Entry
from labkit.errors import FileRefused, NotFound

Tell = Callable[[str, int, int], None]
"""Told of progress: which file, how many bytes of it are copied, how many it has."""
_MOST = 100_000


class Place(Protocol):
    """A machine's files, whatever carries them (`sftp.Files` is one)."""

    async def stat(self, path: str) -> Entry: ...

    async def size(self, path: str) -> int: ...

    async def entries(self, path: str, most: int) -> list[Entry]: ...

    def read(self, path: str, size: int) -> AsyncGenerator[bytes, None]: ...

    async def write(
        self, path: str, pieces: AsyncIterator[bytes], *, expected: int = 0, mode: int | None = None
    ) -> int: ...

    async def vacant(self, path: str) -> bool: ...

    async def make_folder(self, path: str) -> None: ...


async def upload(files: Place, local: Path, remote: str, tell: Tell, *, recursive: bool = False) -> list[str]:
    """Copy `local` to the machine, into `remote` where that is a folder. What was left out: neither file nor folder.

    Raises FileRefused, MachineUnreachable, NotFound, and OSError for what cannot be read here.
    """
    if not local.exists():
        raise NotFound(f"there is no {local} here")
    if local.is_dir() and not recursive:
        raise FileRefused(f"what is at {local} is a folder; -r copies folders", "not-a-file")
    return await _up(files, local, await _into(files, remote, local.resolve().name), tell)


async def _up(files: Place, local: Path, remote: str, tell: Tell) -> list[str]:
    if local.is_dir():
        if await files.vacant(remote):
            await files.make_folder(remote)
        left: list[str] = []
        for path in sorted(local.iterdir()):
            if path.is_symlink() and path.is_dir():
                left.append(str(path))
            else:
                left += await _up(files, path, posixpath.join(remote, path.name), tell)
        return left
    if not local.is_file():
        return [str(local)]
    found = local.stat()
    await files.write(remote, _pieces(local, found.st_size, tell), expected=found.st_size, mode=found.st_mode & 0o777)
    return []


async def _pieces(local: Path, size: int, tell: Tell) -> AsyncIterator[bytes]:
    with local.open("rb") as file:
        done = 0
        tell(local.name, done, size)
        while piece := file.read(PIECE):
            yield piece
            done += len(piece)
            tell(local.name, done, size)


async def _into(files: Place, remote: str, name: str) -> str:
    try:
        return posixpath.join(remote, name) if (await files.stat(remote)).kind == "folder" else remote
    except FileRefused as error:
        if error.reason != "missing":
            raise
        return remote


async def download(files: Place, remote: str, local: Path, tell: Tell, *, recursive: bool = False) -> list[str]:
    """Copy what is at `remote` here, into `local` where that is a folder. What was left out, as in `upload`."""
    found = await files.stat(remote)
    if found.kind == "folder" and not recursive:
        raise FileRefused(f"what is at {remote} is a folder; -r copies folders", "not-a-file")
    name = posixpath.basename(remote.rstrip("/"))  # never a name that the machine chooses
    if local.is_dir() and name in ("", ".", ".."):
        raise FileRefused(f"name the folder that {remote} is to be copied to", "missing")
    return await _down(files, remote, found, local / name if local.is_dir() else local, tell)


async def _down(files: Place, remote: str, found: Entry, local: Path, tell: Tell) -> list[str]:
    if found.kind != "folder":
        if found.kind != "file":
            return [remote]
        await _fetch(files, remote, found, local, tell)
        return []
    local.mkdir(exist_ok=True)
    left: list[str] = []
    entries = await files.entries(remote, _MOST)
    if len(entries) == _MOST:
        raise FileRefused(f"there are more than {_MOST} files in {remote}", "too-large")
    for entry in entries:
        path = posixpath.join(remote, entry.name)
        if entry.kind == "link":
            with contextlib.suppress(FileRefused):  # one that leads nowhere
                behind = await files.stat(path)
                entry = behind if behind.kind == "file" else entry
        left += [path] if "/" in entry.name else await _down(files, path, entry, local / entry.name, tell)
    return left


async def _fetch(files: Place, remote: str, found: Entry, local: Path, tell: Tell) -> None:
    draft = local.with_name(f".labkit-{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, found.mode & 0o777), "wb") as file:
            tell(local.name, 0, found.size)
            async with contextlib.aclosing(files.read(remote, found.size)) as pieces:
                async for piece in pieces:
                    file.write(piece)
                    tell(local.name, file.tell(), found.size)
        draft.replace(local)
    finally:
        draft.unlink(missing_ok=True)
