"""Visits once they have begun: how long they last, what ends them, and whom a teacher sees from one."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from flask import Flask

from labkit.settings import Settings
from labkit.store import LinkRow, PlatformState, SqliteStore
from lti_app.application import create_app
from tests.lti.browser import Browser
from tests.lti.conftest import direct_labs
from tests.lti.platform import TOOL, MockPlatform


@pytest.mark.parametrize(("leeway", "ahead", "status"), [(5, 30, 400), (120, 100, 303), (0, -50, 303)])
def test_how_wrong_a_platforms_clock_may_be_is_a_setting(
    settings: Settings, store: SqliteStore, platform: MockPlatform, leeway: float, ahead: int, status: int
) -> None:
    own = replace(settings, launch_leeway=leeway)
    browser = Browser(create_app(own, direct_labs(own, store), store))
    now = int(time.time())
    assert browser.launch(platform, iat=now + ahead, exp=now + ahead + 60).status_code == status


def test_a_visit_lasts_as_many_hours_as_the_operator_says(
    settings: Settings, store: SqliteStore, platform: MockPlatform
) -> None:
    own = replace(settings, launch_hours=2.0)
    browser = Browser(create_app(own, direct_labs(own, store), store))
    address = browser.enter(platform)
    assert browser.get(address).status_code == 200
    launch = address.split("/")[2]
    store._write("UPDATE launch SET expires = expires - 7199 WHERE id = ?", launch)
    assert browser.get(address).status_code == 200
    store._write("UPDATE launch SET expires = expires - 1 WHERE id = ?", launch)
    assert browser.get(address).status_code == 403


def test_visits_from_a_platform_that_is_switched_off_are_over_until_it_is_on_again(
    browser: Browser, store: SqliteStore, platform: MockPlatform
) -> None:
    address, found = browser.enter(platform), platform.registered().id
    for state, status in ((PlatformState.OFF, 403), (PlatformState.PENDING, 403), (PlatformState.ACTIVE, 200)):
        store.set_platform(found, state=state)
        assert [browser.get(address).status_code, browser.ask(f"{address}state").status_code] == [status, status]


def link_of(store: SqliteStore, platform: MockPlatform, link: str) -> LinkRow:
    context = store.context_of(platform.registered().id, "1", "")
    assert context is not None
    found = store.link_of(context.id, link)
    assert found is not None
    return found


def test_a_teacher_who_comes_from_no_course_sees_only_who_has_worked_on_his_activity(
    app: Flask, store: SqliteStore, platform: MockPlatform
) -> None:
    for subject, link in (("40", "1"), ("41", "2")):
        Browser(app).enter(platform, sub=subject, name=f"Sam {subject}", context=None, resource_link={"id": link})
        row = link_of(store, platform, link)
        learner = next(one.learner for one in store.members(row.context) if one.subject == subject)
        store.work(learner, row.activity, row.template)
    teacher = Browser(app)
    address = teacher.enter(platform, "launch-teacher", context=None, resource_link={"id": "1"})
    page = teacher.get(f"{address}class/").text
    assert ("Sam 40" in page, "Sam 41" in page) == (True, False)
    headers = {"X-Labkit": "class", "Origin": TOOL}
    started = teacher.post(f"{address}class/labs/start", data={"subject": "41"}, headers=headers)
    assert (started.status_code, store.labs()) == (404, [])


@pytest.mark.parametrize("accepted", [None, 7, ["file"]])
def test_a_platform_that_takes_no_links_is_refused(browser: Browser, platform: MockPlatform, accepted: object) -> None:
    wanted = {"deep_link_return_url": f"{platform.url}/back", "accept_types": accepted}
    assert browser.launch(platform, "deep-linking-request", deep_linking_settings=wanted).status_code == 400
