"""What the store keeps of grades on their way to a platform: the outbox.

A grade hangs on a work: the points that were counted for it, and how far they have come. Whatever changes a work's
points marks its grade in the same transaction, so that nothing can be lost between; it is counted anew, and sent where
that makes a difference. Where it goes, the launches say: to the line item of the activity's link, for the learner as
its course knows him. Nothing is ever sent for somebody who is not a learner there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from labkit.store.rows import WorkRow


@dataclass(frozen=True)
class GradeRow:
    """One grade. `given` of `maximum` points (None: nothing to send yet) with `comment`, in `version` (from 1).

    `platform` is our id, `line_item` an address, empty where the activity has no grade; `subject` and `role` are the
    learner's in that course. `state` is '' (nothing to send), waiting, sent or refused, and `reason` one sentence where
    something is wrong. `stamp` is the score's timestamp in UTC seconds: whole, and never the same twice. `due`: when it
    is next tried; `since`: since when it waits; `shown`: what the platform's gradebook showed last, in these points.
    """

    work: str
    platform: str
    line_item: str
    subject: str
    role: str
    given: float | None
    maximum: float
    comment: str
    version: int
    state: str
    reason: str
    stamp: int
    attempts: int
    due: float
    since: float
    sent: float | None
    shown: float | None

    @property
    def overridden(self) -> bool:
        """Whether the platform shows something else than was sent: a teacher's own word stands there."""
        if self.state != "sent" or self.shown is None or self.given is None:
            return False
        return abs(self.shown - self.given) > 0.01  # platforms round


class Grades(Protocol):
    """The outbox, and what instructors decide about steps."""

    def uncounted(self, most: int) -> list[tuple[str, int]]:
        """Works whose points may have changed, each with the mark up to which its changes are known."""

    def counted(self, work: str, mark: int, given: float | None, maximum: float, comment: str, now: float) -> None:
        """Keep what was counted, as a new version to send where it differs; a first one of 0 points is not sent."""

    def uncountable(self, work: str, mark: int, reason: str) -> None:
        """Keep why a work's points could not be counted."""

    def claim_grade(self, now: float, lease: float, paused: Collection[str] = ()) -> GradeRow | None:
        """The next grade to send, with a new stamp; None where there is none. It is the caller's for `lease` seconds:
        where nothing is heard of it by then, another try is made. Those for `paused` platforms (our ids) stay."""

    def grade_sent(self, row: GradeRow, now: float) -> None:
        """The platform has taken it. Without effect, here and below, where there is a newer version by now."""

    def grade_refused(self, row: GradeRow, reason: str) -> None:
        """The platform will not take it."""

    def grade_again(self, row: GradeRow, due: float, reason: str) -> None:
        """It could not be delivered, and is tried again then."""

    def send_again(self, work: str) -> bool:
        """Count a grade and send it, whatever became of it before. False where the work has none."""

    def grade_shown(self, work: str, points: float | None) -> None:
        """Keep what the platform's gradebook shows."""

    def grade(self, work: str) -> GradeRow | None: ...

    def grades(self, activity: str) -> Sequence[GradeRow]:
        """All grades of an activity."""

    def all_grades(self) -> Sequence[GradeRow]:
        """All grades there are, by when they are due."""

    def excuse(self, work: str, step: str, reason: str | None) -> None:
        """Take a step out of what counts, for a reason; with None, put it back."""

    def excused(self, work: str) -> Mapping[str, str]:
        """The steps that do not count for a work, each with the reason."""

    def attested_scores(self, work: str) -> Mapping[str, float]:
        """The best score (0..1) of each step among results that the learner had no way to write himself."""

    def works_in(self, activity: str, realm: str) -> Mapping[str, WorkRow]:
        """The works on an activity of people of a realm, by their subjects: also of those who never came themselves."""
