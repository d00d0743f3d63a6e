"""The JupyterLab extension as a learner meets it: a card starts a lab, whose parts are tabs that come back."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from tests.support.home import Home, eventually, new_home
from tests.support.jupyter import LOGIN, TOKEN, Jupyter, running_jupyter

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(600)]
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    found = new_home()
    yield found
    found.end()


@pytest.fixture(scope="module")
def jupyter(home: Home) -> Iterator[Jupyter]:
    with (
        tempfile.TemporaryDirectory() as name,
        running_jupyter(Path(name), "jupyterlab", environ=home.environment) as one,
    ):
        yield one


@pytest.fixture(scope="module")
def page(browser: Browser, jupyter: Jupyter) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1500, "height": 950})
    found = context.new_page()
    found.set_default_timeout(60_000)
    found.goto(f"{jupyter.url}lab?token={TOKEN}")
    yield found
    context.close()


def frame_of(page: Page, title: str) -> Frame:
    """The frame of a pane, once it says that it is connected."""
    frame = page.locator(f'iframe[title="{title}"]').element_handle().content_frame()
    assert frame is not None
    frame.get_by_text("Connected").first.wait_for()
    return frame


def tabs(page: Page) -> list[str]:
    return page.locator(".lm-DockPanel-tabBar .lm-TabBar-tabLabel").all_inner_texts()


def test_a_card_starts_a_lab_with_its_instructions_and_its_first_pane_beside(page: Page, home: Home) -> None:
    page.locator(".jp-LauncherCard", has_text="Hello, machine").click()
    frame_of(page, "box: Terminal")
    assert {"Hello, machine", "box: Terminal"} <= set(tabs(page))
    image = page.get_by_role("img", name=re.compile("Your browser talks to the gateway"))
    page.wait_for_function("image => image.naturalWidth > 0", arg=image.element_handle())
    assert len(home.machines()) == 1


def test_what_is_typed_in_the_pane_reaches_the_machine(page: Page) -> None:
    frame = frame_of(page, "box: Terminal")
    expect(frame.locator(".xterm-rows")).to_contain_text("student@box")
    frame.locator(".xterm-helper-textarea").focus()
    page.keyboard.type("hostname | tee note.txt; echo sum $((40+2))\n", delay=30)
    expect(frame.locator(".xterm-rows")).to_contain_text("sum 42")


def test_a_tick_and_a_check_are_made_in_the_instructions_tab(page: Page) -> None:
    page.get_by_role("tab", name="Hello, machine").click()
    page.get_by_role("checkbox").first.check()
    expect(page.get_by_text("1 of 4 steps")).to_be_visible()
    button = page.get_by_role("button", name="Check", exact=True)
    while not button.is_visible():
        page.get_by_role("button", name=re.compile("→")).click()
    button.click()
    expect(page.get_by_text(re.compile("Passed"))).to_be_visible()


def test_the_side_panel_lists_the_lab_and_opens_its_screen(page: Page) -> None:
    page.locator("[data-id=labkit-panel]").click()
    panel = page.get_by_role("region", name="Labs")
    expect(panel).to_contain_text(re.compile(r"Running · .* left"))
    panel.get_by_role("button", name="Screen").click()
    canvas = frame_of(page, "box: Screen").locator("canvas")
    for _ in eventually("a picture that is not all one colour", 30):
        if canvas.evaluate("it => new Set(it.getContext('2d').getImageData(0, 0, 200, 100).data).size") > 2:
            break
    expect(page.get_by_role("button", name=re.compile("^1 lab · .* left$"))).to_be_visible()


def test_a_file_of_a_machine_is_opened_in_the_editor_and_saved(page: Page, home: Home) -> None:
    page.get_by_role("region", name="Labs").get_by_role("button", name="Files").click()
    files = page.get_by_role("region", name="Files of machines")
    files.get_by_text("note.txt").dblclick()
    editor = page.locator(".jp-FileEditor .cm-content")
    expect(editor).to_contain_text("box")
    editor.click()
    page.keyboard.press("Control+End")
    page.keyboard.type("written in the editor")
    page.keyboard.press("Control+S")
    lab = home.json("list")[0]["id"]
    for _ in eventually("the machine has what was written", 20):
        if "written in the editor" in home.labkit("exec", lab, "box", "cat /home/student/note.txt").stdout:
            break
    assert home.labkit("exec", lab, "box", "stat -c %U /home/student/note.txt").stdout == "student\n"


def test_a_file_is_renamed_and_downloaded_and_one_from_the_desktop_is_dropped_in(
    page: Page, home: Home, tmp_path: Path
) -> None:
    lab = home.json("list")[0]["id"]
    assert home.labkit("exec", lab, "box", r"printf 'a\377b' > /home/student/raw.bin").returncode == 0
    files = page.get_by_role("region", name="Files of machines")
    files.get_by_role("button", name="Refresh").click()
    files.get_by_text("raw.bin").click(button="right")
    page.get_by_role("menuitem", name="Rename").click()
    page.keyboard.press("Control+A")
    page.keyboard.type("better.bin\n")
    files.get_by_text("better.bin").click(button="right")
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Download", exact=True).click()
    assert (download.value.suggested_filename, download.value.path().read_bytes()) == ("better.bin", b"a\xffb")
    (tmp_path / "dropped.bin").write_bytes(b"\xff\n")
    place = files.locator(".jp-DirListing-content").bounding_box()
    assert place is not None
    desktop, data = page.context.new_cdp_session(page), {"items": [], "files": [f"{tmp_path}/dropped.bin"]}
    for event in ("dragEnter", "dragOver", "drop"):
        desktop.send(
            "Input.dispatchDragEvent",
            {
                "type": event,
                "x": place["x"] + place["width"] / 2,
                "y": place["y"] + place["height"] - 20,
                "data": {**data, "dragOperationsMask": 1},
            },
        )
    files.get_by_text("dropped.bin").wait_for()
    there = home.labkit("exec", lab, "box", "cd /home/student; ls raw.bin; od -An -tx1 better.bin dropped.bin").stdout
    assert there.split() == ["61", "ff", "62", "ff", "0a"]


def test_what_the_machine_refuses_is_said_in_its_words(page: Page, home: Home) -> None:
    lab = home.json("list")[0]["id"]
    made = home.labkit(
        "exec",
        lab,
        "box",
        "cd /home/student; touch gone closed; chmod 600 closed; mkdir theirs; echo mine > theirs/kept",
    )
    assert made.returncode == 0, made.stderr
    files, refused = page.get_by_role("region", name="Files of machines"), page.get_by_role("dialog")
    files.get_by_title("Refresh").or_(files.get_by_role("button", name="Refresh")).first.click()
    files.get_by_text("gone").wait_for()
    home.labkit("exec", lab, "box", "rm /home/student/gone")
    for name, why in (("gone", "There is no /home/student/gone"), ("closed", "may not do that")):
        files.get_by_text(name, exact=True).dblclick()
        expect(refused).to_contain_text(re.compile(why))
        refused.get_by_role("button").last.click()
    files.get_by_text("theirs", exact=True).dblclick()
    files.get_by_text("kept", exact=True).dblclick()
    expect(page.locator(".jp-FileEditor:visible .cm-content")).to_contain_text("mine")
    page.locator(".jp-FileEditor:visible .cm-content").click()
    page.keyboard.type("theirs")
    page.keyboard.press("Control+S")
    expect(refused).to_contain_text(re.compile("may not do that"))
    refused.get_by_role("button").last.click()
    page.locator("[data-id=labkit-panel]").click()


def test_the_palette_has_a_command_for_each_template(page: Page) -> None:
    page.keyboard.press("Control+Shift+C")
    page.get_by_role("searchbox").or_(page.get_by_placeholder("SEARCH")).last.fill("two machines")
    expect(page.get_by_role("menuitem").filter(has_text="Two machines on one network").first).to_be_visible()
    page.keyboard.press("Escape")


def test_after_a_reload_the_tabs_are_there_again_and_the_pane_connects(page: Page, jupyter: Jupyter) -> None:
    for _ in eventually("JupyterLab has written its layout", 20):
        written = str(jupyter.json("GET", "lab/api/workspaces/default")[1])
        if "box-vnc" in written and "student/closed" not in written:  # the tab that was refused has gone, too
            break
    before = set(tabs(page)) - {"Launcher"}
    assert {"note.txt", "kept", "box: Terminal", "box: Screen"} <= before
    page.reload()
    page.get_by_role("tab", name="box: Screen").click()
    frame_of(page, "box: Screen")
    for _ in eventually("all tabs are there", 30):
        if before <= set(tabs(page)):
            break
    page.get_by_role("tab", name="Hello, machine").click()
    expect(page.get_by_text("2 of 4 steps")).to_be_visible()


def test_stopping_the_lab_asks_first_and_leaves_nothing(page: Page, home: Home) -> None:
    stop, asked = page.get_by_role("button", name="Stop lab").locator("visible=true").first, page.get_by_role("dialog")
    stop.click()
    expect(asked).to_contain_text("Stop Hello, machine?")
    asked.get_by_role("button", name="Cancel").click()
    assert home.json("list")[0]["state"] == "running"
    stop.click()
    asked.get_by_role("button", name="Stop lab").click()
    expect(page.get_by_role("region", name="Labs")).to_contain_text("No lab is running.")
    for _ in eventually("nothing is left", 60):
        if home.leftovers() == []:
            break


def test_settings_keep_the_pane_closed_and_the_status_bar_clear(page: Page, jupyter: Jupyter, home: Home) -> None:
    raw = {"raw": '{"openFirstPane": false, "statusBar": false}'}
    assert jupyter.ask("PUT", "lab/api/settings/labkit:plugin", raw, **LOGIN)[0] == 204
    page.goto(f"{jupyter.url}lab?reset")
    page.locator(".jp-LauncherCard", has_text="Hello, machine").click()
    page.locator("[data-id=labkit-panel]").click()
    panel = page.get_by_role("region", name="Labs")
    expect(panel).to_contain_text(re.compile(r"Running · .* left"))
    expect(panel.get_by_role("button", name="Terminal")).to_be_visible()
    assert ("Hello, machine" in tabs(page), "box: Terminal" in tabs(page)) == (True, False)
    expect(page.get_by_role("button", name=re.compile("^1 lab"))).to_be_hidden()
    assert home.labkit("stop", home.json("list")[0]["id"], "--yes").returncode == 0
