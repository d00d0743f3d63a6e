"""The first lab as a learner meets it: JupyterLab's login, the notebook, three panes, ticks, the check, the end."""

from __future__ import annotations

import http.client
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Frame, Page, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.e2e.conftest import Demo
from tests.e2e.screen import TextScreen
from tests.support.home import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
SHIFTED = {"$": "Digit4", "(": "Digit9", ")": "Digit0", "*": "Digit8", ">": "Period", "~": "Backquote"}
"""What needs Shift on a US keyboard, of what is typed here. A screen sends keys, not characters."""
expect.set_options(timeout=30_000)
START = 'lab = labkit.start("hello-lab")'


@pytest.fixture(scope="module")
def page(browser: Browser, demo: Demo, pictures: Path) -> Iterator[Page]:
    """One learner's one browser tab, from login to the end."""
    context = browser.new_context(viewport={"width": 1500, "height": 1000})
    found = context.new_page()
    found.set_default_timeout(60_000)
    yield found
    context.close()


def run_cell(page: Page, text: str) -> None:
    """Click into the code cell with this text and press Shift+Enter."""
    page.locator(".jp-CodeCell .jp-InputArea-editor", has_text=text).first.click()
    page.keyboard.press("Shift+Enter")


def pane(page: Page, button: str, title: str) -> Frame:
    """Choose one of the machine's panes and give its frame, once it says that it is connected."""
    page.get_by_role("button", name=button, exact=True).click()
    frame = page.locator(f'iframe[title="box: {title}"]').element_handle().content_frame()
    assert frame is not None
    frame.get_by_text("Connected").first.wait_for()
    return frame


def password(demo: Demo) -> str:
    """What the learner is shown under Sign-in details, as the command line shows it."""
    found = re.search(r"as student with password (\S+)", demo.home.labkit("status", "hello-lab").stdout)
    assert found
    return found[1]


def type_as_a_person(page: Page, text: str) -> None:
    """Press key after key, Shift where a US keyboard needs it, with a pause: a held key is repeated by the machine."""
    for character in text:
        key = SHIFTED.get(character)
        if key is None:
            page.keyboard.type(character)
        else:
            page.keyboard.press(f"Shift+{key}")
        page.wait_for_timeout(60)


def product() -> tuple[str, str]:
    """A sum that nobody can know beforehand, as a shell expression and its value."""
    one, other = 100 + secrets.randbelow(900), 100 + secrets.randbelow(900)
    return f"$(({one}*{other}))", str(one * other)


def test_without_login_there_is_only_the_login_page(page: Page, demo: Demo) -> None:
    page.goto(f"{demo.url}/lab/tree/01-first-lab.ipynb")
    expect(page).to_have_url(re.compile(r"/login"))
    page.locator("#password_input").fill(demo.token)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.locator(".jp-Notebook").wait_for()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()


def test_the_progress_bar_moves_and_the_lab_appears(page: Page, demo: Demo, pictures: Path) -> None:
    run_cell(page, START)
    bar = page.get_by_role("progressbar", name=re.compile("Starting"))
    bar.wait_for()
    seen: set[str] = set()
    for _ in eventually("the lab's terminal", 120):
        known = len(seen)
        seen.update(bar.evaluate_all("bars => bars.map(bar => bar.getAttribute('aria-valuenow'))"))
        if known < 3 <= len(seen):
            page.screenshot(path=pictures / "1-starting.png")
        if page.get_by_role("tab", name="box").is_visible():
            break
    assert len(seen) >= 3, f"the bar stood at {sorted(seen)} only"
    assert len(demo.home.machines()) == 1


def test_without_jupyters_login_the_panes_are_closed(demo: Demo) -> None:
    lab = demo.home.json("list")[0]["id"]
    link = demo.home.json("open", lab, "box", "console", "--print")[0]["url"]
    path = f"/labkit/panes/{lab}/box/console/"
    connection = http.client.HTTPConnection(demo.url.removeprefix("http://"), timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert (answer.status, "/login" in answer.headers["Location"]) == (302, True)
    connection.close()
    protocols = ["plain.kubevirt.io", "labkit.ticket." + link.split("#ticket=")[1]]
    stream = demo.url.replace("http", "ws") + path + "stream"
    with pytest.raises(InvalidStatus, match="403"), connect(stream, origin=demo.url, subprotocols=protocols):  # type: ignore[arg-type]
        pass


def test_a_command_in_the_terminal_pane(page: Page, pictures: Path) -> None:
    frame = pane(page, "Terminal", "Terminal")
    expression, value = product()
    expect(frame.locator(".xterm-rows")).to_contain_text("student@box")
    frame.locator(".xterm-helper-textarea").focus()
    type_as_a_person(page, f"echo result {expression}\n")
    expect(frame.locator(".xterm-rows")).to_contain_text(f"result {value}")
    page.screenshot(path=pictures / "2-terminal.png")


def test_a_command_on_the_serial_console(page: Page, demo: Demo, pictures: Path) -> None:
    frame = pane(page, "Console", "Console")
    rows = frame.locator(".xterm-rows")
    frame.locator(".xterm-helper-textarea").focus()
    page.keyboard.press("Enter")
    expect(rows).to_contain_text("login:")
    type_as_a_person(page, "student\n")
    expect(rows).to_contain_text("Password:")
    type_as_a_person(page, password(demo) + "\n")
    expect(rows).to_contain_text("student@box")
    expression, value = product()
    type_as_a_person(page, f"echo result {expression}\n")
    expect(rows).to_contain_text(f"result {value}")
    page.screenshot(path=pictures / "3-console.png")


def test_a_command_on_the_screen_read_from_its_picture(page: Page, demo: Demo, pictures: Path) -> None:
    frame = pane(page, "Screen", "Screen")
    screen = TextScreen(frame)
    screen.wait(lambda rows: sum(any(any(cell) for cell in row) for row in rows) >= 2)
    frame.locator("canvas").click()
    used = screen.used_rows()
    type_as_a_person(page, "student\n")
    screen.wait_for_more_rows(used)
    used = screen.used_rows()
    type_as_a_person(page, password(demo) + "\n")
    screen.wait_for_more_rows(used)
    digits = "0123456789"
    type_as_a_person(page, f"clear; echo {digits}\n")
    screen.learn(digits, screen.wait(lambda rows: all(any(cell) for cell in rows[0][:10]) and not any(rows[0][10])), 0)
    expression, value = product()
    type_as_a_person(page, f"clear; echo {expression}\n")
    screen.wait(lambda rows: screen.read(rows, 0) == value)
    page.screenshot(path=pictures / "4-screen.png")


def test_a_tick_outlives_the_kernel(page: Page, pictures: Path) -> None:
    boxes = page.get_by_role("checkbox")
    first = boxes.first
    name = first.get_attribute("aria-label") or first.evaluate("box => box.labels[0]?.textContent ?? ''")
    first.check()
    expect(page.get_by_text(re.compile("1 of 4 steps"))).to_be_visible()
    page.get_by_role("menuitem", name="Kernel").click()
    page.get_by_role("menuitem", name=re.compile("Restart Kernel…")).first.click()
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    run_cell(page, START)
    expect(page.get_by_text(re.compile("1 of 4 steps"))).to_be_visible()
    expect(page.get_by_role("checkbox").first).to_be_checked()
    page.screenshot(path=pictures / "5-after-kernel-restart.png")
    assert name is not None


def test_the_check_says_not_yet_with_the_reason_and_then_passed(page: Page, pictures: Path) -> None:
    button = page.get_by_role("button", name="Check", exact=True)
    while not button.is_visible():
        page.get_by_role("button", name=re.compile("→")).click()
    button.click()
    expect(page.get_by_text(re.compile(r"Not yet.*There is no file note\.txt"))).to_be_visible()
    page.screenshot(path=pictures / "6-not-yet.png")
    frame = pane(page, "Terminal", "Terminal")
    frame.locator(".xterm-helper-textarea").focus()
    type_as_a_person(page, "hostname > ~/note.txt; echo written\n")
    expect(frame.locator(".xterm-rows")).to_contain_text("student@box:~$ hostname > ~/note.txt")
    button.click()
    expect(page.get_by_text(re.compile("Passed"))).to_be_visible()
    expect(page.get_by_text(re.compile("2 of 4 steps"))).to_be_visible()
    page.screenshot(path=pictures / "7-passed.png")


def test_after_the_end_nothing_is_left(page: Page, demo: Demo, pictures: Path) -> None:
    run_cell(page, "lab.stop()")
    page.get_by_role("status").filter(has_text="The lab has ended; nothing of it is left").wait_for()
    page.screenshot(path=pictures / "8-ended.png")
    assert demo.home.leftovers() == []
