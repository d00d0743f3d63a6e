"""What is wrong in pages, all at once. The cases are files in `faults/`: title, text, faults with their line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it.utils import read_fixture_file

from labkit.errors import Fault
from labkit.instructions import faults

CASES = Path(__file__).parent / "faults"
MACHINES = {"box": ("terminal", "console"), "web": ("site",)}
MEDIA = ("media/map.svg", "media/film.webm", "media/words.vtt", "media/sheet.pdf")
FILE = re.compile(r"^=== (\S+)\n", re.MULTILINE)


def files_of(text: str) -> list[tuple[str, str]]:
    """The files of a case: lines `=== NAME` begin one each; without them, all is one page."""
    parts = FILE.split(text)
    return [("page.md", text)] if len(parts) == 1 else list(zip(parts[1::2], parts[2::2], strict=True))


def found(*pages: tuple[str, str], checks: tuple[str, ...] = ()) -> list[str]:
    declared = ("lab", "learner", "os")
    return [str(fault) for fault in faults(pages, declared=declared, checks=checks, machines=MACHINES, media=MEDIA)]


def cases() -> list[object]:
    return [
        pytest.param(text, expected, id=f"{file.stem}: {title}")
        for file in sorted(CASES.glob("*.md"))
        for _, title, text, expected in read_fixture_file(file)
    ]


@pytest.mark.parametrize(("text", "expected"), cases())
def test_a_page_has_the_faults_that_its_case_names_and_no_others(text: str, expected: str) -> None:
    lines = [line.removeprefix("instructions/page.md:") for line in found(*files_of(text))]
    assert lines == expected.splitlines()


def test_a_step_id_may_stand_once_in_all_pages() -> None:
    one, two = ("1.md", "# One\n## A {#same}\n"), ("2.md", "# Two\n\n## B {#same}\n")
    text = "step 'same' stands here again (first in instructions/1.md:2); give it another id"
    assert found(one, two) == [f"instructions/2.md:3: {text}"]


def test_a_check_belongs_to_a_step() -> None:
    page = ("1.md", "# One\n## A {#fetch}\n")
    assert found(page, checks=("fetsh",)) == ["checks/fetsh: no page has a step 'fetsh'; did you mean 'fetch'?"]


def test_a_lab_without_pages_is_told_to_write_one() -> None:
    assert found() == ["instructions: holds no pages; write the first one, for example 1-start.md"]


def test_what_is_not_known_is_not_judged() -> None:
    pages = [("1.md", "# {{ nobody }}\n\n`ls`{run=nowhere}\n")]
    assert faults(pages, declared=None, checks=None, machines=None, media=()) == ()


def test_faults_carry_file_and_line_as_values() -> None:
    text = "the link to 'x' is neither http:// nor https://, nor a file in media/"
    assert faults([("1.md", "# A\n\n[a](x)")], declared=(), checks=(), machines={}, media=()) == (
        Fault("instructions/1.md", 3, text),
    )
