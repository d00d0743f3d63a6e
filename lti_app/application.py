"""The Flask application: its blueprints, a row each, and what holds for every answer."""

from __future__ import annotations

from flask import Blueprint, Flask, Response

from labkit.app import Labs
from labkit.settings import Settings
from labkit.store import Store
from lti_app import files, guards
from lti_app.headers import protect
from lti_app.lti import routes
from lti_app.lti.embedding import Embedding
from lti_app.lti.keys import ToolKeys
from lti_app.lti.platform_keys import KeyFinder
from lti_app.refusals import handle_refusals
from lti_app.services import Grades, NoGrades, Services, own_origin
from lti_app.web import work

BLUEPRINTS: tuple[Blueprint, ...] = (
    files.blueprint,
    routes.blueprint,
    work.blueprint,
)
"""Everything that is served. A view of any of them names its guard (`guards.guarded`), or `create_app` fails."""

_MOST_FORM_BYTES = 256 * 1024


def create_app(settings: Settings, labs: Labs, store: Store, *, grades: Grades | None = None) -> Flask:
    """The WSGI application. Any number of them, in any number of processes, may work on one store.

    Raises SetupError where `public_url` is not set.
    """
    app = Flask(__name__, static_folder=None, template_folder="web/templates")
    app.url_map.merge_slashes = False
    app.config.update(MAX_CONTENT_LENGTH=_MOST_FORM_BYTES, MAX_FORM_MEMORY_SIZE=_MOST_FORM_BYTES)
    app.extensions["labkit"] = Services(
        settings=settings,
        store=store,
        labs=labs,
        grades=grades or NoGrades(),
        tool_keys=ToolKeys(settings),
        key_finder=KeyFinder(store, private=settings.private_platforms),
        embedding=Embedding(settings, store),
        origin=own_origin(settings),
    )
    handle_refusals(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    guards.install(app)

    def protected(response: Response) -> Response:
        return protect(response)

    app.after_request(protected)
    return app
