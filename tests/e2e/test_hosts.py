"""One lab in Chromium from start to stop, wherever a notebook can be: Notebook 7, Voila, JupyterLab under a Hub."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from tests.e2e.test_jupyterlab import frame_of
from tests.hub.hubs import OWN_ENGINES, running_hub
from tests.support.home import Home, eventually, new_home
from tests.support.jupyter import TOKEN, running_jupyter

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]
CELLS = ('import labkit\nlab = labkit.start("hello-lab")', "lab.stop()")
BUTTON = 'import ipywidgets\nstop = ipywidgets.Button(description="Stop")\nstop.on_click(lambda _: lab.stop())\nstop'


@dataclass
class Place:
    """A page with the lab's notebook in it, and whose labkit it is."""

    page: Page
    address: str
    json: Callable[..., Any]
    reruns: bool = False
    """Whether loading the page runs the cells, with a kernel of its own."""

    def run(self, text: str) -> None:
        """Run the cell with this text."""
        self.page.locator(".jp-CodeCell .jp-InputArea-editor", has_text=text).first.click()
        self.page.keyboard.press("Shift+Enter")

    def pane(self, name: str) -> Frame:
        self.page.get_by_role("button", name=name, exact=True).click()
        return frame_of(self.page, f"box: {name}")

    def type(self, text: str, shown: str) -> None:
        """Type a line in the machine's terminal, and wait for an answer."""
        frame = self.pane("Terminal")
        expect(frame.locator(".xterm-rows")).to_contain_text("student@box")
        frame.locator(".xterm-helper-textarea").focus()
        self.page.keyboard.type(f"{text}\n", delay=30)
        expect(frame.locator(".xterm-rows")).to_contain_text(shown)


def written(folder: Path, last: str) -> None:
    """The notebook, in a folder."""
    cells = [nbformat.v4.new_code_cell(text) for text in (CELLS[0], last)]
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "lab.ipynb")


@contextmanager
def at_home(page: Page, module: str, path: str, last: str, *, reruns: bool) -> Iterator[Place]:
    home: Home = new_home()
    with tempfile.TemporaryDirectory() as name, running_jupyter(Path(name), module, environ=home.environment) as found:
        written(Path(name), last)
        yield Place(page, f"{found.url}{path}?token={TOKEN}", home.json, reruns)
        for _ in eventually("nothing is left", 60):
            if home.leftovers() == []:
                break
    home.end()


@contextmanager
def in_notebook_7(page: Page) -> Iterator[Place]:
    with at_home(page, "notebook", "notebooks/lab.ipynb", CELLS[1], reruns=False) as found:
        yield found


@contextmanager
def in_voila(page: Page) -> Iterator[Place]:
    with at_home(page, "jupyter_server", "voila/render/lab.ipynb", BUTTON, reruns=True) as found:
        yield found


@contextmanager
def under_a_hub(page: Page) -> Iterator[Place]:
    with running_hub(OWN_ENGINES, {}, ready="hub/api") as hub:
        alice = hub.user("alice")
        page.goto(f"{hub.url}hub/login?next=/jhub/hub/home")
        page.locator("#username_input").fill("alice")
        page.locator("#password_input").fill("any")
        page.get_by_role("button", name="Sign in").click()
        page.locator("#start").wait_for()
        written(hub.folder / "home/alice", CELLS[1])
        yield Place(page, f"{hub.url}user/alice/lab/tree/lab.ipynb", alice.json)
        hub.api("DELETE", "/users/alice/server")


PLACES = (in_notebook_7, in_voila, under_a_hub)


@pytest.fixture(scope="module", params=PLACES, ids=lambda place: place.__name__)
def place(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Place]:
    context = browser.new_context(viewport={"width": 1500, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("dialog", lambda dialog: dialog.accept())
    expect.set_options(timeout=60_000)
    with request.param(page) as found:
        yield found
        context.close()


def test_a_lab_is_started_and_typed_in(place: Place) -> None:
    place.page.goto(place.address)
    if not place.reruns:
        place.page.get_by_text(re.compile(r"Python 3 \(ipykernel\)")).first.wait_for()
        place.run(CELLS[0].splitlines()[0])
    expect(place.page.get_by_role("tab", name="box")).to_be_visible(timeout=180_000)
    place.type("hostname | tee note.txt; echo sum $((40+2))", "sum 42")
    assert [lab["state"] for lab in place.json("list")] == ["running"]


def test_the_machines_screen_shows_a_picture(place: Place) -> None:
    canvas = place.pane("Screen").locator("canvas")
    for _ in eventually("a picture that is not all one colour", 30):
        if canvas.evaluate("it => new Set(it.getContext('2d').getImageData(0, 0, 200, 100).data).size") > 2:
            break


def test_a_step_is_ticked_and_another_checked(place: Place) -> None:
    place.page.get_by_role("checkbox").first.check()
    expect(place.page.get_by_text("1 of 4 steps")).to_be_visible()
    button = place.page.get_by_role("button", name="Check", exact=True)
    while not button.is_visible():
        place.page.get_by_role("button", name=re.compile("→")).click()
    button.click()
    expect(place.page.get_by_text(re.compile("Passed"))).to_be_visible()


def test_after_a_reload_the_lab_is_there_as_it_was_left(place: Place) -> None:
    if not place.reruns:
        with place.page.expect_response(re.compile("lab.ipynb/checkpoints")):
            place.page.get_by_role("button", name=re.compile("^Save")).first.click()
    place.page.reload()
    expect(place.page.get_by_text("2 of 4 steps")).to_be_visible(timeout=120_000)
    place.type("cat note.txt; echo sum $((50+3))", "sum 53")


def test_after_the_kernels_restart_too(place: Place) -> None:
    if place.reruns:
        pytest.skip("each page has a kernel of its own")
    place.page.get_by_role("menuitem", name="Kernel").click()
    place.page.get_by_role("menuitem", name=re.compile("Restart Kernel…")).first.click()
    place.page.locator(".jp-Dialog button.jp-mod-accept").click()
    place.run(CELLS[0].splitlines()[0])
    expect(place.page.get_by_text("2 of 4 steps")).to_be_visible()
    place.type("echo sum $((60+4))", "sum 64")


def test_the_lab_is_stopped(place: Place) -> None:
    if place.reruns:
        place.page.get_by_role("button", name="Stop", exact=True).click()
    else:
        place.run(CELLS[1])
    place.page.get_by_text(re.compile("This lab has stopped")).first.wait_for()
    assert place.json("list") == []


@pytest.mark.parametrize("place", [under_a_hub], indirect=True, ids=["under_a_hub"])
def test_jupyterlabs_card_starts_a_lab_and_its_panel_stops_it(place: Place) -> None:
    page, panel = place.page, place.page.get_by_role("region", name="Labs")
    page.goto(place.address.replace("lab/tree/lab.ipynb", "lab?reset"))
    page.locator(".jp-LauncherCard", has_text="Hello, machine").click()
    terminal = frame_of(page, "box: Terminal")
    expect(terminal.locator(".xterm-rows")).to_contain_text("student@box")
    terminal.locator(".xterm-helper-textarea").focus()
    page.keyboard.type("echo sum $((20+3))\n", delay=30)
    expect(terminal.locator(".xterm-rows")).to_contain_text("sum 23")
    page.locator("[data-id=labkit-panel]").click()
    panel.get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop lab").click()
    expect(panel).to_contain_text("No lab is running.")
