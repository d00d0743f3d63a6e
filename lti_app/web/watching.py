"""A learner's own page, to look at: for the teachers of the activity. Nothing here changes anything."""

from __future__ import annotations

from flask import Blueprint, Response, jsonify, make_response, render_template, request

from labkit.view import Watch
from lti_app.guards import LAUNCH_PREFIX, guarded, of_instructor
from lti_app.headers import embeddable
from lti_app.services import services
from lti_app.web import reading
from lti_app.web.classroom import present_room

blueprint = Blueprint("watching", __name__, url_prefix=f"{LAUNCH_PREFIX}/class/people/<learner>/page")


@blueprint.get("/")
@guarded(of_instructor)
def page(learner: str) -> Response:
    """The page; its script asks for all else."""
    room = present_room()
    _, lab = room.pupil_work(learner)
    embeddable([room.platform])
    room.note("look at page of", lab.id)
    return make_response(render_template("watch.html", name=lab.learner_name or "this learner", link=room.link))


@blueprint.post("/view/<method>")
@guarded(of_instructor)
def ask(learner: str, method: str) -> Response:
    """One question of the lab view, if it changes nothing: see `labkit.view.Watch`."""
    watch, params = _watch(learner), request.get_json()
    return jsonify(watch.handle(method, params if isinstance(params, dict) else {}))


@blueprint.get("/view/media/<path:path>")
@guarded(of_instructor)
def media(learner: str, path: str) -> Response:
    """A file of the instructions."""
    return reading.media(path, _watch(learner).media(f"media/{path}"))


def _watch(learner: str) -> Watch:
    room = present_room()
    _, lab = room.pupil_work(learner)
    return Watch(services().labs, room.teacher(), lab.id)
