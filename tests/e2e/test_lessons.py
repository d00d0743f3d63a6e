"""All that an author can have clicked, on a real machine, in Chromium: in a plain page (`labkit preview --machines`)
and in a notebook in JupyterLab. One way through one lab; each test goes on where the one before has ended."""

from __future__ import annotations

import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from tests.e2e.conftest import Demo
from tests.support.home import LABKIT, Home

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(900)]
expect.set_options(timeout=60_000)
LAB = """\
apiVersion: labkit/v1
kind: Lab
name: lesson
title: A lesson
machines:
  - {name: box, type: vm, image: {bundled: tiny}, memory: 256Mi, users: [{name: student}], panes: [terminal, console]}
"""
ACTIONS = """\
# Actions
## Tick me {#tick points=1}

```sh {run=box}
echo ran-$((6*7))
```

`echo typed-$((6*7))`{type=box} `echo pasted-$((6*7))`{paste=box} `echo copied`{copy=yes}
`sleep 1000`{run=box} `echo freed-$((6*7))`{run=box interrupt=yes}
`touch ~/made`{run=box confirm="Really?" max=1}
[the console]{open="box:console"} [the terminal]{focus="box:terminal"}
[Put the sheet there]{upload=box file="media/sheet.txt" to="/home/student/sheet.txt"}

## Made {#made points=2 poll=5s}

Wait.

## Sheet {#sheet points=2}

Check it.
"""
QUESTIONS = """\
---
title: Questions
requires: [sheet]
---
![Later](media/later.svg)

:::hint {#how cost=1}
A hint that costs.
:::

:::quiz {#port points=2 attempts=2}
Which port?

- [ ] 22
  > That one is SSH's.
- [x] 80
:::

:::answer {#why points=3}
Why?
:::

:::collect {#report machine=box path="/home/student/sheet.txt" points=5}
Hand it in.
:::
"""
FILES = {
    "lab.yaml": LAB,
    "instructions/1.md": ACTIONS,
    "instructions/2.md": QUESTIONS,
    "instructions/de/1.md": ACTIONS.replace("# Actions", "# Handlungen").replace("Tick me", "Hak mich ab"),
    "media/sheet.txt": "a sheet\n",
    "media/later.svg": '<svg xmlns="http://www.w3.org/2000/svg" width="3" height="3"/>',
    "checks/made/check-box": "#!/bin/sh\ntest -e /home/student/made\n",
    "checks/sheet/check-box": "#!/bin/sh\ngrep -q sheet /home/student/sheet.txt || { echo No sheet; exit 1; }\n",
}


@dataclass
class Lesson:
    """The lab in one host: its page, how it is loaded again, and whose labkit it is."""

    page: Page
    again: Callable[[], None]
    home: Home
    kind: str

    @property
    def terminal(self) -> FrameLocator:
        return self.page.frame_locator("iframe[title='box: Terminal']")

    def button(self, name: str | re.Pattern[str], **more: Any) -> Any:
        return self.page.get_by_role("button", name=name, **more)

    def shows(self, text: str) -> None:
        """The terminal holds this line, or a part of it."""
        expect(self.terminal.locator(".xterm-rows")).to_contain_text(text)

    @property
    def lab(self) -> str:
        return str(self.home.json("list")[0]["id"])


@pytest.fixture(scope="module")
def folder(demo: Demo) -> Path:
    found = demo.home.folder / "lesson"
    for name, text in FILES.items():
        (found / name).parent.mkdir(parents=True, exist_ok=True)
        (found / name).write_text(text)
    return found


def in_a_page(page: Page, demo: Demo, folder: Path) -> Iterator[Callable[[], None]]:
    preview = [LABKIT, "preview", str(folder), "--machines", "--print"]
    process = subprocess.Popen(preview, env=demo.home.environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    found = re.search(r"is at (\S+)", process.stdout.readline())
    assert found
    page.goto(found[1])
    expect(page.get_by_text("Connected", exact=True)).to_be_visible(timeout=180_000)
    yield page.reload
    process.send_signal(2)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert demo.home.leftovers() == []


def in_jupyter(page: Page, demo: Demo, folder: Path) -> Iterator[Callable[[], None]]:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(f"import labkit\nlab = labkit.start({str(folder)!r})")],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}},
    )
    nbformat.write(notebook, demo.home.settings.state_dir / "demo/lesson.ipynb")
    page.on("dialog", lambda dialog: dialog.accept())

    def begin() -> None:
        page.goto(f"{demo.url}/lab/tree/lesson.ipynb?token={demo.token}")
        page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
        page.locator(".jp-CodeCell .jp-InputArea-editor").first.click()
        page.keyboard.press("Shift+Enter")
        expect(page.get_by_text(re.compile("^(Connected|Verbunden)$"))).to_be_visible(timeout=180_000)

    begin()
    yield begin
    assert demo.home.labkit("stop", "lesson").returncode == 0


HOSTS = {"page": in_a_page, "notebook": in_jupyter}


@pytest.fixture(scope="module", params=HOSTS)
def lesson(request: pytest.FixtureRequest, browser: Browser, demo: Demo, folder: Path) -> Iterator[Lesson]:
    context = browser.new_context(
        viewport={"width": 1500, "height": 1000}, permissions=["clipboard-read", "clipboard-write"], locale="en"
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    for again in HOSTS[request.param](page, demo, folder):
        yield Lesson(page, again, demo.home, request.param)
    context.close()


def test_code_is_run_typed_and_pasted_and_each_says_so(lesson: Lesson) -> None:
    lesson.button("Run in box").first.focus()
    lesson.page.keyboard.press("Enter")
    lesson.shows("ran-42")
    expect(lesson.page.get_by_text("Run in box.")).to_be_visible()
    lesson.button("echo typed").click()
    expect(lesson.page.get_by_text("Typed into box.")).to_be_visible()
    lesson.shows("$((6*7))")
    lesson.terminal.locator(".xterm-helper-textarea").press("Enter")
    lesson.shows("typed-42")
    lesson.button("echo pasted").click()
    expect(lesson.page.get_by_text("Pasted into box.")).to_be_visible()
    lesson.terminal.locator(".xterm-helper-textarea").press("Enter")
    lesson.shows("pasted-42")


def test_code_is_copied(lesson: Lesson) -> None:
    lesson.button("Copy echo copied").click()
    expect(lesson.button("Copy echo copied")).to_have_text("Copied")
    assert lesson.page.evaluate("navigator.clipboard.readText()") == "echo copied"


def test_an_interrupt_comes_first_where_it_is_wanted(lesson: Lesson) -> None:
    lesson.button("sleep 1000").click()
    lesson.shows("sleep 1000")
    lesson.button("echo freed").click()
    lesson.shows("freed-42")


def test_panes_are_opened_and_given_the_keyboard(lesson: Lesson) -> None:
    lesson.button("the console").click()
    expect(lesson.page.locator("iframe[title='box: Console']")).to_be_visible()
    lesson.button("the terminal").click()
    expect(lesson.page.locator("iframe[title='box: Terminal']")).to_be_focused()
    expect(lesson.page.get_by_text("The keyboard is with box:terminal.")).to_be_visible()


def test_what_wants_a_yes_waits_for_it_and_is_done_as_often_as_it_may_and_a_check_by_itself_sees_it(
    lesson: Lesson,
) -> None:
    touch = lesson.button("touch ~/made")
    touch.click()
    lesson.button("No", exact=True).click()
    expect(lesson.page.get_by_role("checkbox", name="Made")).not_to_be_checked()
    touch.click()
    lesson.button("Yes", exact=True).click()
    expect(lesson.page.get_by_role("checkbox", name="Made")).to_be_checked()
    touch.press("Enter")
    expect(lesson.page.get_by_text("This can be done no more often.")).to_be_visible()
    expect(lesson.page.get_by_text("Not yet")).to_be_hidden()


def test_a_gate_holds_and_so_do_its_media_until_the_check_has_passed(lesson: Lesson) -> None:
    media = f"{lesson.page.url}lab/media/later.svg"
    lesson.button(re.compile("Questions →")).click()
    expect(lesson.page.get_by_text("This page opens when these steps are done:")).to_be_visible()
    if lesson.kind == "page":
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(media)
    lesson.button(re.compile("← 1")).click()
    lesson.button("Check", exact=True).nth(1).click()
    expect(lesson.page.get_by_text("Not yet: No sheet")).to_be_visible()
    lesson.button("Put the sheet there").click()
    expect(lesson.page.get_by_text("The file is in box.")).to_be_visible()
    lesson.button("Check", exact=True).nth(1).click()
    expect(lesson.page.get_by_role("checkbox", name="Sheet")).to_be_checked()
    lesson.button(re.compile("Questions →")).click()
    image = lesson.page.get_by_role("img", name="Later")
    expect(image).to_be_visible()
    lesson.page.wait_for_function("image => image.naturalWidth === 3", arg=image.element_handle())


def test_questions_are_answered_and_a_hint_is_paid(lesson: Lesson) -> None:
    page = lesson.page
    page.get_by_text("Hint", exact=False).first.click()
    lesson.button("Yes", exact=True).click()
    expect(page.get_by_text("A hint that costs.")).to_be_visible()
    page.get_by_role("radio", name="22").check()
    lesson.button("Answer", exact=True).first.click()
    expect(page.get_by_text("That one is SSH's.")).to_be_visible()
    page.get_by_role("radio", name="80").check()
    lesson.button("Answer", exact=True).first.click()
    expect(page.get_by_text("Right.", exact=True)).to_be_visible()


def test_a_text_and_a_file_wait_for_a_mark_and_the_learner_sees_it(lesson: Lesson) -> None:
    page, home = lesson.page, lesson.home
    page.get_by_role("textbox", name="Your answer").fill("Because.")
    lesson.button("Answer", exact=True).nth(1).click()
    expect(page.get_by_text("Handed in: a person will read it.")).to_be_visible()
    lesson.button("Hand in the file").click()
    expect(page.get_by_text("Handed in: /home/student/sheet.txt, 8 bytes.")).to_be_visible()
    assert {one["question"] for one in home.json("results")} == {"why", "report"}
    assert home.labkit("results", "show", lesson.lab, "report").stdout == "a sheet\n"
    for question in ("why", "report"):
        done = home.labkit("mark", lesson.lab, question, "2.5", "--comment", f"Read {question}.")
        assert done.returncode == 0, done.stderr
        expect(page.get_by_text(f"Read {question}.")).to_be_visible()
    assert home.json("results") == []


def test_the_language_is_changed_while_the_panes_live_on(lesson: Lesson) -> None:
    lesson.button(re.compile("← 1")).click()
    frame = lesson.page.locator("iframe[title='box: Terminal']")
    frame.evaluate("frame => { frame.kept = true }")
    lesson.page.get_by_role("combobox", name="Language").select_option("de")
    expect(lesson.page.get_by_role("heading", name="Handlungen")).to_be_visible()
    lesson.page.get_by_role("checkbox", name="Hak mich ab").check()
    assert frame.evaluate("frame => frame.kept")


def test_loading_again_keeps_all(lesson: Lesson, pictures: Path) -> None:
    lesson.again()
    page = lesson.page
    expect(page.get_by_role("heading", name="Handlungen")).to_be_visible()
    for name in ("Hak mich ab", "Made", "Sheet"):
        expect(page.get_by_role("checkbox", name=name)).to_be_checked()
    expect(page.get_by_text("11 von 15 Punkten").first).to_be_visible()
    page.screenshot(path=pictures / f"lesson-{lesson.kind}.png")
    lesson.button(re.compile("Questions →")).click()
    page.get_by_text("Hint", exact=False).first.click()  # paid for: nothing is asked
    expect(page.get_by_text("A hint that costs.")).to_be_visible()
    expect(page.get_by_role("radio", name="80")).to_be_checked()
    expect(page.get_by_text("Read why.")).to_be_visible()
