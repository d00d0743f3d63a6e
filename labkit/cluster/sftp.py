"""A machine's files over SFTP: listed, read and written in pieces, so that no file is ever held whole.

Paths are the machine's: absolute, or relative to the home of the account that is signed in. What that account may not
do, nobody may do here.
"""

from __future__ import annotations

import asyncio
import contextlib
import posixpath
import secrets
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, cast

import asyncssh

from labkit.cluster.ssh import OPEN_SECONDS, connected
from labkit.cluster.streams import StreamTarget
from labkit.errors import FileRefused, MachineUnreachable
from labkit.model import Login

PIECE = 256 * 1024
"""Bytes asked for at a time; the next are on their way while these are taken."""
SILENCE_SECONDS = 60.0
"""A machine that does not answer for so long has failed."""
_CLEAN_SECONDS = 10.0
_LEFT_SECONDS = 300.0
"""What an upload has not added to for so long was left by a gateway that was killed: a living one gives up earlier."""
_LOOK_AT = 5000
"""Of a folder with more in it, so much is looked at for what was left."""
_FULL = 64 * 1024
"""What may be free on a disk that is full: less than a few blocks are of no use."""
_REFUSALS: dict[type[Exception], tuple[str, str]] = {
    asyncssh.SFTPNoSuchFile: ("there is no {path}", "missing"),
    asyncssh.SFTPPermissionDenied: ("the learner's account may not do that: {path}", "denied"),
}
"""All that SFTP's version 3 tells apart; for the rest it says "failure"."""
_DRAFT = ".labkit-", ".part"
"""How the name of a file begins and ends that is not complete."""
_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}


@dataclass(frozen=True)
class Entry:
    """Something in a folder. `kind` is file, folder, link or other; `modified` is in seconds since 1970, `mode` has the
    permissions."""

    name: str
    kind: str
    size: int
    modified: int
    mode: int


class Files:
    """A machine's files. Every method raises FileRefused where the machine refuses, MachineUnreachable where it is
    silent or gone."""

    def __init__(self, connection: asyncssh.SSHClientConnection, sftp: asyncssh.SFTPClient, machine: str) -> None:
        self._connection = connection
        self._sftp = sftp
        self._machine = machine

    @property
    def gone(self) -> bool:
        """Whether the session has ended."""
        return self._connection.is_closed()

    async def absolute(self, path: str) -> str:
        """The path without `..`, links and the home's being implied."""
        async with self._asking(path):
            return str(await self._sftp.realpath(path))

    async def stat(self, path: str) -> Entry:
        """What is at `path`, behind links."""
        async with self._asking(path):
            return _entry(posixpath.basename(path), await self._sftp.stat(path))

    async def entries(self, path: str, most: int) -> list[Entry]:
        """What is in a folder, by name: of more than `most`, any `most`."""
        if (await self.stat(path)).kind != "folder":
            raise FileRefused(f"what is at {path} is no folder", "not-a-folder")
        found: list[Entry] = []
        async with self._asking(path):
            async for name in self._sftp.scandir(path):
                if name.filename not in (".", ".."):
                    found.append(_entry(str(name.filename), name.attrs))
                if len(found) == most:
                    break
        return sorted(found, key=lambda entry: entry.name)

    async def free(self, path: str) -> int:
        """How many bytes may still be written to the disk on which `path` is."""
        async with self._asking(path):
            found = await self._sftp.statvfs(path)
        return found.bavail * found.frsize

    async def read(self, path: str, size: int) -> AsyncGenerator[bytes, None]:
        """The first `size` bytes of a file, piece by piece: the next one comes while one is taken."""
        async with self._asking(path):
            file = await self._sftp.open(path, "rb", encoding=None)
        coming: asyncio.Task[bytes | str] | None = None
        try:
            for start in range(0, size, PIECE):
                async with self._asking(path):
                    piece = await (coming or file.read(PIECE, start))
                    if len(piece) < min(PIECE, size - start):
                        raise FileRefused(f"the file {path} became shorter while it was read", "failed")
                after = start + PIECE
                coming = asyncio.create_task(file.read(PIECE, after)) if after < size else None
                yield cast(bytes, piece)[: size - start]
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
            await self._quietly(file.close())

    async def size(self, path: str) -> int:
        """The size of a file. Pipes and devices are refused: reading one may never end."""
        found = await self.stat(path)
        if found.kind != "file":
            raise FileRefused(f"what is at {path} is no ordinary file", "not-a-file")
        return found.size

    async def write(
        self,
        path: str,
        pieces: AsyncIterator[bytes],
        *,
        expected: int = 0,
        limit: int | None = None,
        mode: int | None = None,
    ) -> int:
        """Write a file, whole or not at all: under another name in the same folder, renamed when it is complete.

        A file that is there is replaced and keeps its permissions; a new one gets `mode`. `expected` bytes must be free
        for it to begin; more than `limit` are refused. How many it were.
        """
        path = await self._place(path)
        folder = posixpath.dirname(path)
        if expected > await self.free(folder):
            raise self._full(path)
        draft = posixpath.join(folder, f"{_DRAFT[0]}{secrets.token_hex(8)}{_DRAFT[1]}")
        try:
            written = await self._fill(draft, path, pieces, limit)
            async with self._asking(path):
                with contextlib.suppress(asyncssh.SFTPNoSuchFile):
                    mode = stat.S_IMODE((await self._sftp.stat(path)).permissions or 0)
                if mode is not None:
                    await self._sftp.chmod(draft, mode)
                await self._sftp.posix_rename(draft, path)
            return written
        except BaseException:
            await self._quietly(self._sftp.remove(draft))
            raise

    async def _clear(self, draft: str) -> None:
        """Remove what uploads beside `draft`, which was just made, left when their gateway was killed. What its time is
        compared with is the machine's own clock."""
        folder, now, seen = posixpath.dirname(draft), (await self._sftp.stat(draft)).mtime or 0, 0
        async for name in self._sftp.scandir(folder):
            entry, seen = _entry(str(name.filename), name.attrs), seen + 1
            ours = entry.name.startswith(_DRAFT[0]) and entry.name.endswith(_DRAFT[1])
            if ours and entry.modified < now - _LEFT_SECONDS:
                await self._sftp.remove(posixpath.join(folder, entry.name))
            if seen == _LOOK_AT:
                return

    async def _place(self, path: str) -> str:
        """Where a file is to be written: behind links, and nothing but a file may be there."""
        folder, name = posixpath.split(path)
        try:
            await self.size(path)
            return await self.absolute(path)
        except FileRefused as error:
            if error.reason != "missing" or not name:
                raise
        return posixpath.join(await self.absolute(folder or "."), name)

    async def _fill(self, draft: str, path: str, pieces: AsyncIterator[bytes], limit: int | None) -> int:
        written, waiting = 0, bytearray()
        async with self._asking(path):
            file = await self._sftp.open(draft, "xb", encoding=None)
        await self._quietly(self._clear(draft))
        try:
            async for piece in pieces:
                waiting += piece
                if limit is not None and written + len(waiting) > limit:
                    raise _too_large(limit)
                if len(waiting) >= PIECE:
                    written += await self._put(file, path, waiting, written)
            return written + await self._put(file, path, waiting, written)
        finally:
            await self._quietly(file.close())

    async def _put(self, file: asyncssh.SFTPClientFile, path: str, waiting: bytearray, at: int) -> int:
        data = bytes(waiting)
        waiting.clear()
        try:
            async with self._asking(path):
                await file.write(data, at)
        except FileRefused as error:
            if error.reason == "failed" and await self.free(posixpath.dirname(path)) < _FULL:
                raise self._full(path) from error
            raise
        return len(data)

    async def vacant(self, path: str) -> bool:
        """Whether nothing has this name."""
        async with self._asking(path):
            return not await self._sftp.lexists(path)

    async def make_folder(self, path: str) -> None:
        """Make a folder in one that is there."""
        await self._free_name(path)
        async with self._asking(path):
            await self._sftp.mkdir(path)
            await self._sftp.chmod(path, 0o755)  # whatever the server's own umask is

    async def rename(self, path: str, to: str) -> None:
        """Give a file or folder another name, or another place on the same disk. Nothing is replaced."""
        await self._free_name(to)
        async with self._asking(path):
            await self._sftp.rename(path, to)

    async def remove(self, path: str) -> None:
        """Remove a file, a link, or a folder in which there is nothing."""
        async with self._asking(path):
            found = _entry(path, await self._sftp.lstat(path))
        try:
            async with self._asking(path):
                await (self._sftp.rmdir if found.kind == "folder" else self._sftp.remove)(path)
        except FileRefused as error:
            if found.kind == "folder" and error.reason == "failed":
                raise FileRefused(f"the folder {path} is not empty", "not-empty") from error
            raise

    async def _free_name(self, path: str) -> None:
        if not await self.vacant(path):
            raise FileRefused(f"there is a {path} already", "exists")

    @contextlib.asynccontextmanager
    async def _asking(self, path: str) -> AsyncIterator[None]:
        """What a machine says about `path`, as our errors."""
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                yield
        except (asyncssh.SFTPNoConnection, asyncssh.SFTPConnectionLost) as error:
            raise self._gone() from error
        except asyncssh.SFTPError as error:
            text, reason = _REFUSALS.get(type(error), ("the machine refuses that: {path}", "failed"))
            raise FileRefused(text.format(path=path), reason) from error
        except (asyncssh.Error, OSError) as error:  # TimeoutError is an OSError
            raise self._gone() from error

    async def _quietly(self, last: Coroutine[Any, Any, object]) -> None:
        """Clean up, whatever happened before."""
        with contextlib.suppress(asyncssh.Error, OSError):
            async with asyncio.timeout(_CLEAN_SECONDS):
                await last

    def _gone(self) -> MachineUnreachable:
        return MachineUnreachable(f"machine {self._machine} no longer answers")

    def _full(self, path: str) -> FileRefused:
        return FileRefused(f"there is not enough room for {path} on the disk of machine {self._machine}", "full")


@contextlib.asynccontextmanager
async def files(target: StreamTarget, login: Login, machine: str) -> AsyncIterator[Files]:
    """The files of the machine whose SSH server is at `target`. Raises MachineUnreachable."""
    async with connected(target, login, machine) as connection:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                sftp = await connection.start_sftp_client(path_errors="surrogateescape")
        except (asyncssh.Error, OSError) as error:
            text = f"machine {machine} offers no files: its SSH server has no SFTP (Debian's openssh-sftp-server)"
            raise MachineUnreachable(text) from error
        yield Files(connection, sftp, machine)


def _entry(name: str, found: asyncssh.SFTPAttrs) -> Entry:
    kind = _KINDS.get(stat.S_IFMT(found.permissions or 0), "other")
    return Entry(name, kind, found.size or 0, int(found.mtime or 0), stat.S_IMODE(found.permissions or 0))


def _too_large(limit: int) -> FileRefused:
    return FileRefused(f"the file is larger than the {limit >> 20} MiB that one may have here", "too-large")
