"""The preview's web server: one page, the lab view's methods, and news of what is saved, on loopback only.

Everything stands below a path that nobody can guess, is answered to loopback names only (no web page can reach it under
a name of its own), and what changes something needs a header that only our own page sends.
"""

from __future__ import annotations

import asyncio
import json
import mimetypes
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from labkit.errors import LabkitError
from labkit.gateway.access import check_origin, loopback_name
from labkit.gateway.application import whole
from labkit.gateway.http import Answer, Connection, Request
from labkit.gateway.machines import Denied
from labkit.gateway.pages import StaticFiles
from labkit.gateway.responses import SECURITY_HEADERS, Response, Streamed, as_json
from labkit.preview.draft import Draft
from labkit.preview.machines import Machines
from labkit.preview.paper import paper_view
from labkit.preview.passing import passed_on
from labkit.view import View

_MOST_BYTES = 1 << 20
_STATIC, _PASSED = "/static/", ("/panes/", "/files/")
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; "
    "img-src 'self' data:; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Preview - labkit</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/static/preview.css">
<script type="module" src="/static/preview.js"></script>
</head>
<body><noscript>The preview needs JavaScript.</noscript></body>
</html>
"""


@dataclass
class Preview:
    """What the server answers. `view` is asked for at each question: it changes once machines have been started."""

    draft: Draft
    view: Callable[[], View]
    gateway: Path | None
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    static: StaticFiles = field(default_factory=StaticFiles)

    async def __call__(self, request: Request) -> Answer:
        """The answer to one request."""
        try:
            if not loopback_name(request.headers.get("host")):
                raise Denied(403, "host", "This server answers only to localhost.")
            return await self._answer(request)
        except Denied as denied:
            return as_json(denied.status, denied.body())

    async def _answer(self, request: Request) -> Answer:
        if request.path.startswith(_STATIC) and request.method == "GET":
            name = request.path.removeprefix(_STATIC)
            if name not in ("preview.js", "preview.css", "panes.js", "panes.css"):
                raise _nothing()
            return self.static.answer(name, request.headers)
        if self.gateway is not None and request.path.startswith(_PASSED):
            return await passed_on(self.gateway, request)
        token, _, rest = request.path.removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            raise _nothing()
        if request.method == "GET":
            return await self._read(rest)
        if request.method == "POST" and rest.startswith("lab/"):
            return await self._ask(rest.removeprefix("lab/"), request)
        raise _nothing()

    async def _read(self, rest: str) -> Answer:
        if not rest:
            return Response(200, _PAGE, "text/html; charset=utf-8", headers={"Content-Security-Policy": _POLICY})
        if rest == "changes":
            own = {**SECURITY_HEADERS, "Content-Type": "text/event-stream", "Cache-Control": "no-store"}
            return Streamed(200, list(own.items()), self.draft.news())
        if not rest.startswith("lab/media/"):
            raise _nothing()
        path = unquote(rest.removeprefix("lab/"))
        try:
            body = await asyncio.to_thread(self.view().media, path)
        except LabkitError as error:
            raise Denied(404, "", str(error)) from None
        return Response(200, body, mimetypes.guess_type(path)[0] or "application/octet-stream")

    async def _ask(self, method: str, request: Request) -> Answer:
        check_origin(request.headers.get("origin"), request.headers.get("host"))
        if request.headers.get("x-labkit") != "1":
            raise Denied(403, "request", "A request that changes something needs the header X-Labkit: 1.")
        params = _object(await whole(request, _MOST_BYTES))
        try:
            return as_json(200, await asyncio.to_thread(self.view().handle, method, params))
        except LabkitError as error:
            raise Denied(409, "", str(error)) from None


def _nothing() -> Denied:
    return Denied(404, "", "There is no such page: open the link that `labkit preview` has printed.")


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Denied(400, "body", "The request's body must be a JSON object.")
    return found


async def serve(
    folder: Path, *, port: int, machines: Machines | None, told: Callable[[str], None], stop: asyncio.Event
) -> None:
    """Serve the template in `folder` until `stop` is set; `told` gets the address once it answers.

    With `machines` its lab is started as soon as nothing is wrong with it. Raises OSError where the port is taken.
    """
    draft = Draft(folder)
    await draft.look()
    with paper_view(folder) as paper:

        def view() -> View:
            return (machines.view if machines else None) or paper

        preview = Preview(draft, view, machines.gateway if machines else None)
        connections: set[Connection] = set()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: Connection(preview, connections, loopback_port=True), "127.0.0.1", port
        )
        tasks = [asyncio.create_task(stop.wait()), asyncio.create_task(draft.watch())]
        if machines is not None:
            tasks.append(asyncio.create_task(machines.keep(draft)))
        told(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/{preview.token}/")
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # only `stop` ends by itself: this raises what ended another
        finally:
            server.close()
            answers = [connection.answering for connection in connections if connection.answering is not None]
            for task in (*tasks, *answers):
                task.cancel()
            await asyncio.gather(*tasks, *answers, return_exceptions=True)
