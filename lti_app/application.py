"""The Flask application: its blueprints, a row each, and what holds for every answer."""

from __future__ import annotations

import logging
from urllib.parse import urlsplit

from flask import Blueprint, Flask

from labkit.app import Labs
from labkit.orchestrator.grading import Grading
from labkit.orchestrator.template_source import TemplateSource
from labkit.settings import Settings
from labkit.store import Store
from lti_app import api, files, guards
from lti_app.headers import protect
from lti_app.lti import routes
from lti_app.lti.calls import Calls
from lti_app.lti.desk import Desk
from lti_app.lti.embedding import Embedding
from lti_app.lti.keys import ToolKeys
from lti_app.lti.platform_keys import KeyFinder
from lti_app.refusals import handle_refusals
from lti_app.services import Services, own_origin
from lti_app.web import authoring, classroom, linking, registration, watching, work

log = logging.getLogger(__name__)
BLUEPRINTS: tuple[Blueprint, ...] = (
    files.blueprint,
    routes.blueprint,
    work.blueprint,
    classroom.blueprint,
    watching.blueprint,
    linking.blueprint,
    authoring.blueprint,
    registration.blueprint,
)
"""Everything that is served. A view of any of them names its guard (`guards.guarded`), or `create_app` fails."""

_MOST_FORM_BYTES = 256 * 1024


def create_app(settings: Settings, labs: Labs, store: Store) -> Flask:
    """The WSGI application. Any number of them, in any number of processes, may work on one store.

    Where `public_url` is not set or has a prefix (a Hub's service), it is the API alone: learning platforms need an
    origin of their own. Raises SetupError for a `public_url` that is none.
    """
    app = Flask(__name__, static_folder=None, template_folder="web/templates")
    app.url_map.merge_slashes = False
    app.config.update(MAX_CONTENT_LENGTH=_MOST_FORM_BYTES, MAX_FORM_MEMORY_SIZE=_MOST_FORM_BYTES)
    handle_refusals(app)
    app.register_blueprint(_api(settings, labs, store))
    app.add_url_rule("/readyz", "ready", lambda: _ready(store))
    for endpoint in app.view_functions:
        guards.guarded(guards.anybody)(app.view_functions[endpoint])  # the API asks for a token itself
    parts = urlsplit(settings.public_url)
    if not settings.public_url or (parts.netloc and parts.path.strip("/")):
        log.info("public_url is not set, or has a prefix: only the API is served")
    else:
        _launches(app, settings, labs, store)
    guards.install(app)
    app.after_request(protect)
    return app


def _launches(app: Flask, settings: Settings, labs: Labs, store: Store) -> None:
    """What learning platforms and those whom they send are answered."""
    keys, templates = ToolKeys(settings), TemplateSource(settings.templates_dir)
    app.extensions["labkit"] = Services(
        settings=settings,
        store=store,
        labs=labs,
        grades=Desk(store, Calls(keys, private=settings.private_platforms), Grading(store, templates)),
        tool_keys=keys,
        key_finder=KeyFinder(store, private=settings.private_platforms),
        embedding=Embedding(settings, store),
        origin=own_origin(settings),
    )
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)


def _api(settings: Settings, labs: Labs, store: Store) -> Blueprint:
    hub = api.HubTokens(settings.hub_api_url, settings.hub_service) if settings.hub_api_url else None
    bearer, limit = api.Bearer(store, hub), settings.api_per_minute
    threads, withheld = settings.web_threads, store.bound_templates
    return api.blueprint(labs, [bearer], per_minute=limit, threads=threads, withheld=withheld)


def _ready(store: Store) -> str:
    """Whether the store answers."""
    store.installation()
    return "ready\n"
