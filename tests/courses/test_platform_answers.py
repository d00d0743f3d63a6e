"""What a platform's answers to scores mean: which pass, which are for ever, and how long it is left alone."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from labkit.settings import Settings
from labkit.store import GradeRow, SqliteStore, WorkRow
from lti_app.lti import ags
from lti_app.lti.calls import Calls
from lti_app.lti.desk import note_of
from lti_app.lti.outbound import Answer
from lti_app.lti.outbox import LEASE, pause
from tests.courses.test_outbox import Course
from tests.support.platform import Platform as Simulator


@pytest.fixture
def course(store: SqliteStore, settings: Settings, moodle: Simulator) -> Course:
    return Course(store, settings, moodle)


@pytest.mark.parametrize("status", [302, 303, 307, 408, 429, 500, 503])
def test_what_may_pass_is_tried_again_and_nobody_is_followed_elsewhere(course: Course, status: int) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.moodle.fault("scores", status=status, headers={"Location": f"{course.moodle.origin}/elsewhere"})
    course.outbox.turn()
    assert course.moodle.asked("elsewhere") == 0
    assert (course.grade(work).state, course.item.shown("4")) == ("waiting", None)
    course.now += pause(0, 1.0)
    course.outbox.turn()
    assert course.item.shown("4") == 40


@pytest.mark.parametrize(("asked", "waits"), [("90", 90), ("999999", 3600), ("soon", 0), ("-5", 0), ("²", 0)])
def test_a_platform_that_asks_to_be_left_alone_is_so_for_all_its_grades(
    course: Course, asked: str, waits: float
) -> None:
    works = [course.launch(user) for user in ("4", "5")]
    course.passes(works[0], "first")
    course.moodle.fault("scores", status=503, headers={"Retry-After": asked})
    course.outbox.turn()
    course.passes(works[1], "first")
    course.now += max(waits - 1, 0)
    course.outbox.turn()
    assert (course.item.shown("4"), course.item.shown("5")) == (None, None if waits else 40)
    course.now += max(pause(0, 1.0), 2)
    course.outbox.turn()
    assert (course.item.shown("4"), course.item.shown("5")) == (40, 40)


def test_when_a_platform_may_be_asked_again_may_be_a_date() -> None:
    at = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
    told = {"Retry-After": "Sat, 21 Nov 2026 12:01:30 GMT"}
    assert [ags.judged(Answer(503, told, b""), now).wait for now in (at, at + 100, at - 9000)] == [90, 0, 3600]


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_what_will_not_pass_is_refused_and_says_why(course: Course, status: int) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.moodle.fault("scores", status=status, times=9)
    course.outbox.turn()
    course.now += 86400
    course.outbox.turn()
    assert course.moodle.asked("scores") == 1
    assert str(status) in note_of(course.grade(work), "Moodle").text


def test_a_score_whose_answer_was_lost_counts_once(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.moodle.fault("scores", after=True)
    course.outbox.turn()
    assert course.item.shown("4") == 40
    course.now += pause(0, 1.0)
    course.outbox.turn()
    assert (course.item.shown("4"), course.grade(work).state) == (40, "sent")


def test_a_worker_killed_in_mid_grade_leaves_it_to_the_next_one(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.grading.count_all(course.now)
    claimed = course.store.claim_grade(course.now, LEASE)  # and then the power failed
    assert claimed is not None
    ags.send(course.calls, course.platform, claimed)
    assert course.new_outbox().turn() == 0
    course.passes(work, "second")
    course.new_outbox().turn()
    assert (course.item.shown("4"), course.grade(work).state) == (100, "sent")
    course.now += LEASE
    assert course.new_outbox().turn() == 0


def test_a_refused_token_is_renewed_once_and_tokens_are_kept_otherwise(course: Course) -> None:
    work = course.launch()
    for step in ("first", "second"):
        course.passes(work, step)
        course.outbox.turn()
    assert course.moodle.services.issued == 2  # one to send, one to read
    course.moodle.services.tokens.clear()
    course.store.send_again(work.id)
    course.outbox.turn()
    assert (course.moodle.services.issued, course.grade(work).state) == (4, "sent")


def test_a_token_that_is_refused_though_it_is_new_ends_in_a_refusal(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.moodle.fault("scores", status=401, times=9)
    course.outbox.turn()
    assert (course.moodle.asked("scores"), course.moodle.services.issued) == (2, 2)
    assert "does not let this tool send grades" in note_of(course.grade(work), "Moodle").text


@pytest.mark.parametrize("where", ["scores", "token"])
@pytest.mark.parametrize("how", [{"seconds": 1.0}, {"body": "{" + " " * 80, "drip": 0.02}], ids=["silence", "a drip"])
def test_a_platform_that_takes_too_long_is_tried_again(course: Course, where: str, how: dict[str, float]) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.moodle.fault(where, **how)
    course.calls = Calls(course.keys, private=True, clock=course.clock, seconds=0.3)
    begun = time.monotonic()
    course.new_outbox().turn()
    assert (course.grade(work).state, time.monotonic() - begun < 0.9) == ("waiting", True)
    course.now += pause(0, 1.0)
    course.new_outbox().turn()
    assert (course.item.shown("4"), course.grade(work).state) == (40, "sent")


def test_a_platform_that_fails_is_left_alone_whosever_grades_they_are(course: Course) -> None:
    for user in ("4", "5", "3"):
        for turn in range(2):
            work = course.launch(user, link=replace(course.link, link=f"{course.link.link}.{turn}"))
            course.passes(work, "first")
    course.moodle.fault("scores", status=500, times=99)
    course.outbox.turn()
    assert course.moodle.asked("scores") == 3


def test_waits_grow_to_half_an_hour_and_are_shortened_by_half_at_most() -> None:
    assert [pause(attempts, 1.0) for attempts in (0, 1, 3, 99)] == [5, 10, 40, 1800]
    assert [pause(attempts, 0.0) for attempts in (0, 1, 3, 99)] == [2.5, 5, 20, 900]


def test_a_platform_that_gives_no_token_is_asked_again_later(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.moodle.fault("token", status=400)
    course.outbox.turn()
    assert "gives no token" in course.grade(work).reason
    course.now += pause(0, 1.0)
    course.outbox.turn()
    assert course.item.shown("4") == 40


def test_a_newer_grade_at_the_platform_stays_and_is_told(course: Course) -> None:
    work = course.launch()
    ahead = replace_stamp(course, work, 3600)
    course.passes(work, "first")
    course.outbox.turn()
    row = course.grade(work)
    assert (row.state, course.item.shown("4"), ahead.stamp > row.stamp) == ("refused", 70, True)
    assert "newer grade" in note_of(row, "Moodle").text


def test_a_newer_grade_at_the_platform_that_says_the_same_has_arrived(course: Course) -> None:
    work = course.launch()
    replace_stamp(course, work, 3600, given=40.0)
    course.passes(work, "first")
    course.outbox.turn()
    assert (course.grade(work).state, course.moodle.asked("scores")) == ("sent", 2)


def replace_stamp(course: Course, work: WorkRow, ahead: int, given: float = 70.0) -> GradeRow:
    """Have another tool's score from the future in the gradebook."""
    row = GradeRow(work.id, "p1", course.link.line_item, "4", "learner", given, 100.0, "", 1, "waiting", "",
                   int(course.now) + ahead, 0, 0, 0, None, None)  # fmt: skip
    ags.send(course.calls, course.platform, row)
    return row
