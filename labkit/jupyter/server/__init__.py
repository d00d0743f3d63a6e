"""labkit's Jupyter server extension: panes and files below `labkit/`, and what JupyterLab's panels ask.

Configured as `c.LabkitServer.…` in a Jupyter configuration file.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any

from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado.ioloop import PeriodicCallback
from tornado.routing import Rule
from traitlets import Bool
from traitlets.config import Configurable

from labkit import settings
from labkit.jupyter import farewell
from labkit.jupyter.server.activity import last_use
from labkit.jupyter.server.api import (
    LabHandler,
    LabsHandler,
    MediaHandler,
    Service,
    TemplatesHandler,
    ViewHandler,
)
from labkit.jupyter.server.relay import PaneHandler

_LOOK_SECONDS = 60
_LAB = r"([a-z][a-z0-9]{2,30})"
ROUTES: tuple[tuple[str, type], ...] = (
    (r"labkit/api/templates", TemplatesHandler),
    (r"labkit/api/labs", LabsHandler),
    (rf"labkit/api/labs/{_LAB}", LabHandler),
    (rf"labkit/api/labs/{_LAB}/view/([a-z_]+)", ViewHandler),
    (rf"labkit/api/labs/{_LAB}/media/(.+)", MediaHandler),
    (r"labkit/((?:panes|files|static)/.*)", PaneHandler),
)
"""Below the server's base URL: what is answered, and by what."""


class LabkitServer(Configurable):
    """What an installation may set."""

    panes_keep_alive = Bool(
        True,
        help="Whether somebody's typing or pointing in a pane counts as activity of the Jupyter server, so that it is "
        "not culled meanwhile. What a machine shows by itself never counts.",
    ).tag(config=True)

    labs_end_with_server = Bool(
        "JUPYTERHUB_USER" in os.environ,
        help="Whether labs of the embedded engine end with this Jupyter server, however it ends. Under a Hub they do.",
    ).tag(config=True)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "labkit.jupyter.server"}]


def _load_jupyter_server_extension(server: ServerApp) -> None:
    """What Jupyter calls at its start."""
    configured, known = LabkitServer(config=server.config), settings.load()
    service = Service(known)
    base = server.web_app.settings["base_url"]
    handlers: list[tuple[str, type, dict[str, Any]]] = []
    for pattern, handler in ROUTES:
        if handler is not PaneHandler:
            handlers.append((url_path_join(base, pattern), handler, {"service": service}))
        elif not server.ssl_options and not server.certfile:
            handlers.append((url_path_join(base, pattern), handler, {"settings": known}))
        else:  # a connection that Jupyter itself encrypts cannot be handed on
            server.log.info("labkit: panes go through jupyter-server-proxy, as Jupyter itself does TLS here")
    _first(server, handlers)
    if configured.labs_end_with_server and not known.url:
        server.web_app.settings["labkit_farewell"] = farewell.wait_beside(known)
    if configured.panes_keep_alive:
        times: dict[str, datetime] = server.web_app.settings.setdefault("last_activity_times", {})
        _note(times, known)
        PeriodicCallback(lambda: _note(times, known), _LOOK_SECONDS * 1000).start()


def _first(server: ServerApp, handlers: list[tuple[str, type, dict[str, Any]]]) -> None:
    """Add handlers before all others: jupyter-server-proxy has the same prefix, as the other way in."""
    server.web_app.add_handlers(".*$", handlers)  # type: ignore[no-untyped-call]
    rules: list[Rule] = server.web_app.default_router.rules
    rules.insert(0, rules.pop(-2))  # Tornado puts them before its last rule, the one for everything


def _note(times: dict[str, datetime], known: settings.Settings) -> None:
    used = last_use(known.activity_file)
    if used is not None:
        times["labkit"] = datetime.fromtimestamp(used, UTC)
