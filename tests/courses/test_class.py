"""The class page: a teacher sees and helps his own course's learners, and nobody else's."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from labkit.model import CheckResult, Principal, Verdict
from labkit.orchestrator.grading import Grading
from labkit.orchestrator.template_source import TemplateSource
from labkit.settings import Settings
from labkit.store import LinkRow, Platform, SqliteStore, Terms, WorkRow
from lti_app.lti.calls import Calls
from lti_app.lti.keys import ToolKeys
from lti_app.lti.outbox import Outbox
from tests.courses.conftest import Visit, read, send
from tests.support.platform import Activity
from tests.support.platform import Platform as Simulator

TEACHER, SAM, SCRIPT, STRANGER = "3", "4", "5", "6"


@pytest.fixture
def activity(moodle: Simulator, registered: Platform) -> Activity:
    return moodle.site.activity("2", "Hello", lab="hello-lab")


def link_of(store: SqliteStore, course: str = "2") -> LinkRow:
    context = store.context_of("p1", "1", course)
    assert context is not None
    return store.links(context.id)[0]


def work_of(store: SqliteStore, subject: str = SAM, course: str = "2", terms: Terms = Terms()) -> WorkRow:  # noqa: B008 - frozen
    """The work of somebody who was launched, with a lab that waits for its start."""
    link = link_of(store, course)
    learner = next(one.learner for one in store.members(link.context) if one.subject == subject)
    work = store.work(learner, link.activity, "hello-lab")
    store.begin_lab(work, template="hello-lab", digest="", terms=terms)
    return work


def fails(store: SqliteStore, work: WorkRow, step: str, times: int = 1) -> None:
    for _ in range(times):
        store.record_result(work.id, CheckResult(step, Verdict.NOT_YET, "no file", time.time(), True))


def test_all_of_the_roster_is_shown_whoever_has_been_here(
    visit: Visit, activity: Activity, moodle: Simulator, store: SqliteStore
) -> None:
    moodle.services.page = 2
    page = visit(TEACHER, activity=activity.id)
    assert page.status_code == 200
    assert "Sam Ström" in page.text
    assert "Terry Teacher" not in page.text
    assert "&lt;script&gt;alert" in page.text
    assert "<script>alert" not in page.text
    assert moodle.asked("memberships") == 2


def test_a_roster_that_cannot_be_read_leaves_those_who_have_been_here(
    visit: Visit, activity: Activity, moodle: Simulator, store: SqliteStore
) -> None:
    visit(SAM, activity=activity.id)
    moodle.fault("memberships", status=500)
    page = visit(TEACHER, activity=activity.id)
    assert "The roster could not be read" in page.text
    assert "Sam Ström" in page.text
    assert "script" not in page.text.split('id="cards"')[1]


def test_who_asks_for_help_or_is_stuck_stands_out(visit: Visit, activity: Activity, store: SqliteStore) -> None:
    visit(SAM, activity=activity.id)
    visit(SCRIPT, activity=activity.id)
    store.raise_hand(work_of(store).id)
    fails(store, work_of(store, SCRIPT), "look", 3)
    page = visit(TEACHER, activity=activity.id)
    assert "asks for help, 0 min" in page.text
    assert 'data-is="hand live"' in page.text
    assert 'data-is="stuck live"' in page.text
    assert "3 tries" in page.text
    assert send(page, f"people/{work_of(store).learner}/answered").status_code == 303
    assert "asks for help" not in read(page, "").text


def test_labs_are_started_ahead_for_learners_who_have_not_come_yet(
    visit: Visit, activity: Activity, store: SqliteStore
) -> None:
    page = visit(TEACHER, activity=activity.id)
    assert send(page, "labs/start", subject=[SAM, SCRIPT]).status_code == 303
    started = {lab.id for lab in store.labs()}
    assert len(started) == 2
    visit(SAM, activity=activity.id)
    member = next(one for one in store.members(link_of(store).context) if one.subject == SAM)
    work = store.work_of(member.learner, link_of(store).activity)
    assert work is not None
    lab = store.lab_of_work(work.id)
    assert lab is not None
    assert lab.id in started
    assert [row.action for row in store.audit_log(last=9)].count("start for") == 2


def test_who_was_started_for_and_never_came_is_graded_all_the_same(
    visit: Visit, activity: Activity, app: Flask, moodle: Simulator, store: SqliteStore, settings: Settings
) -> None:
    send(visit(TEACHER, activity=activity.id), "labs/start", subject=SAM)
    grading = Grading(store, TemplateSource(settings.templates_dir))
    grading.award(store.labs()[0].work, "note", "Terry", "shown on paper")
    Outbox(store, grading, Calls(ToolKeys(settings), private=True), senders=1).turn()
    assert moodle.site.coupled("2", activity.id)[0].shown(SAM) == 40


def test_who_was_started_for_and_has_left_the_course_is_still_there_to_be_stopped(
    visit: Visit, activity: Activity, moodle: Simulator, store: SqliteStore, registered: Platform
) -> None:
    visit(TEACHER, activity=activity.id)
    learner = store.learner(Principal(registered.realm, SAM, "Sam"))
    work = store.work(learner, link_of(store).activity, "hello-lab")
    store.begin_lab(work, template="hello-lab", digest="", terms=Terms(wait=True))
    moodle.site.courses["2"].learners.remove(SAM)
    page = visit(TEACHER, activity=activity.id)
    assert read(page, f"people/{learner}/").status_code == 200
    assert f'data-subject="{SAM}"' in page.text
    assert send(page, "labs/stop", subject=SAM).status_code == 303


def test_of_learners_of_whom_one_is_unknown_none_is_started_for(
    visit: Visit, activity: Activity, store: SqliteStore
) -> None:
    page = visit(TEACHER, activity=activity.id)
    assert send(page, "labs/start", subject=[SAM, "77"]).status_code == 404
    assert store.labs() == []


def test_a_step_is_checked_again_and_grades_are_sent_again_for_a_class(
    visit: Visit, activity: Activity, store: SqliteStore, settings: Settings
) -> None:
    visit(SAM, activity=activity.id)
    visit(SCRIPT, activity=activity.id)
    page = visit(TEACHER, activity=activity.id)
    work = work_of(store, terms=Terms(wait=True))
    Grading(store, TemplateSource(settings.templates_dir)).award(work.id, "note", "Terry", "shown on paper")
    assert '<option value="note">' in page.text
    assert send(page, "labs/send", subject=SAM).status_code == 303
    assert "nothing to send" in send(page, "labs/send", subject=SCRIPT).text
    checked = send(page, "labs/check", subject=[SAM, SCRIPT], step="note").text
    assert "must be paused or running" in checked  # his lab still waits for its start
    assert "has no lab at the moment" in checked
    assert "has no check" in send(page, "labs/check", subject=SAM, step="other").text
    assert [row.action for row in store.audit_log(last=9) if row.action == "send"] == ["send"]


@pytest.mark.parametrize(
    ("subjects", "status"), [(["77"], 404), ([TEACHER], 409), ([], 404), ([str(n) for n in range(11)], 404)]
)
def test_labs_are_started_for_the_courses_own_learners_only(
    visit: Visit, activity: Activity, store: SqliteStore, subjects: list[str], status: int
) -> None:
    visit(TEACHER, activity=activity.id)
    page = visit(TEACHER, activity=activity.id)
    if subjects == [TEACHER]:
        work_of(store, TEACHER)
    assert send(page, "labs/start", subject=subjects).status_code == status
    assert not [lab for lab in store.labs() if lab.learner_name != "Terry Teacher"]


def test_a_request_that_is_not_from_our_own_page_changes_nothing(
    visit: Visit, activity: Activity, store: SqliteStore
) -> None:
    page = visit(TEACHER, activity=activity.id)
    assert send(page, "labs/start", subject=SAM, csrf="0" * 64).status_code == 403
    assert store.labs() == []


def test_a_form_of_our_own_page_is_taken_though_browsers_say_it_comes_from_nowhere(
    visit: Visit, activity: Activity, store: SqliteStore
) -> None:
    page = visit(TEACHER, activity=activity.id)
    assert send(page, "labs/start", subject=SAM, origin="null").status_code == 303
    assert send(page, "labs/start", subject=SCRIPT, origin="https://evil.example").status_code == 403
    assert "1</b><span>working" in read(page, "").text
    assert len(store.labs()) == 1


def paths(app: Flask, page: TestResponse, learner: str) -> list[tuple[str, str]]:
    """Every address that is for teachers, for one visit: (method, address)."""
    launch = page.request.path.split("/")[2]
    values = {"launch": launch, "learner": learner, "deed": "send", "name": "hello-lab", "file": "index.html"}
    values |= {"which": "draft", "method": "status", "path": "path.svg"}
    found = []
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            if rule.endpoint.startswith(("classroom.", "linking.", "authoring.", "watching.")):
                built = rule.build({name: values[name] for name in rule.arguments})
                assert built is not None
                found += [(method, built[1]) for method in rule.methods or () if method in ("GET", "POST")]
    return found


def test_no_address_of_the_class_is_open_to_learners(visit: Visit, activity: Activity, app: Flask) -> None:
    page = visit(SAM, activity=activity.id)
    found = paths(app, page, "any")
    assert len(found) > 10
    client = page.browser.client  # type: ignore[attr-defined]
    answers = {where: client.open(where[1], method=where[0], base_url="https://tool.example") for where in found}
    assert {answer.status_code for answer in answers.values()} == {403}


def test_no_teacher_reaches_another_courses_learner(
    visit: Visit, activity: Activity, app: Flask, moodle: Simulator, store: SqliteStore
) -> None:
    visit(SAM, activity=activity.id)
    learner = work_of(store).learner
    other = moodle.site.activity("3", "Other", lab="hello-lab")
    page = visit(STRANGER, "3", other.id)
    own = [path.split("/class")[1] for _, path in paths(app, page, learner) if learner in path]
    for path in own:
        got, posted = read(page, path.lstrip("/")), send(page, path.lstrip("/"), reason="x", step="hello")
        assert {got.status_code, posted.status_code} <= {404, 405}, path
    assert "people/" not in page.text


def test_a_record_says_what_was_done_and_lets_a_teacher_award_and_excuse(
    visit: Visit, activity: Activity, store: SqliteStore, settings: Settings
) -> None:
    visit(SAM, activity=activity.id)
    work = work_of(store)
    store.lab_ended(store.labs()[0].id)
    page = read(visit(TEACHER, activity=activity.id), f"people/{work.learner}/")
    step = page.text.split('name="step" value="')[3].split('"')[0]
    assert send(page, "award", step=step, reason="done on paper").status_code == 303
    assert send(page, "excuse", step=step, reason="").status_code == 422
    assert send(page, "excuse", step=step, reason="was ill").status_code == 303
    page = read(page, "")
    assert "Awarded by your teacher: done on paper" in page.text
    assert "excused: was ill" in page.text
    assert send(page, "count", step=step).status_code == 303
    assert "excused: was ill" not in read(page, "").text
    assert {"award", "excuse", "count"} <= {row.action for row in store.audit_log(last=9)}


def test_a_submission_review_leads_to_the_learners_record(visit: Visit, activity: Activity, store: SqliteStore) -> None:
    visit(SAM, activity=activity.id)
    work_of(store)
    store.lab_ended(store.labs()[0].id)
    page = visit(TEACHER, activity=activity.id, review=SAM)
    assert "<h1>Sam Ström</h1>" in page.text
    assert visit(SAM, activity=activity.id, review=SCRIPT).status_code == 403
    assert visit(TEACHER, activity=activity.id, review=SCRIPT).status_code == 404


def test_the_table_holds_no_formula(visit: Visit, activity: Activity, moodle: Simulator, store: SqliteStore) -> None:
    person = moodle.site.people[SAM]
    moodle.site.people[SAM] = type(person)(SAM, "=1+1", "")
    rows = list(csv.reader(io.StringIO(read(visit(TEACHER, activity=activity.id), "results.csv").text)))
    assert "'=1+1" in [row[0] for row in rows]
    assert {len(row) for row in rows} == {11}


def test_an_activity_without_a_lab_tells_the_teacher_what_to_do(
    visit: Visit, moodle: Simulator, registered: Platform, tmp_path: Path
) -> None:
    bare = moodle.site.activity("2", "Bare")
    assert "lab=NAME" in visit(TEACHER, activity=bare.id).text
