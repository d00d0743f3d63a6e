"""The two widgets in a host of anywidgets: the comm's messages, a kernel that is gone, the start's progress."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.support.home import eventually
from tests.view.lab_site import Site

GONE = "The notebook's kernel does not answer."


@pytest.fixture
def notebook(page: Page, site: Site) -> Page:
    page.clock.install()
    page.goto(f"{site.url}/notebook.html?lab")
    page.get_by_role("heading", name="Look around").wait_for()
    return page


def alone(page: Page, site: Site, show: dict[str, str]) -> Page:
    """A part of the lab in a cell of its own."""
    page.goto(f"{site.url}/notebook.html?lab#{quote(json.dumps(show))}")
    return page


def test_a_step_alone_has_its_text_its_tick_and_its_check_and_no_machines_until_it_needs_one(
    page: Page, site: Site
) -> None:
    site.lab.verdicts = [("not_yet", "It is not there.")]
    alone(page, site, {"step": "fetch"}).get_by_role("button", name="Check", exact=True).click()
    expect(page.get_by_text("Not yet: It is not there.")).to_be_visible()
    expect(page.locator("h1, .tabs:visible, iframe")).to_have_count(0)
    page.get_by_role("button", name="Run in client").click()
    expect(page.locator("iframe")).to_have_attribute("title", "client: Terminal")


def test_a_pane_alone_has_no_instructions_and_no_other_panes(page: Page, site: Site) -> None:
    alone(page, site, {"pane": "web:console"})
    expect(page.locator("iframe")).to_have_attribute("title", "web: Console")
    expect(page.locator("article, h1")).to_have_count(0)
    expect(page.get_by_role("tab", name="client")).to_be_hidden()


def test_instructions_stand_above_the_machines_where_the_learner_wants_it_also_after_a_reload(notebook: Page) -> None:
    article, machines = notebook.locator("article"), notebook.locator(".machines")
    assert article.bounding_box()["y"] == machines.bounding_box()["y"]  # type: ignore[index]
    notebook.get_by_role("button", name="One above the other").click()
    notebook.reload()
    notebook.get_by_role("button", name="Side by side").wait_for()
    assert article.bounding_box()["y"] < machines.bounding_box()["y"]  # type: ignore[index]


def test_the_time_left_is_shown_and_can_be_more(page: Page, site: Site) -> None:
    site.lab.ends = time.time() + 45 * 60 + 20
    page.goto(f"{site.url}/notebook.html?lab")
    expect(page.get_by_text("45 min left")).to_be_visible()
    page.get_by_role("button", name="30 minutes more").click()
    expect(page.get_by_text("1 h 15 min left")).to_be_visible()


def test_a_pane_is_loaded_anew_with_a_fresh_ticket(notebook: Page) -> None:
    expect(notebook.locator("iframe")).to_have_attribute("src", re.compile("ticket-1$"))
    notebook.get_by_role("button", name="Reload").click()
    expect(notebook.locator("iframe")).to_have_attribute("src", re.compile("ticket-2$"))


def test_a_tick_goes_over_the_comm(notebook: Page, site: Site) -> None:
    notebook.get_by_role("checkbox", name="Find the address of web").check()
    expect(notebook.get_by_text("1 of 3 steps")).to_be_visible()
    assert site.lab.ticks == {"find"}


def test_an_image_comes_as_bytes_over_the_comm(notebook: Page) -> None:
    image = notebook.get_by_role("img", name="Two machines and a cable")
    notebook.wait_for_function(
        "image => image.src.startsWith('blob:') && image.naturalWidth === 300", arg=image.element_handle()
    )


def test_panes_are_below_the_jupyter_servers_own_address(notebook: Page, site: Site) -> None:
    address = f"{site.url}/user/me/labkit/panes/alab/client/terminal/#ticket=ticket-1"
    expect(notebook.locator("iframe")).to_have_attribute("src", address)


def test_where_the_page_is_not_jupyters_own_the_panes_place_says_what_to_do(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/elsewhere.html?lab")
    expect(page.get_by_text("Panes cannot be shown here: they need JupyterLab or a browser.")).to_be_visible()
    expect(page.get_by_role("checkbox", name="Find the address of web")).to_be_enabled()
    link = page.get_by_role("link", name="Open client: Terminal in a browser on the computer that runs this notebook")
    expect(link).to_have_attribute("href", "http://127.0.0.1:8765/panes/alab/client/terminal/#ticket=ticket-1")
    expect(link).to_have_attribute("target", "_blank")


def test_where_no_gateway_says_where_it_is_there_is_no_link_until_one_does(page: Page, site: Site) -> None:
    page.clock.install()
    page.goto(f"{site.url}/elsewhere.html?lab")
    link = page.get_by_role("link", name="Open client: Terminal in a browser")
    expect(link).to_be_visible()
    known, site.lab.direct = site.lab.direct, ""
    page.clock.fast_forward(3_600_000)
    expect(link).to_have_count(0)
    site.lab.direct = known
    page.get_by_role("button", name="Try again").click()
    expect(link).to_be_visible()


def test_a_links_ticket_that_could_not_be_made_anew_is_asked_for_again_soon(page: Page, site: Site) -> None:
    page.clock.install()
    page.goto(f"{site.url}/elsewhere.html?lab")
    link = page.get_by_role("link", name="Open client: Terminal in a browser")
    expect(link).to_have_attribute("href", re.compile("ticket-1$"))
    site.lab.refusals["pane_link"] = "not now"
    page.clock.fast_forward(3_600_000)
    for _ in eventually("the link is asked for anew"):
        if site.lab.count("pane_link") > 1:
            break
    site.lab.refusals.clear()
    for _ in eventually("it is made anew"):
        page.clock.fast_forward(15_000)
        if str(link.get_attribute("href")).endswith("ticket-3"):
            break


def test_an_event_from_the_kernel_is_looked_into_at_once(notebook: Page, site: Site) -> None:
    site.lab.ticks.add("find")
    notebook.evaluate("labModel.emit('msg:custom', {event: {changed: 'progress'}})")
    expect(notebook.get_by_text("1 of 3 steps")).to_be_visible()


def test_a_closed_comm_is_said_calmly_with_the_remedy(notebook: Page) -> None:
    notebook.evaluate("window.kernel = 'dead'")
    notebook.clock.fast_forward(3000)
    expect(notebook.get_by_text(f"{GONE} Run the cell again to reconnect.")).to_be_visible()
    expect(notebook.get_by_role("heading", name="Look around")).to_be_visible()


def test_a_kernel_that_does_not_answer_is_said_and_forgotten_when_it_does(notebook: Page) -> None:
    notebook.evaluate("window.kernel = 'busy'")
    notebook.clock.run_for(20_000)
    expect(notebook.get_by_text(GONE)).to_be_visible()
    notebook.evaluate("window.kernel = 'live'")
    notebook.clock.run_for(20_000)
    expect(notebook.get_by_text(GONE)).to_be_hidden()


def test_a_service_that_is_gone_is_said_in_its_own_words(lab_page: Page) -> None:
    lab_page.route("**/lab/*", lambda route: route.abort())
    expect(lab_page.get_by_text("The lab service does not answer. Trying again…")).to_be_visible()


def test_a_service_that_refuses_to_say_how_the_lab_is_is_heard_too(lab_page: Page) -> None:
    lab_page.route("**/lab/status", lambda route: route.fulfill(status=403, json={"error": "Sign in again."}))
    expect(lab_page.get_by_text("Sign in again.")).to_be_visible()
    lab_page.unroute("**/lab/status")
    expect(lab_page.get_by_text("Sign in again.")).to_be_hidden()


def test_the_theme_of_jupyterlab_decides_and_a_change_is_followed(notebook: Page) -> None:
    notebook.emulate_media(color_scheme="dark")
    expect(notebook.locator(".labkit")).to_have_attribute("data-theme", "light")
    notebook.evaluate("document.body.dataset.jpThemeLight = 'false'")
    expect(notebook.locator(".labkit")).to_have_attribute("data-theme", "dark")


def test_keys_pressed_in_the_view_are_no_notebook_commands(notebook: Page) -> None:
    expect(notebook.locator(".labkit")).to_have_attribute("data-lm-suppress-shortcuts", "true")


def test_taking_the_widget_away_leaves_no_listener_behind(notebook: Page) -> None:
    notebook.evaluate("window.unmount()")
    assert notebook.evaluate("labModel.handlers.get('msg:custom').length") == 0
    assert notebook.locator(".labkit").count() == 0


@pytest.fixture
def start(page: Page, site: Site) -> Page:
    page.goto(f"{site.url}/notebook.html?start")
    return page


def test_a_start_shows_a_labelled_bar_and_the_stages_done(start: Page) -> None:
    bar = start.get_by_role("progressbar", name="Starting hello-lab")
    expect(bar).to_have_attribute("aria-valuenow", "40")
    expect(bar).to_have_attribute("aria-valuetext", "40 percent: Making the machine")
    expect(start.get_by_role("status")).to_have_text("Making the machine")
    expect(start.get_by_role("listitem")).to_have_text(["The lab has its place0.0 s", "The network is there1.2 s"])


def test_a_stage_may_say_more_as_it_goes_on(start: Page) -> None:
    start.evaluate("startModel.set({events: [{text: 'The lab has its place', time: 100}, {text: 'Ready', time: 103}]})")
    expect(start.get_by_role("listitem")).to_have_text(["The lab has its place0.0 s", "Ready3.0 s"])


def test_a_finished_start_folds_its_stages_away(start: Page) -> None:
    start.evaluate("startModel.set({state: 'done', progress: 1, stage_text: 'The lab is ready.'})")
    expect(start.get_by_text("Done", exact=True)).to_be_visible()
    expect(start.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    expect(start.get_by_text("2 stages, 1.2 s")).to_be_visible()
    expect(start.get_by_text("The network is there")).to_be_hidden()


def test_a_failed_start_gives_its_reason_as_text(start: Page) -> None:
    start.evaluate("startModel.set({state: 'failed', detail: '<b>QEMU</b> is missing.'})")
    expect(start.get_by_role("status")).to_have_text("<b>QEMU</b> is missing.")
    expect(start.get_by_text("The network is there")).to_be_visible()
