"""The learner's page in Chromium through `labkit serve`, in the frame of a course that is on another site."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from tests.support.engine import until
from tests.support.platform import Activity
from tests.support.served import Served, running_service

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]
PICTURES = Path(__file__).parents[2] / "test-output" / "lti"
SAM, OTHER = "4", "5"
UP = 90_000
LATE = """\
apiVersion: labkit/v1
kind: Lab
name: late
title: A machine in which nothing listens
machines:
  - {name: box, type: vm, image: {bundled: tiny}, memory: 256Mi, panes: [console], ready: {tcp: 9, timeout: 3s}}
"""


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """A service with room for one lab."""
    with running_service(most_labs=1) as found:
        folder = found.home.folder / "late"
        (folder / "instructions").mkdir(parents=True)
        (folder / "lab.yaml").write_text(LATE)
        (folder / "instructions/1-wait.md").write_text("# Wait\n\nFor it.\n")
        added = found.home.labkit("templates", "add", str(folder))
        assert added.returncode == 0, added.stderr
        yield found


@pytest.fixture(scope="module")
def hello(served: Served) -> Activity:
    return served.platform.site.activity("2", "Hello", lab="hello-lab")


@contextmanager
def opened(
    browser: Browser, served: Served, user: str, activity: str, name: str
) -> Iterator[tuple[Page, FrameLocator]]:
    """An activity in a person's own browser; afterwards a picture of it is kept."""
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.goto(f"{served.platform.origin}/frame?user={user}&course=2&activity={activity}")
    try:
        yield page, page.frame_locator("#contentframe")
    finally:
        PICTURES.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURES / f"served-{name}.png")
        context.close()


@pytest.fixture(scope="module")
def working(browser: Browser, served: Served, hello: Activity) -> Iterator[tuple[Page, FrameLocator]]:
    """Sam at his machine, once its terminal is there."""
    with opened(browser, served, SAM, hello.id, "works") as (page, frame):
        terminal = frame.frame_locator('iframe[title="box: Terminal"]')
        expect(terminal.locator(".xterm-rows")).to_contain_text("student@box", timeout=UP)
        yield page, frame


def checked(frame: FrameLocator) -> None:
    frame.get_by_role("navigation", name="Pages").get_by_role("button").nth(1).click()
    frame.get_by_role("button", name="Check", exact=True).first.click()


def agreed(frame: FrameLocator, what: str) -> None:
    """One of the things under More…, and yes to the question."""
    frame.get_by_text("More…").click()
    frame.get_by_role("button", name=what).click()
    frame.get_by_role("button", name="Yes").click()


def test_a_start_that_fails_says_why_on_its_card_and_can_be_tried_again(browser: Browser, served: Served) -> None:
    late = served.platform.site.activity("2", "Late", lab="late")
    with opened(browser, served, SAM, late.id, "failed") as (_, frame):
        again = frame.get_by_role("button", name="Try again")
        expect(again).to_be_visible(timeout=UP)
        expect(frame.locator('.start[data-state="failed"]')).to_contain_text("box")
        expect(frame.get_by_role("alert")).to_contain_text("box")
        again.click()
        expect(frame.locator('.start[data-state="running"]')).to_be_visible()
        expect(again).to_be_visible(timeout=UP)


def test_a_platform_that_is_not_registered_is_told_so_in_its_frame(browser: Browser, served: Served) -> None:
    known, served.platform.client = served.platform.client, "stranger"
    try:
        with opened(browser, served, SAM, "", "stranger") as (_, frame):
            expect(frame.get_by_text("Your learning platform is not registered here")).to_be_visible()
    finally:
        served.platform.client = known


def test_a_check_passes_and_its_grade_arrives_in_the_course(
    served: Served, hello: Activity, working: tuple[Page, FrameLocator]
) -> None:
    page, frame = working
    frame.frame_locator('iframe[title="box: Terminal"]').locator(".xterm-helper-textarea").focus()
    page.keyboard.type("hostname > ~/note.txt; echo done\n", delay=20)
    checked(frame)
    expect(frame.get_by_text("Passed.").first).to_be_visible(timeout=30_000)
    (item,) = served.platform.site.coupled("2", hello.id)
    until(lambda: item.taken)
    assert [user for user, points, _ in item.taken if points > 0] == [SAM]
    expect(frame.get_by_text("sent to Course")).to_be_visible(timeout=10_000)


def test_the_lab_lives_half_an_hour_longer_where_that_is_asked_for(
    served: Served, working: tuple[Page, FrameLocator]
) -> None:
    _, frame = working
    (before,) = served.home.json("list")
    frame.get_by_role("button", name="30 minutes more").click()
    expect(frame.get_by_text(re.compile(r"2 h (2\d|30) min left"))).to_be_visible()
    (after,) = served.home.json("list")
    assert after["ends"] - before["ends"] >= 1700


def test_another_learner_sees_his_place_in_the_queue_and_his_lab_starts_when_there_is_room(
    browser: Browser, served: Served, hello: Activity, working: tuple[Page, FrameLocator]
) -> None:
    _, frame = working
    with opened(browser, served, OTHER, hello.id, "queue") as (_, waiting):
        expect(waiting.get_by_text("this lab is number 1 in the queue").first).to_be_visible()
        agreed(frame, "Reset the whole lab…")
        expect(frame.frame_locator('iframe[title="box: Terminal"]').locator(".xterm-rows")).to_contain_text(
            "student@box", timeout=UP
        )
        checked(frame)
        expect(frame.get_by_text("There is no file note.txt").first).to_be_visible(timeout=UP)
        agreed(frame, "End the lab…")
        expect(frame.get_by_role("button", name="Start the lab again")).to_be_visible(timeout=30_000)
        expect(waiting.get_by_role("tab", name="box")).to_be_visible(timeout=UP)
    (item,) = served.platform.site.coupled("2", hello.id)
    assert (item.shown(SAM) or 0) > 0
