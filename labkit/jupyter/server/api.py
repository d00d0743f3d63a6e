"""What JupyterLab's panels ask: templates, labs, start, stop, and the lab view's own questions. JSON in, JSON out.

Every handler is an `APIHandler`: signed in, with Jupyter's protection against forged requests. `Labs` blocks, so it is
asked in threads.
"""

from __future__ import annotations

import asyncio
import mimetypes
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from jupyter_server.base.handlers import APIHandler
from tornado import web

from labkit import app
from labkit.errors import ClusterUnavailable, Conflict, Forbidden, Invalid, LabkitError, NotFound, SetupError
from labkit.settings import Settings
from labkit.view import View, lab_json, machine_json

T = TypeVar("T")
_STATUSES: tuple[tuple[type[LabkitError], int], ...] = (
    (NotFound, 404),
    (Forbidden, 403),
    (Conflict, 409),
    (Invalid, 422),
    (SetupError, 503),
    (ClusterUnavailable, 503),
)


LOOKS = frozenset({"view", "status", "events", "page", "pane_link"})
"""What the lab view asks by itself, again and again. The store answers: nothing is started for it."""
BY_ITSELF = LOOKS | {"poll"}
"""What is no sign of a person: a check that asks by itself is run, but keeps no server alive."""


class Service:
    """`Labs` for the handlers, opened when a lab is first asked for: a panel that only looks starts nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._labs: app.Labs | None = None

    def labs(self, *, awake: bool = True) -> app.Labs:
        """`Labs`, with what is behind them awake, unless only the store is asked. Raises SetupError."""
        with self._lock:
            if self._labs is None:
                self._labs = app.open_labs(self.settings, awake=False)
        if awake:
            app.wake(self.settings)
        return self._labs

    def view(self, lab: str, *, awake: bool) -> View:
        return View(self.labs(awake=awake), app.local_principal(), lab)

    def all(self) -> list[dict[str, Any]]:
        """The labs that run, with their machines. Starts nothing where there are none."""
        if not self.settings.url and not app.running_labs(self.settings):
            return []
        found = self.labs().labs(app.local_principal())
        return [{**lab_json(one), "machines": [machine_json(machine) for machine in one.machines]} for one in found]


class Handler(APIHandler):
    """What all have in common: `Labs` in a thread, and labkit's errors as they are."""

    _track_activity = False  # a panel that looks every few seconds must not keep the server alive for ever

    def initialize(self, service: Service) -> None:
        self.service = service

    async def prepare(self, **options: Any) -> None:
        """Nobody is answered who is not signed in, whatever the method (Jupyter's own default is to answer)."""
        await super().prepare(**options)
        if not self.current_user:
            raise web.HTTPError(403)

    async def ask(self, question: Callable[[], T]) -> T:
        """The answer, found in a thread. Raises HTTPError with labkit's sentence."""
        try:
            return await asyncio.to_thread(question)
        except LabkitError as error:
            status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 400)
            raise web.HTTPError(status, "%s", str(error)) from error

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        cause = error.__cause__ if isinstance(error, web.HTTPError) else None
        if isinstance(cause, LabkitError):
            self.finish({"error": str(cause), "message": str(cause)})
        else:
            super().write_error(status_code, **kwargs)

    def body(self, **wanted: type) -> list[Any]:
        """The values of the keys of a JSON body. Raises 400 for another."""
        given = self.get_json_body()
        if not isinstance(given, dict) or set(given) != set(wanted):
            raise web.HTTPError(400, f"the body must be JSON with: {', '.join(wanted)}")
        if not all(isinstance(given[name], kind) for name, kind in wanted.items()):
            raise web.HTTPError(400, "a value in the body is of the wrong type")
        return [given[name] for name in wanted]


class TemplatesHandler(Handler):
    async def get(self) -> None:
        found = await self.ask(lambda: app.startable(self.service.settings))
        self.finish({"templates": [{k: v for k, v in asdict(one).items() if k != "folder"} for one in found]})


class LabsHandler(Handler):
    async def get(self) -> None:
        self.finish({"labs": await self.ask(self.service.all)})

    async def post(self) -> None:
        (template,) = self.body(template=str)
        self._track_activity = True
        operation = await self.ask(lambda: self.service.labs().start(app.local_principal(), template))
        self.set_status(202)
        self.finish({"lab": operation.lab, "operation": operation.id})


class LabHandler(Handler):
    _track_activity = True

    async def delete(self, lab: str) -> None:
        operation = await self.ask(lambda: self.service.labs().stop(app.local_principal(), lab))
        self.set_status(202)
        self.finish({"operation": operation.id})


class ViewHandler(Handler):
    """The lab view's questions (`labkit.view`)."""

    async def post(self, lab: str, method: str) -> None:
        params = self.get_json_body() or {}
        if not isinstance(params, dict):
            raise web.HTTPError(400, "the body must be a JSON object")
        self._track_activity = method not in BY_ITSELF
        self.finish(await self.ask(lambda: self.service.view(lab, awake=method not in LOOKS).handle(method, params)))


class MediaHandler(Handler):
    """A file of a template's media folder."""

    async def get(self, lab: str, path: str) -> None:
        data = await self.ask(lambda: self.service.view(lab, awake=False).media(f"media/{path}"))
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.finish(data, set_content_type=mimetypes.guess_type(path)[0] or "application/octet-stream")
