"""Grades reach a platform that does as Moodle does, whatever goes wrong: nothing is lost, doubled or erased."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from labkit.model import CheckResult, Verdict
from labkit.orchestrator.grading import Grading
from labkit.orchestrator.template_source import TemplateSource
from labkit.settings import Settings
from labkit.store import GradeRow, LaunchRole, LaunchState, Link, LinkRow, NewLaunch, SqliteStore, WorkRow
from lti_app.lti import ags
from lti_app.lti.calls import Calls
from lti_app.lti.desk import Desk, note_of
from lti_app.lti.keys import ToolKeys
from lti_app.lti.outbox import Outbox
from tests.courses.conftest import as_registered
from tests.support.held import held_below
from tests.support.platform import LineItem, running_platform
from tests.support.platform import Platform as Simulator

LAB = """
apiVersion: labkit/v1
kind: Lab
name: graded
title: Graded
machines: [{name: a, type: container, image: {bundled: web}, memory: 64Mi, panes: []}]
"""
PAGE = "# Page\n\n## First {#first points=40}\n\nDo.\n\n## Second {#second points=60}\n\nDo.\n"


class Course:
    """A course with one graded activity, its learner with a lab, and an outbox with a clock of its own."""

    def __init__(self, store: SqliteStore, settings: Settings, moodle: Simulator) -> None:
        self.store, self.moodle, self.now = store, moodle, time.time()
        templates = settings.templates_dir / "graded"
        (templates / "instructions").mkdir(parents=True)
        (templates / "lab.yaml").write_text(LAB)
        (templates / "instructions" / "01-page.md").write_text(PAGE)
        for step in ("first", "second"):
            (templates / "checks" / step).mkdir(parents=True)
            (templates / "checks" / step / "check-a").write_text("#!/bin/sh\n")
        self.platform = as_registered(moodle)
        store.add_platform(self.platform)
        activity = moodle.site.activity("2", "Graded", lab="graded")
        self.item: LineItem = moodle.site.coupled("2", activity.id)[0]
        self.link = Link(activity.id, "Graded", "graded", moodle.services.url("2", self.item.id))
        self.keys = ToolKeys(settings)
        self.calls = Calls(self.keys, private=True, clock=self.clock)
        self.grading = Grading(store, TemplateSource(settings.templates_dir))
        self.outbox = self.new_outbox()

    def clock(self) -> float:
        self.moodle.offset = self.now - time.time()
        return self.now

    def new_outbox(self) -> Outbox:
        """A worker that knows nothing of the one before."""
        return Outbox(self.store, self.grading, self.calls, clock=self.clock, chance=lambda: 1.0, senders=1)

    def launch(self, user: str = "4", role: LaunchRole = LaunchRole.LEARNER, link: Link | None = None) -> WorkRow:
        """Have somebody launched, and his lab begun."""
        state = LaunchState(f"s{user}{time.time_ns()}", "n", "p1", "b", time.time() + 60)
        self.store.add_state(state, 1000)
        new = NewLaunch(self.platform, "1", "x", user, f"User {user}", role, "h", 60.0, "2", link=link or self.link)
        found = self.store.record_launch(state.state, new)
        assert found is not None
        row = self.store.link(found.link)
        assert row is not None
        self.row: LinkRow = row
        self.launched = found
        work = self.store.work(found.learner, row.activity, "graded")
        self.store.begin_lab(work, template="graded", digest="")
        return work

    def passes(self, work: WorkRow, step: str, *, score: float = 1.0, attested: bool = True, **more: str) -> None:
        """Record a check's result."""
        verdict = Verdict.PASSED if score == 1 else Verdict.NOT_YET
        result = CheckResult(step, verdict, "", self.now, attested, score=score, **{"digest": "old", **more})
        self.store.record_result(work.id, result)

    def grade(self, work: WorkRow) -> GradeRow:
        found = self.store.grade(work.id)
        assert found is not None
        return found


@pytest.fixture
def course(store: SqliteStore, settings: Settings, moodle: Simulator) -> Course:
    return Course(store, settings, moodle)


def test_an_outbox_that_works_for_long_holds_no_more_of_the_database_than_at_first(
    course: Course, settings: Settings
) -> None:
    outbox = Outbox(course.store, course.grading, course.calls, senders=4)
    held = []
    for _ in range(50):
        outbox.turn()
        held.append(len(held_below(settings.database.parent)))
    assert held[25] > 0
    assert held[-1] == held[25]  # by then each of the four has its connection


def test_points_arrive_with_a_comment_that_lists_the_steps(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.outbox.turn()
    assert course.item.shown("4") == 40
    assert course.item.comments["4"] == "First: 40 of 40\nSecond: 0 of 60"
    assert note_of(course.grade(work), "Moodle").text == "40 of 100 points: sent to Moodle."


def test_scores_of_one_second_get_timestamps_of_their_own(course: Course) -> None:
    work = course.launch()
    for step in ("first", "second"):
        course.passes(work, step)
        course.outbox.turn()
    assert [score for _, score, _ in course.item.taken] == [40, 100]
    stamps = [stamp for _, _, stamp in course.item.taken]
    assert stamps == sorted(set(stamps))


def test_nothing_is_sent_before_there_are_points_and_zero_is_sent_after(course: Course) -> None:
    work = course.launch()
    course.store.tick(work.id, "first", True)
    course.outbox.turn()
    assert course.moodle.asked("scores") == 0
    course.passes(work, "first", score=0.5)
    course.outbox.turn()
    course.grading.excuse(work.id, "second", "ill")
    course.store.open_hint(work.id, "h", 50)
    course.outbox.turn()
    assert [(score, course.item.comments["4"].splitlines()[1]) for _, score, _ in course.item.taken] == [
        (20, "Second: excused (ill)"),
        (0, "Second: excused (ill)"),
    ]


def test_what_a_learner_could_have_written_himself_is_not_graded(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first", attested=False)
    course.outbox.turn()
    assert course.moodle.asked("scores") == 0


@pytest.mark.parametrize("role", [LaunchRole.INSTRUCTOR, LaunchRole.OTHER])
def test_only_learners_are_graded(course: Course, role: LaunchRole) -> None:
    work = course.launch("3", role)
    course.passes(work, "first")
    course.outbox.turn()
    assert course.moodle.asked("scores") == 0


def test_who_is_no_learner_is_told_why_nothing_is_graded(course: Course) -> None:
    told = {}
    for role in (LaunchRole.INSTRUCTOR, LaunchRole.OTHER):
        course.launch("3", role)
        told[role] = Desk(course.store, course.calls, course.grading).note(course.launched).text
    assert "as a teacher" in told[LaunchRole.INSTRUCTOR]
    assert "does not name you as one of its learners" in told[LaunchRole.OTHER]


def test_a_platform_that_is_down_for_an_hour_gets_everything_once_it_is_back(course: Course) -> None:
    works = [course.launch(user) for user in ("4", "5")]
    course.moodle.down = True
    for minute in range(60):
        if minute in (1, 30):
            course.passes(works[0], "first" if minute == 1 else "second")
            course.passes(works[1], "first")
        course.now += 60
        course.outbox.turn()
    tried = len(course.moodle.seen)
    assert tried < 40
    assert note_of(course.grade(works[0]), "Moodle").state.value == "waiting"
    course.moodle.down = False
    course.now += 3600
    course.new_outbox().turn()
    assert sorted((user, score) for user, score, _ in course.item.taken) == [("4", 100), ("5", 40)]


def test_a_grade_that_a_teacher_has_overridden_is_shown_as_such_and_not_fought(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.outbox.turn()
    course.item.grades["4"].override = 90.0
    course.passes(work, "second", score=0.5)
    course.outbox.turn()
    assert note_of(course.grade(work), "Moodle").text == (
        "70 of 100 points: sent to Moodle. It shows 90, which was entered there."
    )
    course.now += 86400
    assert course.outbox.turn() == 0


def test_an_override_made_later_is_found_when_somebody_looks(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.outbox.turn()
    course.item.grades["4"].override = 12.0
    Desk(course.store, course.calls, course.grading).look(course.platform, course.row)
    assert note_of(course.grade(work), "Moodle").text.endswith("It shows 12, which was entered there.")


def test_all_pages_of_a_grade_book_are_read_and_one_that_fails_leaves_what_is_known(course: Course) -> None:
    works = [course.launch(user) for user in ("4", "5")]
    for work in works:
        course.passes(work, "first")
    course.outbox.turn()
    desk, course.moodle.services.page = Desk(course.store, course.calls, course.grading), 1
    for user in ("4", "5"):
        course.item.grades[user].override = 12.0
    desk.look(course.platform, course.row)
    course.moodle.fault("results", status=500)
    with pytest.raises(ags.ResultsRefused, match="500"):
        desk.look(course.platform, course.row)
    del course.item.grades["5"]
    desk.look(course.platform, course.row)
    assert [course.grade(work).shown for work in works] == [12, 12]


def test_results_of_odd_types_are_no_grades(course: Course, moodle: Simulator) -> None:
    odd = [7, {"userId": "4"}, {"userId": "5", "resultScore": True}, {"userId": "6", "resultScore": "9"}]
    moodle.fault("results", body=json.dumps([*odd, {"userId": "7", "resultScore": 1, "resultMaximum": "many"}]))
    assert ags.shown(course.calls, course.platform, course.link.line_item) == {"7": (1.0, 0.0)}


def test_a_line_item_elsewhere_gets_neither_a_score_nor_a_token(course: Course) -> None:
    with running_platform("http://tool.invalid") as stranger:
        work = course.launch(link=replace(course.link, line_item=stranger.services.url("2", "1")))
        course.passes(work, "first")
        course.outbox.turn()
        assert stranger.seen == []
    assert "not Moodle's" in course.grade(work).reason
    assert course.moodle.services.issued == 0


def test_a_new_line_item_gets_the_grade_anew(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.outbox.turn()
    other = course.moodle.site.item("2", "Other", 10)
    course.launch(link=replace(course.link, line_item=course.moodle.services.url("2", other.id)))
    course.outbox.turn()
    assert (other.shown("4"), course.grade(work).state) == (4, "sent")


def test_a_launch_that_names_no_line_item_changes_nothing(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.outbox.turn()
    course.launch("5", link=replace(course.link, line_item="", line_items="", scopes=()))
    assert course.row.line_item == course.link.line_item
    course.launch("5")
    assert (course.outbox.turn(), course.grade(work).state) == (0, "sent")


def test_grades_follow_the_line_item_even_one_that_came_while_another_lab_was_there(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.outbox.turn()
    other = course.moodle.site.item("2", "Other", 10)
    moved = replace(course.link, line_item=course.moodle.services.url("2", other.id))
    for link in (course.link, moved):
        course.launch("5", link=replace(link, template="another"))
    assert course.outbox.turn() == 0
    course.launch("5", link=moved)
    course.outbox.turn()
    course.launch("5")  # back to the first
    course.outbox.turn()
    assert (other.shown("4"), [score for _, score, _ in course.item.taken]) == (4, [40, 40])


def test_an_activity_without_a_line_item_waits_until_it_has_one(course: Course) -> None:
    work = course.launch(link=replace(course.link, line_item=""))
    course.passes(work, "first")
    course.outbox.turn()
    assert course.moodle.asked("scores") == 0
    course.launch()
    course.outbox.turn()
    assert course.item.shown("4") == 40


def test_a_refused_grade_is_sent_when_a_teacher_says_so(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.moodle.fault("scores", status=404)
    course.outbox.turn()
    assert course.store.send_again(work.id)
    course.outbox.turn()
    assert course.item.shown("4") == 40


def test_an_awarded_step_counts_and_names_its_reason(course: Course) -> None:
    work = course.launch()
    course.grading.award(work.id, "second", "Terry", "shown in class", 0.5)
    course.outbox.turn()
    assert course.item.shown("4") == 30
    assert course.store.progress(work.id).results["second"].feedback == "Awarded by Terry: shown in class"


def test_what_a_mended_check_says_counts_instead_of_what_older_contents_said(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.passes(work, "first", score=0.5, digest="new", replaces="old")
    course.passes(work, "first")  # in the same lab, by its own content
    course.outbox.turn()
    assert (course.item.shown("4"), course.store.progress(work.id).ticks) == (20, frozenset())
    course.passes(work, "first", score=0.25, digest="new", replaces="old")
    course.outbox.turn()
    assert course.item.shown("4") == 20  # the same content's best
    course.passes(work, "first", digest="newest")
    course.outbox.turn()
    assert (course.item.shown("4"), course.store.progress(work.id).ticks) == (40, frozenset({"first"}))


def test_what_a_teacher_awarded_stands_whatever_is_checked_again(course: Course) -> None:
    work = course.launch()
    course.grading.award(work.id, "first", "Terry", "shown in class")
    course.passes(work, "first", score=0.0, digest="new", replaces="old")
    course.outbox.turn()
    assert (course.item.shown("4"), course.store.progress(work.id).ticks) == (40, frozenset({"first"}))


def test_an_erased_learner_is_never_heard_of_again(course: Course) -> None:
    work = course.launch()
    course.passes(work, "first")
    course.store.forget(work.learner, anyway=True)
    assert course.outbox.turn() == 0


@pytest.mark.parametrize(
    ("given", "maximum"), [(float("nan"), 1), (float("inf"), 1), (-1, 1), (2, 1), (0, 0), (None, 1)]
)
def test_what_is_no_grade_is_not_sent(given: float | None, maximum: float) -> None:
    row = GradeRow("w", "p", "u", "4", "learner", given, maximum, "", 1, "waiting", "", 1, 0, 0, 0, None, None)
    with pytest.raises(ValueError, match="is no grade"):
        ags.score_of(row)
