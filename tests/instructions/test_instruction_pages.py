"""What a page's text becomes. The cases are Markdown files in `cases/`: title, text and what is shown, between dots."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it.utils import read_fixture_file

from labkit.instructions import HtmlPart, Page, PageModel, StepPart, load_pages, render
from tests.instructions.test_instruction_faults import files_of

CASES = Path(__file__).parent / "cases"
VARIABLES = {
    "learner": "Ada",
    "markup": "<b>*x*</b> `y` [z](https://example.org/)",
    "nested": "{{ learner }}",
    "os": "debian",
    "spaced": "a b'c",
    "evil": "\"><img src=x onerror='alert(1)'> *a* {{ learner }}",
}


def shown(model: PageModel) -> str:
    """A page model as the case files write it: one line for the page and for each step, the HTML below.

    Then what is not in the HTML: hints that cost points, and questions with their right answers.
    """
    lines = []
    for page in model.pages:
        if page.requires:
            lines.append(f"REQUIRES {', '.join(page.requires)}")
        if page.title != "page" or page.minutes is not None:
            lines.append(f"PAGE {page.title} ({page.minutes} minutes)")
        for part in page.parts:
            if isinstance(part, StepPart):
                lines.append(f"STEP {part.id}: {part.title} ({part.points} points, check: {part.check})")
            lines.append(part.html)
    lines += [f"HINT {hint.key} costs {hint.cost}\n{hint.html}" for hint in model.hints.values() if hint.cost]
    for question in model.questions.values():
        limit = f"at most {question.attempts} times" if question.attempts else "as often as one likes"
        lines.append(f"QUESTION {question.id} ({question.kind}, {question.points} points, {limit})")
        for choice in question.choices:
            lines.append(f"{'RIGHT' if choice.right else 'WRONG'} {choice.text} {choice.feedback}".strip())
        if question.path:
            lines.append(f"FROM {question.machine} {question.path}")
    lines += [f"UPLOAD {one.key} puts {one.file} into {one.machine} as {one.path}" for one in model.uploads]
    return "\n".join(lines).strip()


def case(text: str) -> str:
    """What a case's text becomes: in German, where it has files in German; each key of an answer as its number."""
    files = files_of(text)
    wanted = "de" if any(name.startswith("de/") for name, _ in files) else ""
    html = shown(render(files, variables=VARIABLES, checks={"checked"}, wanted=wanted))
    keys = re.findall(r'data-(?:answer|upload)="(\w+)"', html)
    for number, key in enumerate(keys, start=1):
        html = html.replace(key, f"KEY-{number}")
    return html


def cases() -> list[object]:
    return [
        pytest.param(text, expected, id=f"{file.stem}: {title}")
        for file in sorted(CASES.glob("*.md"))
        for _, title, text, expected in read_fixture_file(file)
    ]


@pytest.mark.parametrize(("text", "expected"), cases())
def test_a_page_is_shown_as_its_case_says(text: str, expected: str) -> None:
    assert case(text) == expected.strip()


def test_the_page_model_is_the_json_that_the_lab_view_reads() -> None:
    text = "---\ntitle: Look\nminutes: 5\n---\nHello, {{ learner }}.\n\n## Do it {#do-it points=15 poll=10s}\n\nNow.\n"
    model = render([("1-look.md", text)], variables={"learner": "Ada"}, checks=["do-it"], title="A lab")
    worth = {"points": 15, "check": True, "poll": 10}
    parts = [
        {"kind": "html", "html": "<p>Hello, Ada.</p>"},
        {"kind": "step", "id": "do-it", "title": "Do it", **worth, "html": "<p>Now.</p>"},
    ]
    counts = {"steps": {"do-it": 15}, "questions": {}, "requires": [], "locked": False}
    page = {"id": "1-look", "title": "Look", "minutes": 5, "language": "en", **counts, "parts": parts}
    assert model.to_json() == {"title": "A lab", "language": "en", "languages": ["en"], "pages": [page]}


def test_a_model_tells_its_steps_in_reading_order_and_all_points() -> None:
    one, two = StepPart("a", "A", 2, False, ""), StepPart("b", "B", 0.5, True, "")
    model = PageModel("", "en", (Page("1", "", None, (HtmlPart(""), one)), Page("2", "", None, (two,))))
    assert (model.steps, model.max_points) == ((one, two), 2.5)


def test_lines_end_as_they_do_on_any_system() -> None:
    unix = render([("p.md", "a\n\n## S {#s}\n\nb")], variables={}, checks=())
    assert render([("p.md", "\ufeffa\r\n\r\n## S {#s}\r\n\r\nb")], variables={}, checks=()) == unix


def test_pages_are_read_in_the_order_of_the_numbers_in_their_names(tmp_path: Path) -> None:
    (tmp_path / "instructions").mkdir()
    (tmp_path / "instructions/de").mkdir()
    for name in ("10-end.md", "2-middle.md", "1-start.md", "de/1-start.md", "notes.txt"):
        (tmp_path / "instructions" / name).write_text(name)
    assert load_pages(tmp_path) == [
        (name, name) for name in ("1-start.md", "2-middle.md", "10-end.md", "de/1-start.md")
    ]
