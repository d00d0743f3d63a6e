"""From a course on another site to a terminal, a passed check and a grade: in Chromium, over https, framed and in a
window, with the whole service behind a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, expect

from tests.support.engine import until
from tests.support.platform import Activity, Person
from tests.support.served import Served, running_service

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PICTURES = Path(__file__).parents[2] / "test-output" / "lti"
EVIL = "<script>document.title='evil'</script>"
LEARNER = "4"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with running_service(tls=tmp_path_factory.mktemp("tls")) as found:
        found.platform.site.people[LEARNER] = Person(LEARNER, EVIL, "Learner")
        yield found


@pytest.fixture(scope="module")
def activity(served: Served) -> Activity:
    return served.platform.site.activity("2", "Hello", lab="hello-lab")


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    found = browser.new_context(ignore_https_errors=True, viewport={"width": 1300, "height": 900})
    found.set_default_timeout(30_000)
    PICTURES.mkdir(parents=True, exist_ok=True)
    yield found
    found.close()


def works(place: FrameLocator | Page, page: Page, name: str, note: str) -> None:
    """Type into the terminal, have the step checked, and see it passed."""
    try:
        _works(place, page, name, note)
    finally:
        page.screenshot(path=PICTURES / f"{name}.png")


def _works(place: FrameLocator | Page, page: Page, name: str, note: str) -> None:
    expect(place.get_by_role("tab", name="box")).to_be_visible(timeout=90_000)
    terminal = place.frame_locator('iframe[title="box: Terminal"]')
    expect(terminal.locator(".xterm-rows")).to_contain_text("student@box", timeout=30_000)
    terminal.locator(".xterm-helper-textarea").focus()
    page.keyboard.type(note, delay=20)
    place.get_by_role("navigation", name="Pages").get_by_role("button").nth(1).click()
    place.get_by_role("button", name="Check", exact=True).first.click()
    expect(place.get_by_text("Passed.").first).to_be_visible(timeout=30_000)


def test_in_a_frame_of_another_site_text_is_pasted_and_the_grade_arrives_in_its_course(
    context: BrowserContext, served: Served, activity: Activity
) -> None:
    page, course = context.new_page(), served.platform
    page.goto(f"{course.origin}/frame?user={LEARNER}&course=2&activity={activity.id}")
    frame = page.frame_locator("#contentframe")
    works(frame, page, "frame", "hostname > ~/note.txt; echo done\n")
    terminal = frame.frame_locator('iframe[title="box: Terminal"]')
    terminal.get_by_role("button", name="Paste…").click()  # Moodle's frame lets no page read the clipboard
    terminal.get_by_role("textbox", name="Text").fill("echo $((111*271))\n")
    terminal.get_by_role("button", name="Type it").click()
    expect(terminal.locator(".xterm-rows")).to_contain_text("30081")
    (lab,) = served.home.json("list")
    assert (lab["template"], lab["state"]) == ("hello-lab", "running")
    (item,) = course.site.coupled("2", activity.id)
    until(lambda: item.shown(LEARNER))
    assert (served.origin[:6], course.origin[:6], page.title()) == ("https:", "https:", "Activity")
    page.close()


def test_in_a_new_window_the_same_lab_is_found_and_what_can_be_done_with_it_is_done(
    context: BrowserContext, served: Served, activity: Activity
) -> None:
    page = context.new_page()
    page.goto(served.platform.origin)
    item = page.get_by_role("listitem").filter(has_text=EVIL).first
    with context.expect_page() as opened:
        item.get_by_role("link", name="new window").click()
    window = opened.value
    works(window, window, "window", "echo again\n")
    assert len(served.home.json("list")) == 1
    window.set_viewport_size({"width": 820, "height": 1180})  # a tablet
    expect(window.get_by_role("button", name="Check", exact=True).first).to_be_in_viewport()
    window.screenshot(path=PICTURES / "tablet.png")
    window.get_by_role("button", name="Ask for help").click()
    expect(window.get_by_role("button", name="take it back")).to_be_visible()
    window.get_by_role("button", name="Pause", exact=True).click()
    expect(window.get_by_role("button", name="Go on")).to_be_visible(timeout=30_000)
    window.get_by_role("button", name="Go on").click()
    expect(window.get_by_role("button", name="Pause", exact=True)).to_be_visible(timeout=30_000)
    window.get_by_text("More…").click()
    window.get_by_role("button", name="End the lab…").click()
    window.get_by_role("button", name="Yes").click()
    expect(window.get_by_role("button", name="Start the lab again")).to_be_visible(timeout=30_000)
    expect(window.get_by_text("This lab has stopped")).to_be_visible()
    assert served.home.json("list") == []
