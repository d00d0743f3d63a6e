"""Grades as people see them: what a learner is told of his, and what a teacher can look up and send again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from labkit.orchestrator.grading import Grading
from labkit.store import GradeRow, Launch, LaunchRole, LinkRow, Platform, Store
from lti_app.lti import ags
from lti_app.lti.calls import Calls
from lti_app.lti.nrps import Rosters
from lti_app.lti.outbox import in_points


class GradeState(StrEnum):
    """How far a learner's grade is. None: nothing is graded here."""

    NONE = "none"
    WAITING = "waiting"
    SENT = "sent"
    REFUSED = "refused"


@dataclass(frozen=True)
class GradeNote:
    """What a learner is told of his grade, in one sentence."""

    state: GradeState
    text: str = ""


_NOT_GRADED = {
    LaunchRole.INSTRUCTOR: "You try this as a teacher: nothing is graded.",
    LaunchRole.OTHER: "Your course does not name you as one of its learners: nothing is graded.",
}
_STATES = {"waiting": GradeState.WAITING, "sent": GradeState.SENT, "refused": GradeState.REFUSED}


class Desk:
    """Answers about grades from the store; only `look` asks the platform."""

    def __init__(self, store: Store, calls: Calls, grading: Grading) -> None:
        self._store, self.calls, self.grading = store, calls, grading
        self.rosters = Rosters(calls)

    def note(self, launch: Launch) -> GradeNote:
        """How the grade of this launch's person, for this launch's activity, stands."""
        link = self._store.link(launch.link)
        if link is None or not link.line_item:
            return GradeNote(GradeState.NONE, "This activity has no grade in your course.")
        if launch.role is not LaunchRole.LEARNER:
            return GradeNote(GradeState.NONE, _NOT_GRADED[launch.role])
        work = self._store.work_of(launch.learner, link.activity)
        platform = self._store.platform(launch.platform)
        row = self._store.grade(work.id) if work else None
        return note_of(row, platform.name if platform else "your course")

    def look(self, platform: Platform, link: LinkRow) -> None:
        """Read what the gradebook shows of an activity, once for all; of whom it says nothing, what is known stays.

        Raises ResultsRefused, OutboundRefused, TokenRefused.
        """
        found = ags.shown(self.calls, platform, link.line_item)
        for row in self._store.grades(link.activity):
            if row.subject in found:
                self._store.grade_shown(row.work, in_points(found[row.subject], row.maximum))


def note_of(row: GradeRow | None, place: str) -> GradeNote:
    """A grade in one sentence. `place` is the platform's name."""
    if row is None or row.given is None or not row.state:
        refused = row is not None and row.state == "refused"
        text = f"Your points could not be counted: {row.reason}." if row and refused else "No points to send yet."
        return GradeNote(GradeState.REFUSED if refused else GradeState.NONE, text)
    points = f"{row.given:g} of {row.maximum:g} points"
    texts = {
        "waiting": f"{points}: on the way to {place}." + (f" Not there yet: {row.reason}." if row.reason else ""),
        "sent": f"{points}: sent to {place}.",
        "refused": f"{points}: not taken by {place}: {row.reason}. Please tell your teacher.",
    }
    text = texts[row.state]
    if row.overridden and row.shown is not None:
        text += f" It shows {row.shown:g}, which was entered there."
    return GradeNote(_STATES[row.state], text)
