"""The handlers of machines' files: a folder's content, files up and down, folders made, things renamed and removed.

All is done in the machine by the learner's own account, over SFTP, so what it may not do is refused there. Bytes pass
in pieces: the machine is read as fast as the browser takes them, and the browser as fast as the machine does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import posixpath
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass
from urllib.parse import parse_qs, quote, urlsplit

from labkit.cluster import sftp
from labkit.errors import FileRefused, LabkitError, MachineUnreachable, SetupError
from labkit.gateway import responses
from labkit.gateway.application import Asked, Handler
from labkit.gateway.engine import Engine
from labkit.gateway.files_sessions import Sessions
from labkit.gateway.machines import Denied
from labkit.gateway.responses import SECURITY_HEADERS, Response, Streamed
from labkit.gateway.tunnels import Traffic, Tunnel, Tunnels
from labkit.gateway.use import Uses
from labkit.manifests import login, names
from labkit.model import Login

log = logging.getLogger(__name__)

MOST_ENTRIES = 5000
"""Of a folder with more, so many are told."""
_MOST_PATH = 4096
_STATUS = {"missing": 404, "denied": 403, "full": 507, "too-large": 413, "failed": 500}
"""HTTP's words for the reasons of FileRefused; for all others 409."""
_DOWNLOAD = SECURITY_HEADERS | {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Type": "application/octet-stream",
    "Cache-Control": "no-store",
}
"""A machine's file is never shown on our origin, whatever is in it."""


@dataclass(frozen=True)
class FileLimits:
    """The greatest size of a file in bytes, either way, and how many files of a lab may be under way at once."""

    size: int
    transfers: int


class _Transfer:
    """A file that is under way: counted, slowed down to what its learner and lab may have, and ended with them."""

    def __init__(self, tunnel: Tunnel, used: Callable[[], None]) -> None:
        self._tunnel = tunnel
        self._used = used
        self._withdrawn = False
        tunnel.close = self._withdraw

    def _withdraw(self) -> None:
        self._withdrawn = True

    async def passed(self, piece: bytes, *, up: bool) -> None:
        """Count a piece. Raises Denied (403)."""
        if self._withdrawn:
            raise Denied(403, "revoked", "The lab has ended, or the ticket was withdrawn.")
        self._used()
        if wait := self._tunnel.sent_up(len(piece)) if up else self._tunnel.sent_down(piece):
            await asyncio.sleep(wait)


class Files:
    """What is asked of machines' files."""

    def __init__(
        self, engine: Engine, key: Callable[[], bytes], tunnels: Tunnels, uses: Uses, limits: FileLimits
    ) -> None:
        self._engine = engine
        self._key = key
        self._tunnels = tunnels
        self._uses = uses
        self._limits = limits
        self._sessions = Sessions()

    def handlers(self) -> dict[str, Handler]:
        """By the names that the route table has."""
        return {
            "folder": self._folder,
            "make-folder": self._make_folder,
            "download": self._download,
            "upload": self._upload,
            "remove": self._remove,
            "rename": self._rename,
        }

    async def _folder(self, asked: Asked) -> Response:
        (path,) = _paths(asked, "path")
        async with self._files(asked) as files:
            path = await files.absolute(path)
            found = await files.entries(path, MOST_ENTRIES)
            free = await files.free(path)
        entries = [asdict(entry) for entry in found]
        body = {"path": path, "entries": entries, "complete": len(entries) < MOST_ENTRIES, "free": free}
        return responses.as_json(200, body | {"limit": self._limits.size})

    async def _make_folder(self, asked: Asked) -> Response:
        (path,) = _paths(asked, "path")
        async with self._files(asked) as files:
            await files.make_folder(path)
        return responses.as_json(201, {"path": path})

    async def _remove(self, asked: Asked) -> Response:
        (path,) = _paths(asked, "path")
        async with self._files(asked) as files:
            await files.remove(path)
        return responses.as_json(200, {"path": path})

    async def _rename(self, asked: Asked) -> Response:
        path, to = _paths(asked, "path", "to")
        async with self._files(asked) as files:
            await files.rename(path, to)
        return responses.as_json(200, {"path": to})

    async def _upload(self, asked: Asked) -> Response:
        (path,) = _paths(asked, "path")
        length = int(asked.request.headers.get("content-length", "0"))
        if length > self._limits.size:
            raise Denied(413, "too-large", f"A file may have {self._limits.size >> 20} MiB at most.")
        with self._transfer(asked) as tunnel:
            async with self._files(asked) as files:
                pieces = self._counted(asked, tunnel)
                size = await files.write(path, pieces, expected=length, limit=self._limits.size, mode=0o644)
        return responses.as_json(200, {"path": path, "size": size})

    async def _counted(self, asked: Asked, tunnel: _Transfer) -> AsyncGenerator[bytes, None]:
        if asked.request.body is not None:
            async for piece in asked.request.body:
                await tunnel.passed(piece, up=True)
                yield piece

    async def _download(self, asked: Asked) -> Streamed:
        (path,) = _paths(asked, "path")
        if asked.request.method != "GET":
            raise Denied(405, "method", "A file is asked for with GET.")
        headers = dict(_DOWNLOAD)
        pieces = self._content(asked, path, headers)
        await anext(pieces)  # from here on it can only be broken off
        return Streamed(200, list(headers.items()), pieces)

    async def _content(self, asked: Asked, path: str, headers: dict[str, str]) -> AsyncGenerator[bytes, None]:
        """First b"", with the headers filled in, or Denied; then the file, or ConnectionError."""
        begun = False
        try:
            with self._transfer(asked) as tunnel:
                async with self._files(asked) as files:
                    size = await files.size(path)
                    if size > self._limits.size:
                        raise FileRefused(f"the file {path} has more than {self._limits.size >> 20} MiB", "too-large")
                    async with contextlib.aclosing(files.read(path, size)) as pieces:
                        first = await anext(pieces, b"")  # that it cannot be read shows here
                        headers |= {"Content-Length": str(size), "Content-Disposition": _disposition(path)}
                        yield b""
                        begun = True
                        await tunnel.passed(first, up=False)
                        yield first
                        async for piece in pieces:
                            await tunnel.passed(piece, up=False)
                            yield piece
        except Denied as error:
            if begun:
                raise ConnectionError(str(error)) from error
            raise

    @contextlib.asynccontextmanager
    async def _files(self, asked: Asked) -> AsyncIterator[sftp.Files]:
        """The machine's files. What it refuses becomes Denied."""
        where = asked.match.pane
        self._uses.used(where.lab)
        try:
            known = self._known(asked)
            target = await self._engine.target(where.lab, where.machine, f"portforward/{names.SSH_PORT}")
            opened = lambda: sftp.files(target, known, where.machine)  # noqa: E731
            async with self._sessions.use(asked.login.uid, opened) as files:
                yield files
        except FileRefused as error:
            raise Denied(_STATUS.get(error.reason, 409), error.reason, _sentence(error)) from error
        except MachineUnreachable as error:
            raise Denied(503, "unreachable", _sentence(error)) from error
        except SetupError as error:
            log.error("%s", error)
            raise Denied(503, "setup", "The gateway lacks a key; the operator's log says which.") from error

    def _known(self, asked: Asked) -> Login:
        try:
            return login.read(asked.login.annotation, self._key(), asked.match.pane.lab)
        except ValueError as error:
            raise Denied(404, "no-login", "What is written of the machine's account cannot be read.") from error

    @contextlib.contextmanager
    def _transfer(self, asked: Asked) -> Iterator[_Transfer]:
        """Count a file in for as long as it is under way. Raises Denied (429)."""
        where = asked.match.pane
        under_way = sum(t.pane.lab == where.lab and t.kind is Traffic.FILES for t in self._tunnels.all())
        if under_way >= self._limits.transfers:
            text = f"This lab has {under_way} files under way, which is the most: wait for one to arrive."
            raise Denied(429, "transfers", text)
        tunnel = self._tunnels.enter(where, asked.ticket, Traffic.FILES)
        try:
            yield _Transfer(tunnel, lambda: self._uses.used(where.lab))
        finally:
            self._tunnels.leave(tunnel)


def _paths(asked: Asked, *wanted: str) -> tuple[str, ...]:
    """The paths in a request's query, by their names. Raises Denied (400)."""
    query = urlsplit(asked.request.target).query
    given = parse_qs(query, keep_blank_values=True, errors="surrogateescape", max_num_fields=8)
    found = tuple(given[name][0] for name in wanted if len(given.get(name, ())) == 1)
    if len(found) < len(wanted) or any(not 0 < len(path) <= _MOST_PATH or "\0" in path for path in found):
        raise Denied(400, "path", f"The query must have {' and '.join(wanted)} once each: a path in the machine.")
    return found


def _disposition(path: str) -> str:
    """Content-Disposition (RFC 6266): to be saved, under the file's own name."""
    name = quote(posixpath.basename(path).encode(errors="surrogateescape"), safe="")
    return f"attachment; filename=\"download\"; filename*=UTF-8''{name}"


def _sentence(error: LabkitError) -> str:
    text = str(error)
    return f"{text[0].upper()}{text[1:]}."
