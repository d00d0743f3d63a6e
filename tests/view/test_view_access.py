"""Whoever reads the view, and however: an accessibility checker finds nothing serious, in light, dark and narrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.view.conftest import picture
from tests.view.lab_site import STATIC, Site

AXE = Path(__file__).parents[2] / "labextension" / "node_modules" / "axe-core" / "axe.min.js"
ACTIVE = """() => {
    const active = document.querySelector('.labkit').shadowRoot.activeElement;
    return active?.ariaLabel || active?.textContent || active?.type;
}"""
themes = pytest.mark.parametrize("theme", ["light", "dark"])


def serious(page: Page) -> list[str]:
    """What axe-core finds that would keep somebody out, one line each."""
    page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate("async () => (await axe.run({iframes: false})).violations")
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {node['html']} {node['failureSummary']}" for one in grave for node in one["nodes"]]


def open_pane(page: Page) -> None:
    page.frame_locator("iframe").first.locator("#came").wait_for()


@themes
def test_the_first_page_has_no_serious_fault(lab_page: Page, theme: Any) -> None:
    lab_page.emulate_media(color_scheme=theme)
    open_pane(lab_page)
    picture(lab_page, f"first-{theme}")
    assert serious(lab_page) == []


@themes
def test_steps_done_checked_and_open_have_no_serious_fault(lab_page: Page, site: Site, theme: Any) -> None:
    site.lab.verdicts, site.lab.ticks = [("not_yet", "there is no index.html in /home/student.")], {"find", "see"}
    lab_page.emulate_media(color_scheme=theme)
    lab_page.get_by_role("button", name="2 · Reach the web server →").click()
    lab_page.get_by_role("button", name="Check").click()
    lab_page.get_by_role("button", name="Sign-in details").click()
    expect(lab_page.get_by_text("Not yet:")).to_be_visible()
    expect(lab_page.get_by_text("2 of 3 steps")).to_be_visible()
    picture(lab_page, f"steps-{theme}")
    assert serious(lab_page) == []


@themes
def test_a_stopped_lab_has_no_serious_fault(page: Page, site: Site, theme: Any) -> None:
    site.lab.state, site.lab.ticks = "stopped", {"find"}
    page.emulate_media(color_scheme=theme)
    page.goto(f"{site.url}/?fill")
    page.get_by_text("This lab has stopped").wait_for()
    picture(page, f"stopped-{theme}")
    assert serious(page) == []


@themes
def test_the_notebooks_widgets_have_no_serious_fault(page: Page, site: Site, theme: Any) -> None:
    page.goto(f"{site.url}/notebook.html")
    page.evaluate("theme => { document.body.dataset.jpThemeLight = String(theme === 'light') }", theme)
    page.get_by_role("heading", name="Look around").wait_for()
    open_pane(page)
    picture(page, f"notebook-{theme}")
    assert serious(page) == []


def test_in_a_narrow_column_the_machines_come_below_the_instructions(lab_page: Page) -> None:
    lab_page.set_viewport_size({"width": 600, "height": 900})
    open_pane(lab_page)
    text, machines = lab_page.get_by_role("article").bounding_box(), lab_page.locator(".machines").bounding_box()
    assert text is not None
    assert machines is not None
    picture(lab_page, "narrow")
    assert text["y"] + text["height"] <= machines["y"] + 1
    assert machines["height"] >= 340
    assert serious(lab_page) == []


def test_everything_is_reached_with_the_tab_key_in_the_order_of_reading(lab_page: Page) -> None:
    open_pane(lab_page)
    order = []
    for _ in range(11):
        lab_page.keyboard.press("Tab")
        order.append(lab_page.evaluate(ACTIVE))
    assert order.pop(0) == "One above the other"
    assert order[:3] == ["1 · 0/1 steps: Look around", "2 · 0/2 steps: Reach the web server", "3: What you learned"]
    assert order[3:] == [
        "Contents",
        "checkbox",
        "2 · Reach the web server →",
        "Width of the instructions",
        "client",
        "Terminal",
        "Console",
    ]


@pytest.mark.parametrize("name", ["labview.js", "labview-widget.js", "progress-widget.js"])
def test_a_bundle_stays_small_since_a_notebook_keeps_it(name: str) -> None:
    assert (STATIC / name).stat().st_size < 64_000
