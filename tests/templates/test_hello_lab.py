"""The bundled lab: it loads, lints clean, and its check says what is missing."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from labkit.instructions import PageModel, load_pages, render
from labkit.linting import lint
from labkit.templates import Available, available, find, load, values

FOLDER = find("hello-lab", Path("/nonexistent"), paths=False)
TEMPLATE = load(FOLDER)


def model(learner: str = "Ada") -> PageModel:
    names = values(TEMPLATE, learner=learner, lab="a123456789", seed="s")
    return render(load_pages(FOLDER), variables=names, checks=TEMPLATE.checks, title=TEMPLATE.title)


@pytest.mark.parametrize("row", available(Path("/nonexistent")), ids=lambda row: row.name)
def test_every_bundled_lab_has_no_faults(row: Available) -> None:
    assert lint(row.folder) == ()


def test_it_has_one_machine_with_three_panes_and_four_steps_of_which_one_is_checked() -> None:
    (box,) = TEMPLATE.machines
    assert [pane.name for pane in box.panes] == ["terminal", "console", "vnc"]
    assert [(step.id, step.check) for step in model().steps] == [
        ("look", False),
        ("console", False),
        ("note", True),
        ("screen", False),
    ]


def test_it_greets_the_learner_by_name_whatever_the_name_is() -> None:
    html = model("<script>alert(1)</script> *Ada*").pages[0].parts[0].html
    assert html.startswith("<p>Hello, &lt;script&gt;alert(1)&lt;/script&gt; *Ada*!</p>")


def checked(home: Path) -> tuple[int, str]:
    """The check's exit status and feedback, with the student's home folder here."""
    script = TEMPLATE.checks["note"][0].text.replace("/home/student", str(home))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, timeout=10)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_its_check_passes_once_the_note_holds_the_machines_name(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text(f"I was on {socket.gethostname()} today.\n")
    status, feedback = checked(tmp_path)
    assert (status, feedback.startswith("Well done")) == (0, True)


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (None, "There is no file note.txt"),
        ("", "it is empty"),
        ("box", "is not in it yet"),
        (f"{socket.gethostname()}2", "is not in it yet"),
    ],
)
def test_its_check_says_what_is_missing(tmp_path: Path, note: str | None, said: str) -> None:
    if note is not None:
        (tmp_path / "note.txt").write_text(note)
    status, feedback = checked(tmp_path)
    assert (status, said in feedback) == (1, True), feedback


def test_its_check_is_not_held_up_by_something_that_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "note.txt").mkdir()
    status, feedback = checked(tmp_path)
    assert (status, "not an ordinary file" in feedback) == (1, True)
