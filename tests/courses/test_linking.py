"""Deep linking: labs that a teacher picks become activities of his course."""

from __future__ import annotations

import html
import re

import jwt
import pytest
import requests
from werkzeug.test import TestResponse

from labkit.errors import LabkitError
from labkit.settings import Settings
from labkit.store import Platform, SqliteStore
from lti_app.lti.keys import ToolKeys
from lti_app.lti.linking import Pick, response, window
from tests.courses.conftest import Visit, read, send
from tests.support.platform import Platform as Simulator

TEACHER, SAM = "3", "4"


def back(page: TestResponse) -> requests.Response:
    """Post what our page posts to the platform."""
    action = re.search(r'action="([^"]+)"', page.text)
    token = re.search(r'name="JWT" value="([^"]+)"', page.text)
    assert action
    assert token
    return requests.post(html.unescape(action[1]), data={"JWT": token[1]}, timeout=10)


def test_a_picked_lab_becomes_an_activity_that_learners_can_open(
    visit: Visit, moodle: Simulator, registered: Platform
) -> None:
    page = visit(TEACHER)
    assert 'value="hello-lab"' in page.text
    form = {
        "points.hello-lab": "25",
        "title.hello-lab": "Say hello",
        "due.hello-lab": "2026-12-01T10:00",
        "zone": "-60",
    }
    answer = send(page, "", lab="hello-lab", **form)
    assert moodle.origin in answer.headers["Content-Security-Policy"]
    assert back(answer).status_code == 200
    (item,) = moodle.linked
    assert item["custom"] == {"lab": "hello-lab", "due": "2026-12-01T09:00:00Z"}
    assert (item["lineItem"]["scoreMaximum"], "url" in item) == (25, False)
    activity = list(moodle.site.courses["2"].activities.values())[-1]
    assert "Say hello" in visit(SAM, activity=activity.id).text


def test_nothing_picked_is_an_answer_too(visit: Visit, moodle: Simulator, registered: Platform) -> None:
    assert back(send(visit(TEACHER), "", cancel="1")).status_code == 200
    assert moodle.linked == []


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"lab": "../etc"}, 404),
        ({"lab": "hello-lab", "points.hello-lab": "many"}, 422),
        ({"lab": "hello-lab", "points.hello-lab": "nan"}, 422),
        ({"lab": "hello-lab", "due.hello-lab": "2026-12-01T10:00", "closes.hello-lab": "2026-11-01T10:00"}, 422),
    ],
)
def test_what_cannot_be_is_refused(visit: Visit, registered: Platform, fields: dict[str, str], status: int) -> None:
    assert send(visit(TEACHER), "", **fields).status_code == status


@pytest.mark.parametrize("given", [{}, {"data": "kept by the platform"}])
def test_a_platforms_own_note_goes_back_as_it_came_where_there_was_one(
    settings: Settings, registered: Platform, given: dict[str, str]
) -> None:
    token = response(ToolKeys(settings), registered, "1", given, [])
    claims = jwt.decode(token, options={"verify_signature": False})
    assert [text for name, text in claims.items() if name.endswith("/data")] == list(given.values())


def test_a_platform_has_the_labs_that_the_operator_gives_it_and_no_others(
    visit: Visit, moodle: Simulator, registered: Platform, store: SqliteStore
) -> None:
    held = moodle.site.activity("2", "Hello", lab="hello-lab")
    store.set_platform(registered.id, templates=("two-*",))
    picker = visit("3").text
    assert ("two-machines" in picker, "hello-lab" in picker) == (True, False)
    refused = visit("4", activity=held.id)
    assert (refused.status_code, "not one that this course may use" in refused.text) == (404, True)


def test_a_lab_can_be_read_before_it_is_picked(visit: Visit, registered: Platform) -> None:
    page = visit(TEACHER)
    assert "<ol>" in read(page, "preview/hello-lab/index.html").text
    assert read(page, "preview/unknown/index.html").status_code == 404
    assert read(page, "preview/hello-lab/../../../lab.yaml").status_code == 404


def test_learners_cannot_add_activities(visit: Visit, moodle: Simulator, registered: Platform) -> None:
    moodle.site.courses["2"].teachers.remove(TEACHER)
    moodle.site.courses["2"].learners.append(TEACHER)
    assert visit(TEACHER).status_code == 403


@pytest.mark.parametrize(("name", "date"), [("opens", "2999-01-01T10:00:00Z"), ("closes", "2020-01-01T10:00:00Z")])
def test_a_lab_cannot_be_begun_before_its_activity_opens_or_after_it_has_closed(
    visit: Visit, moodle: Simulator, registered: Platform, name: str, date: str
) -> None:
    activity = moodle.site.activity("2", "Exam", lab="hello-lab", **{name: date})
    page = visit(SAM, activity=activity.id)
    answer = page.browser.ask(f"{page.request.path}start")  # type: ignore[attr-defined]
    assert (answer.status_code, date[:4] in answer.get_json()["error"]) == (409, True)


def test_line_breaks_add_no_parameters_and_dates_come_back() -> None:
    item = Pick("x", "A\nlab=y", "two\nlines", 1, {"opens": 0.0, "closes": 60.0}).item()
    assert (item["title"], item["text"]) == ("A lab=y", "two lines")
    assert window(item["custom"]) == {"opens": 0.0, "closes": 60.0}
    assert window({"due": "$Bogus.var", "opens": None, "closes": "soon"}) == {}
    with pytest.raises(LabkitError):
        Pick("x", "A", points=float("nan"))
