"""A machine's files from afar: the gateway's routes, asked with the ticket of one of the machine's panes."""

from __future__ import annotations

import asyncio
import json
import posixpath
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from urllib.parse import urlencode, urlsplit

import urllib3

from labkit.cluster.sftp import PIECE, Entry
from labkit.errors import FileRefused, LabkitError, MachineUnreachable, NotFound
from labkit.model import PaneLink, Principal
from labkit.orchestrator.labs import Labs

_TIMEOUT = urllib3.Timeout(connect=10, read=90)
_EARLY_SECONDS = 60.0
"""A ticket is replaced so long before it ends."""


class GatewayFiles:
    """The same as `labkit.cluster.sftp.Files`, as far as copying needs it. A new file gets the permissions 0644.

    Every method raises FileRefused where the machine refuses, MachineUnreachable where nothing answers.
    """

    def __init__(self, url: str, labs: Labs, principal: Principal, lab: str, machine: str) -> None:
        """`url` is the service's. Raises NotFound for a machine without panes: they are what one has a right to."""
        found = next((one for one in labs.status(principal, lab).machines if one.name == machine), None)
        if found is None or not found.panes:
            raise NotFound(f"machine {machine} has no pane, and so no way to its files from afar")
        self._root = f"{url.rstrip('/')}/files/{lab}/{machine}/"
        self._new: Callable[[], PaneLink] = lambda: labs.pane_link(principal, lab, machine, found.panes[0].name)
        self._link: PaneLink | None = None
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)

    async def stat(self, path: str) -> Entry:
        """What is at `path`, behind links. Of a file, the permissions are not known."""
        name = posixpath.basename(path)
        try:
            await self._listed(path)
            return Entry(name, "folder", 0, 0, 0o755)
        except FileRefused as error:
            if error.reason != "not-a-folder":
                raise
        try:
            answer = await asyncio.to_thread(self._ask, "GET", "content", path)
        except FileRefused as error:
            if error.reason != "not-a-file":
                raise
            return Entry(name, "other", 0, 0, 0)
        answer.close()  # only its head was wanted
        return Entry(name, "file", int(answer.headers["Content-Length"]), 0, 0o644)

    async def size(self, path: str) -> int:
        """The size of a file."""
        found = await self.stat(path)
        if found.kind != "file":
            raise FileRefused(f"what is at {path} is no ordinary file", "not-a-file")
        return found.size

    async def entries(self, path: str, most: int) -> list[Entry]:
        """What is in a folder, by name: of more than `most`, any `most`. More than the gateway tells are refused."""
        entries, complete = await self._listed(path)
        if not complete and len(entries) < most:
            raise FileRefused(f"there are more than {len(entries)} files in {path}", "too-large")
        return entries[:most]

    async def read(self, path: str, size: int) -> AsyncGenerator[bytes, None]:
        """A file, piece by piece."""
        answer = await asyncio.to_thread(self._ask, "GET", "content", path)
        try:
            while piece := await asyncio.to_thread(answer.read, PIECE):
                yield piece
        except urllib3.exceptions.HTTPError as error:
            raise MachineUnreachable(f"the file {path} broke off") from error
        finally:
            answer.close()

    async def write(
        self, path: str, pieces: AsyncIterator[bytes], *, expected: int = 0, mode: int | None = None
    ) -> int:
        """Write a file of `expected` bytes, whole or not at all. `mode` is not passed on. How many it were."""
        loop, given_up = asyncio.get_running_loop(), threading.Event()

        async def following() -> bytes:
            return await anext(pieces, b"")

        broken: list[OSError] = []  # what could not be read here, which urllib3 takes for a fault of the connection

        def body() -> Iterator[bytes]:
            try:
                while piece := asyncio.run_coroutine_threadsafe(following(), loop).result():
                    if given_up.is_set():
                        raise urllib3.exceptions.HTTPError("given up")  # what is not complete, the gateway removes
                    yield piece
            except OSError as error:
                broken.append(error)
                raise

        try:
            (await asyncio.to_thread(self._ask, "PUT", "content", path, body(), expected)).close()
        except MachineUnreachable:
            if broken:
                raise broken[0] from None
            raise
        finally:
            given_up.set()
        return expected

    async def vacant(self, path: str) -> bool:
        """Whether nothing has this name."""
        try:
            await self.stat(path)
        except FileRefused as error:
            if error.reason == "missing":
                return True
            raise
        return False

    async def make_folder(self, path: str) -> None:
        """Make a folder in one that is there."""
        (await asyncio.to_thread(self._ask, "POST", "folder", path)).close()

    async def _listed(self, path: str) -> tuple[list[Entry], bool]:
        answer = await asyncio.to_thread(self._ask, "GET", "folder", path)
        told = json.loads(await asyncio.to_thread(answer.read))
        return [Entry(**each) for each in told["entries"]], bool(told["complete"])

    def _ask(
        self, method: str, what: str, path: str, body: Iterator[bytes] | None = None, size: int = 0
    ) -> urllib3.BaseHTTPResponse:
        if self._link is None or self._link.expires < time.time() + _EARLY_SECONDS:
            self._link = self._new()
        parts = urlsplit(self._root)
        headers = {"Labkit-Ticket": self._link.ticket, "Labkit-Request": "1", "Content-Length": str(size)}
        headers["Origin"] = f"{parts.scheme}://{parts.netloc}"
        url = f"{self._root}{what}?{urlencode({'path': path}, errors='surrogateescape')}"
        try:
            answer = self._pool.request(method, url, body=body, headers=headers, preload_content=False, redirect=False)
            if answer.status < 300:
                return answer
            told = json.loads(answer.read())
        except urllib3.exceptions.HTTPError as error:
            raise MachineUnreachable(f"the gateway at {self._root} does not answer") from error
        except ValueError as error:
            raise LabkitError(f"{self._root} answered {answer.status}, and not in labkit's words") from error
        text = str(told.get("error", ""))
        text = text[:1].lower() + text[1:].rstrip(".")
        if answer.status == 503:
            raise MachineUnreachable(text)
        raise FileRefused(text, str(told.get("reason", "failed")))
