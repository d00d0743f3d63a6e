"""A class, from its start to its end, as a teacher clicks through it in Chromium: a service, machines, a course."""

from __future__ import annotations

import csv
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.engine import until
from tests.support.home import LABKIT, new_home
from tests.support.platform import running_platform

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PICTURES = Path(__file__).parents[2] / "test-output" / "class"
TEACHER = "3"


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def course() -> Iterator[str]:
    """The address by which the course's teacher opens the activity in a window of its own."""
    home, port = new_home(), free_port()
    tool = f"http://localhost:{port}"
    own = {"LABKIT_PUBLIC_URL": tool, "LABKIT_PRIVATE_PLATFORMS": "true"}
    with running_platform(tool) as moodle:
        add = ("lti", "platforms", "add", moodle.origin, "--client-id", moodle.client, "--deployment", "1")
        assert home.labkit(*add, **own).returncode == 0
        activity = moodle.site.activity("2", "Hello", lab="hello-lab")
        with subprocess.Popen([LABKIT, "serve", "--port", str(port)], env={**home.environment, **own}) as service:
            until(lambda: answers(f"{tool}/readyz"), 60)
            yield f"{moodle.origin}/begin?user={TEACHER}&course=2&activity={activity.id}"
            service.terminate()
    home.end()


def answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=2).ok
    except requests.RequestException:
        return False


@pytest.fixture(scope="module")
def page(browser: Browser, course: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    page.set_default_timeout(30_000)
    page.goto(course)
    PICTURES.mkdir(parents=True, exist_ok=True)
    yield page
    page.screenshot(path=PICTURES / "last.png")
    context.close()


def sam(page: Page) -> Locator:
    return page.get_by_role("region", name="Sam Ström")


def test_labs_are_started_for_all_and_run(page: Page) -> None:
    page.get_by_role("button", name="Start for all").click()
    expect(page.get_by_role("status")).to_have_text("start: 2 of 2")
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(2)
    expect(page.get_by_role("img", name="The learner's screen")).to_have_count(2, timeout=150_000)
    page.screenshot(path=PICTURES / "running.png")


def test_all_are_given_more_time(page: Page) -> None:
    page.get_by_role("button", name="Extend all").click()
    expect(page.get_by_role("status")).to_have_text("extend: 2 of 2")


def test_a_step_is_checked_again_and_who_fails_thrice_is_stuck(page: Page) -> None:
    page.get_by_role("link", name="Sam Ström").click()
    for title in ("Look around in the terminal", "Sign in on the console"):
        row = page.get_by_role("row", name=title)
        row.get_by_placeholder("why it is awarded").fill("seen in class")
        row.get_by_role("button", name="Award").click()
        expect(row.get_by_text("Awarded by your teacher")).to_be_visible()
    for number in range(1, 4):
        page.get_by_role("button", name="Check again").click()
        until(lambda number=number: tried(page) == number, 60)  # type: ignore[misc]
    expect(page.get_by_role("cell", name="There is no file note.txt")).to_be_visible()
    page.get_by_role("link", name="The class").click()
    page.get_by_label("Show").select_option("stuck")
    expect(sam(page)).to_be_visible()
    expect(page.get_by_role("region")).to_have_count(1)
    page.screenshot(path=PICTURES / "stuck.png")
    page.get_by_label("Show").select_option("")
    expect(page.get_by_role("region")).to_have_count(2)


def tried(page: Page) -> int:
    page.reload()
    return page.locator("li", has_text="note: not yet").count()


def test_a_learners_page_is_seen_and_its_buttons_are_refused(page: Page) -> None:
    page.get_by_role("link", name="Sam Ström").click()
    page.get_by_role("link", name="See the page").click()
    expect(page.get_by_role("tab", name="box")).to_be_visible()
    page.get_by_role("navigation", name="Pages").get_by_role("button").nth(1).click()
    page.get_by_role("button", name="Check", exact=True).first.click()
    expect(page.get_by_text("you can look at it, and change nothing").first).to_be_visible()
    page.screenshot(path=PICTURES / "watched.png")
    page.get_by_role("link", name="Back to the record").click()
    page.get_by_role("link", name="The class").click()


def test_the_class_is_exported(page: Page, tmp_path: Path) -> None:
    with page.expect_download() as found:
        page.get_by_role("link", name="Export CSV").click()
    found.value.save_as(tmp_path / "class.csv")
    with (tmp_path / "class.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["user id"], row["tries"]) for row in rows if row["name"] == "Sam Ström"] == [("4", "3")]
    assert len(rows) == 2


def test_all_labs_are_stopped_once_it_is_confirmed(page: Page) -> None:
    page.once("dialog", lambda asked: asked.accept())
    page.get_by_role("button", name="Stop all").click()
    expect(page.get_by_role("status")).to_have_text("stop: 2 of 2")
    expect(page.get_by_text("stopped")).to_have_count(2, timeout=60_000)
