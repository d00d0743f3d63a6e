"""The class page: who has come how far, what a teacher may do about it, and one learner's record.

Every view's teacher sees the course and the activity of his own launch: `roll.ClassRoom` looks all else up from there.
"""

from __future__ import annotations

import csv
import io
import time

from flask import Blueprint, Response, jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from labkit.errors import Conflict, LabkitError, NotFound
from labkit.model import MachineState, MachineStatus, PaneMode, PaneType, Principal
from labkit.store import LaunchRole
from lti_app.guards import LAUNCH_PREFIX, current_launch, form_token, guarded, is_author, of_instructor
from lti_app.headers import embeddable
from lti_app.lti import offers
from lti_app.lti.desk import note_of
from lti_app.refusals import wants_json
from lti_app.services import services
from lti_app.web.roll import ClassRoom, Pupil, counts

blueprint = Blueprint("classroom", __name__, url_prefix=f"{LAUNCH_PREFIX}/class")

BATCH = 10
"""So many learners are served by one request; the page sends one after the other."""
_LONGEST_EXTENSION = 24 * 3600.0
_NOTHING = "there is nothing to send: this work has no points yet, or the activity no grade"
_WATCHED = (PaneType.TERMINAL, PaneType.CONSOLE, PaneType.EXEC)


@blueprint.get("/")
@guarded(of_instructor)
def page() -> BaseResponse:
    """The class; an activity without a lab is told how to get one."""
    link = services().store.link(current_launch().link)
    if link is None or not link.activity:
        return redirect(url_for("work.page", launch=current_launch().id), 303)
    return _shown("class.html", checked=services().grades.grading.checked_steps(link.template))


@blueprint.get("/cards")
@guarded(of_instructor)
def cards() -> BaseResponse:
    """What of the page changes: its script asks for it now and then."""
    return _shown("cards.html")


def _shown(template: str, **more: object) -> Response:
    room = present_room()
    pupils, told = _pupils(room)
    embeddable([room.platform])
    context = services().store.context(current_launch().context)
    return make_response(
        render_template(
            template,
            launch=current_launch(),
            link=room.link,
            context=context,
            pupils=pupils,
            told=told,
            counts=counts(pupils),
            now=time.time(),
            batch=BATCH,
            author=is_author(),
            csrf=form_token(),
            **more,
        )
    )


@blueprint.post("/labs/<deed>")
@guarded(of_instructor)
def labs(deed: str) -> BaseResponse:
    """Start, stop or extend the labs of some learners, check a step of them again by the template as it is now, or send
    their grades again: as many as `BATCH` at once. Each that fails is named."""
    room = present_room()
    subjects = request.form.getlist("subject")
    if deed not in _DEEDS or not 0 < len(subjects) <= BATCH:
        raise NotFound(f"ask to {', '.join(_DEEDS)} for 1 to {BATCH} learners")
    known = {pupil.subject: pupil for pupil in _pupils(room)[0]}
    if not known.keys() >= set(subjects):
        raise NotFound("there is no such person in this course")
    done, faults = 0, []
    for pupil in (known[subject] for subject in subjects):
        try:
            _DEEDS[deed](room, pupil)
            done += 1
        except LabkitError as error:
            faults.append(f"{pupil.name or pupil.subject}: {error}")
    if wants_json():
        return jsonify(done=done, faults=faults)
    if faults:
        raise Conflict("; ".join(faults))
    return redirect(url_for("classroom.page", launch=current_launch().id), 303)


def _start(room: ClassRoom, pupil: Pupil) -> None:
    if pupil.role is not LaunchRole.LEARNER:
        raise Conflict("labs are started for learners only")
    if not offers.may_use(services(), room.platform, current_launch().context, room.link.template):
        raise NotFound("this course may not use this lab any more")
    learner = Principal(room.platform.realm, pupil.subject, pupil.name)
    operation = services().labs.start(learner, room.link.template, activity=room.link.activity)
    room.note("start for", operation.lab)


def _stop(room: ClassRoom, pupil: Pupil) -> None:
    services().labs.stop(room.teacher(), _live(pupil))


def _extend(room: ClassRoom, pupil: Pupil) -> None:
    minutes = request.form.get("minutes", "30")
    seconds = float(minutes) * 60 if minutes.isdecimal() else 0.0
    if not 0 < seconds <= _LONGEST_EXTENSION:
        raise LabkitError("say for how many minutes, up to a day")
    services().labs.extend(room.teacher(), _live(pupil), seconds)


def _check(room: ClassRoom, pupil: Pupil) -> None:
    services().labs.recheck(room.teacher(), _live(pupil), request.form.get("step", ""))


def _send(room: ClassRoom, pupil: Pupil) -> None:
    if not services().store.send_again(pupil.work):
        raise Conflict(_NOTHING)
    room.note("send", pupil.lab)


_DEEDS = {"start": _start, "stop": _stop, "extend": _extend, "check": _check, "send": _send}


def _live(pupil: Pupil) -> str:
    if not pupil.live:
        raise Conflict("has no lab at the moment")
    return pupil.lab


@blueprint.get("/screen/<learner>")
@guarded(of_instructor)
def screen(learner: str) -> Response:
    """The way to a picture of a learner's first screen: to look at only, and without disturbing whoever works there."""
    room = present_room()
    _, lab = room.pupil_work(learner)
    status = services().labs.status(room.teacher(), lab.id)
    for machine in status.machines:
        for pane in machine.panes:
            if pane.type is PaneType.VNC and status.ended is None:
                link = services().labs.pane_link(room.teacher(), lab.id, machine.name, pane.name, mode=PaneMode.VIEW)
                address = f"/{link.path}screenshot"
                return jsonify(address=address, ticket=link.ticket, expires=link.expires, machine=machine.name)
    raise NotFound("this lab has no screen to show")


@blueprint.get("/results.csv")
@guarded(of_instructor)
def table() -> Response:
    """All numbers of the class, as a table for a spreadsheet."""
    room = present_room()
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(
        ["name", "user id", "state", "done", "steps", "points", "of", "current step", "tries", "grade", "grade note"]
    )
    for one in _pupils(room)[0]:
        note = note_of(one.grade, room.platform.name)
        numbers = [one.done, one.steps, f"{one.points:g}", f"{one.maximum:g}"]
        texts = [one.step, str(one.tries), note.state.value, note.text]
        rows.writerow([_cell(one.name), _cell(one.subject), one.state, *numbers, *map(_cell, texts)])
    answer = make_response(text.getvalue())
    answer.content_type = "text/csv; charset=utf-8"
    answer.headers["Content-Disposition"] = 'attachment; filename="class.csv"'
    return answer


def _cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


# One learner


@blueprint.get("/people/<learner>/")
@guarded(of_instructor)
def record(learner: str) -> Response:
    """What one learner has done: steps, tries, feedback, answers, the grade; and his machines, to look at only."""
    room = present_room()
    work, lab = room.pupil_work(learner)
    embeddable([room.platform])
    pupil = next(one for one in _pupils(room)[0] if one.work == work.id)
    progress, grading = services().store.progress(work.id), services().grades.grading
    tries = [result for found, result in services().store.results(room.link.activity) if found == work.id]
    status = services().labs.status(room.teacher(), lab.id)
    return make_response(
        render_template(
            "record.html",
            launch=current_launch(),
            learner=learner,
            link=room.link,
            pupil=pupil,
            model=grading.model(lab),
            progress=progress,
            excused=services().store.excused(work.id),
            tries=tries[:-51:-1],
            machines=[(machine, _ways(room, lab.id, machine)) for machine in status.machines],
            note=note_of(pupil.grade, room.platform.name),
            csrf=form_token(),
        )
    )


def _ways(room: ClassRoom, lab: str, machine: MachineStatus) -> list[tuple[str, str]]:
    """The panes of a machine that can be watched: title and address, with a ticket that lets nothing through to it.

    A window of its own has no cookie of ours, so that the addresses stand on the page; they are good for minutes.
    """
    if machine.state not in (MachineState.RUNNING, MachineState.PAUSED):
        return []
    panes = [pane for pane in machine.panes if pane.type in _WATCHED]
    links = (
        services().labs.pane_link(room.teacher(), lab, machine.name, pane.name, mode=PaneMode.VIEW) for pane in panes
    )
    return [(pane.title, f"/{link.fragment_url}") for pane, link in zip(panes, links, strict=True)]


@blueprint.post("/people/<learner>/<deed>")
@guarded(of_instructor)
def do(learner: str, deed: str) -> BaseResponse:
    """Check a step again, award it, excuse from it; send a grade again, or look it up; answer a call for help."""
    room = present_room()
    work, lab = room.pupil_work(learner)
    step, reason, grades = request.form.get("step", ""), request.form.get("reason", ""), services().grades
    match deed:
        case "check":
            services().labs.recheck(room.teacher(), lab.id, step)
        case "award":
            grades.grading.award(work.id, step, "your teacher", reason)
        case "excuse":
            grades.grading.excuse(work.id, step, reason)
        case "count":
            grades.grading.excuse(work.id, step, None)
        case "send":
            if not services().store.send_again(work.id):
                raise Conflict(_NOTHING)
        case "look":
            grades.look(room.platform, room.link)
        case "answered":
            services().store.lower_hand(work.id)
        case _:
            raise NotFound(f"a teacher cannot {deed!r}")
    room.note(deed, f"{lab.id} {step}".strip())  # the reason stands with the deed, and goes with the learner
    return redirect(url_for("classroom.record", launch=current_launch().id, learner=learner), 303)


@blueprint.get("/review")
@guarded(of_instructor)
def review() -> BaseResponse:
    """Where a submission review leads: the record of the learner that it is about."""
    subject = str(current_launch().details.get("for_user", ""))
    learner = present_room().learner_of(subject)
    return redirect(url_for("classroom.record", launch=current_launch().id, learner=learner), 303)


def present_room() -> ClassRoom:
    """The course and the activity of the present launch. Raises NotFound where it is of none."""
    launch = current_launch()
    return ClassRoom(services().store, services().grades.grading, services().platform(launch.platform), launch)


def _pupils(room: ClassRoom) -> tuple[list[Pupil], str]:
    context = services().store.context(current_launch().context)
    address = context.roster_url if context else ""
    people, told = services().grades.rosters.of(room.platform, current_launch().context, address)
    return room.pupils(people, time.time()), told
