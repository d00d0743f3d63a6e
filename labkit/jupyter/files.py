"""A machine's files, from a notebook, as the learner. What is written is complete or not there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from labkit.errors import FileRefused, LabkitError
from labkit.jupyter.session import labs, principal, wait_for
from labkit.jupyter.shown import Table
from labkit.manifests import names
from labkit.model import Login
from labkit.remote.client import service_of
from labkit.settings import load

if TYPE_CHECKING:
    from labkit.cluster.copying import Place
    from labkit.cluster.sftp import Entry
    from labkit.cluster.streams import StreamTarget

T = TypeVar("T")
_MOST_TEXT = 16 << 20
"""Bytes of a file that may be read as one text."""
_MOST_LISTED = 10_000


class Files:
    """A machine's files. Paths are the machine's: absolute, or from the home of its first user.

    ``files.list("/etc")``, ``files.get("notes.txt", ".")``, ``files.put("data.csv", "/tmp")``,
    ``files.read_text("notes.txt")``, ``files.write_text("notes.txt", "…")``. FileRefused where the machine refuses.
    """

    def __init__(self, lab: str, machine: str) -> None:
        self._lab, self._machine = lab, machine

    def list(self, path: str = ".") -> Table:
        """What is in a folder: a table with name, kind, size and time of each entry (`.rows`)."""

        async def ask(files: Place) -> list[Entry]:
            return await files.entries(path, _MOST_LISTED)

        rows = [
            (entry.name, entry.kind, str(entry.size), time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.modified)))
            for entry in self._with(ask)
        ]
        return Table(("NAME", "KIND", "BYTES", "CHANGED"), rows, empty=f"There is nothing in {path}.")

    def get(self, path: str, to: str | Path = ".") -> Path:
        """Copy a file or folder of the machine here, into `to` where that is a folder; where it is now."""
        from labkit.cluster import copying

        async def ask(files: Place) -> list[str]:
            return await copying.download(files, path, Path(to), _silent, recursive=True)

        inside = Path(to) / Path(path.rstrip("/")).name if Path(to).is_dir() else Path(to)
        _complete(self._with(ask))
        return inside

    def put(self, source: str | Path, to: str = ".") -> None:
        """Copy a file or folder from here to the machine, into `to` where that is a folder."""
        from labkit.cluster import copying

        async def ask(files: Place) -> list[str]:
            return await copying.upload(files, Path(source), to, _silent, recursive=True)

        _complete(self._with(ask))

    def read_text(self, path: str) -> str:
        """The text of a file (UTF-8; what is none becomes �), of 16 MiB at most."""

        async def ask(files: Place) -> bytes:
            size = await files.size(path)
            if size > _MOST_TEXT:
                raise FileRefused(f"{path} is larger than {_MOST_TEXT >> 20} MiB; copy it with get()", "too-large")
            return b"".join([piece async for piece in files.read(path, size)])

        return self._with(ask).decode(errors="replace")

    def write_text(self, path: str, text: str) -> None:
        """Write a file, whole or not at all; one that is there is replaced and keeps its permissions."""
        data = text.encode()

        async def pieces() -> AsyncIterator[bytes]:
            yield data

        async def ask(files: Place) -> int:
            return await files.write(path, pieces(), expected=len(data))

        self._with(ask)

    def __repr__(self) -> str:
        return f"<files of machine {self._machine}: list, get, put, read_text, write_text>"

    def _with(self, ask: Callable[[Place], Awaitable[T]]) -> T:
        """What `ask` finds in a session with the machine's files."""
        opened = self._opened()

        async def session() -> T:
            async with opened as files:
                return await ask(files)

        try:
            return wait_for(session())
        except OSError as error:
            raise LabkitError(f"{error.filename or self._machine}: {error.strerror or error}") from error

    def _opened(self) -> AbstractAsyncContextManager[Place]:
        """The machine's files: over SFTP, or through the gateway of the service whose lab it is."""
        found, who, url = labs(), principal(), load().url
        if service_of(found):
            from labkit.remote.files import GatewayFiles

            return nullcontext(GatewayFiles(url, found, who, self._lab, self._machine))
        login = found.login(who, self._lab, self._machine)
        return self._over_sftp(found.port(who, self._lab, self._machine, names.SSH_PORT), login)

    @asynccontextmanager
    async def _over_sftp(self, way: Callable[[], StreamTarget], login: Login) -> AsyncIterator[Place]:
        from labkit.cluster import sftp

        async with sftp.files(await asyncio.to_thread(way), login, self._machine) as files:
            yield files


def _silent(name: str, done: int, size: int) -> None:
    """Nobody is told of each piece."""


def _complete(left: list[str]) -> None:
    if left:
        raise LabkitError("left out, being neither file nor folder: " + ", ".join(left))
