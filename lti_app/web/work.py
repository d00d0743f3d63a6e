"""A person's own page of an activity: instructions, machines, and what he may do with his lab.

Which lab it is follows from the launch in the address; a request never names one.
"""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, jsonify, make_response, render_template, request

from labkit.errors import Conflict, NotFound
from labkit.orchestrator.observe import lab_state
from labkit.store import LabRow, LaunchRole, LinkRow, WorkRow
from labkit.view import View
from lti_app.guards import LAUNCH_PREFIX, current_launch, guarded, is_author, of_launch
from lti_app.headers import embeddable
from lti_app.lti import offers
from lti_app.lti.linking import why_closed
from lti_app.services import services
from lti_app.web import reading

blueprint = Blueprint("work", __name__, url_prefix=LAUNCH_PREFIX)

_STATUSES = ("view", "status")


@blueprint.get("/")
@guarded(of_launch)
def page() -> Response:
    """The page; its script asks for all else."""
    launch, platform = current_launch(), services().platform(current_launch().platform)
    embeddable([platform])
    link = services().store.link(launch.link)
    context = services().store.context(launch.context)
    teacher = launch.role is LaunchRole.INSTRUCTOR
    about = {"launch": launch, "link": link, "context": context, "platform": platform}
    shown = render_template("work.html", **about, teacher=teacher, author=is_author())
    return make_response(shown, 200 if link and link.activity else 404)


@blueprint.post("/start")
@guarded(of_launch)
def start() -> Response:
    """Start the lab of this work, or find the one that there is."""
    launch, link = current_launch(), _link()
    if not offers.may_use(services(), services().platform(launch.platform), launch.context, link.template):
        raise NotFound("this course may not use this lab any more; please tell your teacher")
    why = why_closed(launch.details.get("dates", {}), time.time())
    if why and launch.role is not LaunchRole.INSTRUCTOR:
        raise Conflict(why)
    begun = services().labs.start(services().principal(launch), link.template, activity=link.activity)
    return jsonify(operation=begun.id)


@blueprint.post("/state")
@guarded(of_launch)
def state() -> Response:
    """What the page must know to begin: whether there is a lab, and what its row in the store says of it."""
    row = _lab()
    return jsonify(lab={"state": lab_state(row, ()).value} if row else None, **_around())


@blueprint.post("/hand")
@guarded(of_launch)
def hand() -> Response:
    """Call for help, or take that back."""
    work = _work()
    if work is None:
        raise Conflict("start the lab first")
    body = request.get_json()
    raised = bool(body.get("raised")) if isinstance(body, dict) else False
    (services().store.raise_hand if raised else services().store.lower_hand)(work.id)
    return jsonify(hand=raised)


@blueprint.post("/view/<method>")
@guarded(of_launch)
def ask(method: str) -> Response:
    """One question of the lab view: see `labkit.view`. A status brings what a course adds to it: the page, which wants
    one every two seconds, then asks the cluster once."""
    params = request.get_json()
    answer = _view().handle(method, params if isinstance(params, dict) else {})
    return jsonify({**answer, **_around()} if method in _STATUSES else answer)


@blueprint.get("/view/media/<path:path>")
@guarded(of_launch)
def media(path: str) -> Response:
    """A file of the instructions."""
    return reading.media(path, _view().media(f"media/{path}"))


def _around() -> dict[str, Any]:
    """The grade as it was sent, and whether the learner has called for help."""
    note, work = services().grades.note(current_launch()), _work()
    hands = services().store.hands(work.activity) if work else []
    raised = any(work is not None and hand.work == work.id for hand in hands)
    return {"grade": {"state": note.state.value, "text": note.text}, "hand": raised}


def _link() -> LinkRow:
    link = services().store.link(current_launch().link)
    if link is None or not link.activity:
        raise NotFound("this activity has no lab yet")
    return link


def _work() -> WorkRow | None:
    return services().store.work_of(current_launch().learner, _link().activity)


def _lab() -> LabRow | None:
    work = _work()
    return services().store.lab_of_work(work.id) if work else None


def _view() -> View:
    row = _lab()
    if row is None:
        raise NotFound("there is no lab yet: start it")
    return View(services().labs, services().principal(current_launch()), row.id)
