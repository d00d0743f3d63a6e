"""A browser, the site that hosts the lab view, and a page on it that must not complain on its console."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.view.lab_site import Site

OUTPUT = Path(__file__).parents[2] / "test-output" / "view"
PATIENCE = 20_000  # ms: how long a busy machine may take to draw what is asked for

expect.set_options(timeout=PATIENCE)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield site
    site.shutdown()
    thread.join()
    site.server_close()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """A page in a context of its own, 1300 x 820; broken policy, errors and unhandled rejections fail the test."""
    context = browser.new_context(
        viewport={"width": 1300, "height": 820}, permissions=["clipboard-read", "clipboard-write"]
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def lab_page(page: Page, site: Site) -> Page:
    """The lab view over HTTP, loaded and drawn."""
    page.goto(f"{site.url}/?fill")
    page.get_by_role("heading", name="Look around").wait_for()
    return page


def picture(page: Page, name: str) -> None:
    """Keep a picture for people to look at."""
    OUTPUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUTPUT / f"{name}.png")
