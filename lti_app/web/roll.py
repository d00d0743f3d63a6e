"""A class: who is in the course, and how far each has come with one activity. The page's and the table's numbers.

A launch's teacher sees his course and nothing else: people and works are looked up from the launch's own context and
activity, whatever a request names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from labkit.errors import LabkitError, NotFound
from labkit.instructions import PageModel
from labkit.model import CheckResult, LabState, Principal, Progress, Role, Verdict
from labkit.orchestrator.grading import Grading
from labkit.orchestrator.lifetimes import deadline
from labkit.orchestrator.observe import lab_state
from labkit.store import GradeRow, LabRow, Launch, LaunchRole, LinkRow, Platform, Store, WorkRow
from lti_app.lti import nrps

STUCK_TRIES, STUCK_SECONDS = 3, 600.0
"""Somebody is stuck who has tried one step so often in vain, or has done nothing for so long while his lab runs."""


@dataclass(frozen=True)
class Pupil:
    """One person of the course and his work. `state` is a lab's state, or: not started, finished.

    `learner`, `work` and `lab` are our ids, empty where there is none; `live`: the lab has not ended. `step` is the
    first that is not done, `tries` how often its check has said no. `idle` and `hand` are seconds since the lab's last
    use, and since he called for help; `ends`: until the lab's end, once it runs.
    """

    subject: str
    name: str
    role: LaunchRole
    learner: str = ""
    work: str = ""
    lab: str = ""
    live: bool = False
    state: str = "not started"
    step: str = ""
    done: int = 0
    steps: int = 0
    points: float = 0.0
    maximum: float = 0.0
    tries: int = 0
    checked: CheckResult | None = None
    idle: float | None = None
    hand: float | None = None
    ends: float | None = None
    grade: GradeRow | None = None

    @property
    def stuck(self) -> bool:
        if self.state == "finished":
            return False
        still = self.state == LabState.RUNNING.value and (self.idle or 0.0) >= STUCK_SECONDS
        return self.tries >= STUCK_TRIES or still

    @property
    def share(self) -> int:
        """Progress in percent of the steps."""
        return round(100 * self.done / self.steps) if self.steps else 0


class ClassRoom:
    """One course's activity, for the teacher of one launch. Raises NotFound where the launch is of no activity."""

    def __init__(self, store: Store, grading: Grading, platform: Platform, launch: Launch) -> None:
        link = store.link(launch.link)
        if link is None or link.context != launch.context or not link.activity:
            raise NotFound("this activity has no lab yet")
        self._store, self._grading, self._launch = store, grading, launch
        self.link: LinkRow = link
        context = store.context(launch.context)
        # Launches without a course have one context for all of a deployment: who is in it may have nothing to do with
        # this activity, unless he has worked on it.
        self._in_course = context is not None and bool(context.context)
        self.platform = platform

    def pupils(self, people: list[nrps.Person], now: float) -> list[Pupil]:
        """All who are in the roster, were launched from the course, or have worked on the activity, by name; teachers
        only once they try the lab."""
        members = {member.subject: member for member in self._store.members(self._launch.context)}
        known = {person.subject: person for person in people}
        works = self._store.works_in(self.link.activity, self.platform.realm)
        tries, last = self._checks()
        hands = {hand.work: now - hand.raised for hand in self._store.hands(self.link.activity)}
        grades = {row.work: row for row in self._store.grades(self.link.activity)}
        if not self._in_course:
            members, known = {subject: one for subject, one in members.items() if subject in works}, {}
        found = []
        for subject in {**known, **members, **works}:
            member, person = members.get(subject), known.get(subject)
            # What somebody was launched as goes before what the roster says.
            role = member.role if member else person.role if person else LaunchRole.OTHER
            name = (person.name if person else "") or (member.name if member else "")
            pupil = Pupil(subject, name, role)
            if work := works.get(subject):
                pupil = self._with_work(replace(pupil, learner=work.learner), work, now, tries)
                pupil = replace(pupil, checked=last.get(work.id), hand=hands.get(work.id), grade=grades.get(work.id))
            elif role is not LaunchRole.LEARNER:
                continue
            found.append(pupil)
        return sorted(found, key=lambda pupil: (pupil.name.casefold(), pupil.subject))

    def _checks(self) -> tuple[Mapping[tuple[str, str], int], Mapping[str, CheckResult]]:
        """How often each step of each work was tried in vain since it last passed, and each work's last result."""
        tries: dict[tuple[str, str], int] = {}
        last: dict[str, CheckResult] = {}
        for work, result in self._store.results(self.link.activity):
            key, last[work] = (work, result.step), result
            if result.verdict is Verdict.NOT_YET:
                tries[key] = tries.get(key, 0) + 1
            elif result.verdict is Verdict.PASSED:
                tries[key] = 0
        return tries, last

    def _with_work(self, pupil: Pupil, work: WorkRow, now: float, tries: Mapping[tuple[str, str], int]) -> Pupil:
        lab = self._store.lab_of_work(work.id)
        if lab is None:
            return replace(pupil, work=work.id)
        pupil = replace(pupil, work=work.id, lab=lab.id, live=lab.ended is None, state=_state(lab))
        if lab.ended is None:
            end = deadline(lab) if lab.ready is not None else None
            pupil = replace(pupil, idle=now - max(lab.used, lab.created), ends=end.at - now if end else None)
        try:
            model = self._grading.model(lab)
        except LabkitError:
            return replace(pupil, step="its lab cannot be read any more")
        return _with_progress(pupil, model, self._store.progress(work.id), tries)

    def pupil_work(self, learner: str) -> tuple[WorkRow, LabRow]:
        """A learner's work and lab in this activity, which is of this course alone. Raises NotFound."""
        work = self._store.work_of(learner, self.link.activity)
        lab = self._store.lab_of_work(work.id) if work else None
        if work is None or lab is None:
            raise NotFound("there is no such work in this course")
        return work, lab

    def learner_of(self, subject: str) -> str:
        """Our id of somebody who has worked on the activity. Raises NotFound."""
        work = self._store.works_in(self.link.activity, self.platform.realm).get(subject)
        if work is None:
            raise NotFound("this person has not opened the lab yet")
        return work.learner

    def teacher(self) -> Principal:
        """The teacher, with the right over what `pupil_work` has found, and only for that."""
        return Principal(self.platform.realm, self._launch.subject, role=Role.OPERATOR)

    def note(self, action: str, target: str) -> None:
        """Write down what the teacher has done."""
        self._store.audit(self._launch.learner, action, target)


def _state(lab: LabRow) -> str:
    """A lab's state as the store has it: asking the cluster about each of a class takes too long."""
    state = lab_state(lab, ())
    return (LabState.PAUSED if state is LabState.RUNNING and lab.wanted == "paused" else state).value


def _with_progress(pupil: Pupil, model: PageModel, progress: Progress, tries: Mapping[tuple[str, str], int]) -> Pupil:
    steps = [*((step.id, step.title) for step in model.steps), *((name, name) for name in model.questions)]
    left = [(name, title) for name, title in steps if name not in progress.done]
    current, title = left[0] if left else ("", "")
    finished = bool(steps) and not left
    return replace(
        pupil,
        state="finished" if finished else pupil.state,
        step=title,
        done=len(steps) - len(left),
        steps=len(steps),
        points=progress.points({step.id: step.points for step in model.steps}),
        maximum=float(model.max_points),
        tries=tries.get((pupil.work, current), 0),
    )


def counts(pupils: list[Pupil]) -> dict[str, Any]:
    """The numbers above the class."""
    learners = [pupil for pupil in pupils if pupil.role is not LaunchRole.INSTRUCTOR]
    shares = sorted(pupil.share for pupil in learners)
    return {
        "working": sum(pupil.live and pupil.state != "finished" for pupil in learners),
        "not started": sum(not pupil.lab for pupil in learners),
        "finished": sum(pupil.state == "finished" for pupil in learners),
        "asking for help": sum(pupil.hand is not None for pupil in learners),
        "stuck": sum(pupil.stuck for pupil in learners),
        "median": shares[len(shares) // 2] if shares else 0,
    }
