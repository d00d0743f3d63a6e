"""Pages: turning them, their images, code that can be copied."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.view.lab_site import Site

UNSEEN = """() => new Promise((resolve) => new IntersectionObserver((entries) => {
    if (!entries.at(-1).isIntersecting) resolve();
}).observe(document.querySelector('.labkit')))"""


def test_turning_the_page_shows_its_parts_and_where_one_is(lab_page: Page) -> None:
    lab_page.get_by_role("button", name="2 · Reach the web server →").click()
    expect(lab_page.get_by_role("heading", name="Reach the web server")).to_be_focused()
    expect(lab_page.get_by_text("Page 2 of 3 · about 10 minutes")).to_be_visible()
    lab_page.get_by_role("button", name="← 1 · Look around").click()
    expect(lab_page.get_by_role("heading", name="Look around")).to_be_visible()


def test_every_page_can_be_reached_at_once_and_says_how_much_of_it_is_done(lab_page: Page, site: Site) -> None:
    site.lab.ticks = {"find", "see"}
    pages = lab_page.get_by_role("navigation", name="Pages")
    expect(pages.get_by_role("button", name="1 ✓ done: Look around")).to_have_text("1 ✓")
    expect(pages.get_by_role("button", name="2 · 1/2 steps: Reach the web server")).to_have_text("2 · 1/2")
    pages.get_by_role("button", name="3: What you learned").click()
    expect(pages.locator("[aria-current=page]")).to_have_text("3")


def test_the_page_last_read_is_shown_again(lab_page: Page) -> None:
    lab_page.get_by_role("button", name="2 · Reach the web server →").click()
    lab_page.reload()
    expect(lab_page.get_by_role("heading", name="Reach the web server")).to_be_visible()


def test_images_come_through_the_transport(lab_page: Page, site: Site) -> None:
    image = lab_page.get_by_role("img", name="Two machines and a cable")
    expect(image).to_have_attribute("src", f"{site.url}/lab/media/net.svg")
    lab_page.wait_for_function("image => image.complete && image.naturalWidth === 300", arg=image.element_handle())


def test_code_is_copied_without_its_last_line_end(lab_page: Page) -> None:
    lab_page.get_by_role("button", name="2 · Reach the web server →").click()
    lab_page.get_by_role("button", name="Copy Code, bash").click()
    expect(lab_page.get_by_text("Copied").first).to_be_visible()
    assert lab_page.evaluate("navigator.clipboard.readText()") == "wget http://web/"


def test_the_grip_is_moved_by_arrow_keys_and_by_the_mouse(lab_page: Page) -> None:
    grip = lab_page.get_by_role("separator", name="Width of the instructions")
    grip.press("ArrowRight")
    expect(grip).to_have_attribute("aria-valuenow", "44")
    grip.hover()
    lab_page.mouse.down()
    lab_page.mouse.move(650, 400)
    lab_page.mouse.up()
    expect(grip).to_have_attribute("aria-valuenow", "50")


@pytest.fixture
def clocked(page: Page, site: Site) -> Page:
    """The lab view on a page whose clock the test moves."""
    page.clock.install()
    page.goto(f"{site.url}/?fill")
    page.get_by_role("heading", name="Look around").wait_for()
    return page


def test_a_view_that_is_seen_asks_every_two_seconds(clocked: Page) -> None:
    with clocked.expect_response("**/lab/status"):
        clocked.clock.run_for(2100)


def test_taking_the_view_away_leaves_nothing_and_asks_no_more(clocked: Page, site: Site) -> None:
    clocked.evaluate("window.unmount()")
    asked = len(site.lab.calls)
    clocked.clock.run_for(20_000)
    assert clocked.locator("#lab > *").count() == 0
    assert len(site.lab.calls) == asked


def test_a_view_that_nobody_sees_does_not_ask_until_it_is_seen_again(clocked: Page, site: Site) -> None:
    clocked.locator("#lab").evaluate("element => { element.style.display = 'none' }")
    clocked.evaluate(UNSEEN)
    asked = site.lab.count("status")
    clocked.clock.run_for(20_000)
    assert site.lab.count("status") == asked
    with clocked.expect_response("**/lab/status"):
        clocked.locator("#lab").evaluate("element => { element.style.display = '' }")
