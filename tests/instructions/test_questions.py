"""Grading: what each kind of question takes for right. Texts, no browser."""

from __future__ import annotations

import pytest

from labkit.instructions.questions import Choice, Question, grade

CHOICES = (Choice("a", "one", True, "<p>yes</p>"), Choice("b", "two", True), Choice("c", "three", False, "<p>no</p>"))


def worth(kind: str, *given: str, **more: object) -> bool | None:
    return grade(Question("q", "p", kind, 2, choices=CHOICES, **more), given).right  # type: ignore[arg-type]


def test_several_answers_are_right_where_they_are_all_and_no_others() -> None:
    assert worth("multiple", "a", "b") is True
    assert (worth("multiple", "a"), worth("multiple", "a", "b", "c")) == (False, False)


def test_what_is_said_belongs_to_the_answers_that_were_taken() -> None:
    found = grade(Question("q", "p", "multiple", 2, choices=CHOICES), ["a", "c"])
    assert (found.points, found.feedback) == (0, ("<p>yes</p>", "<p>no</p>"))


@pytest.mark.parametrize(("given", "right"), [("one", True), (" ONE ", True), ("three", False), ("four", False)])
def test_a_text_is_compared_without_regard_to_blanks_and_capitals(given: str, right: bool) -> None:
    assert worth("text", given) is right
    assert worth("text", given.upper(), case=True) is False


@pytest.mark.parametrize(
    ("given", "right"), [("3.14", True), ("3,15", True), ("3.16", False), ("nan", False), ("inf", False), ("x", False)]
)
def test_a_number_may_differ_by_the_tolerance(given: str, right: bool) -> None:
    question = Question("q", "p", "number", choices=(Choice("a", "3.14", True),), tolerance=0.01)
    assert grade(question, [given]).right is right


@pytest.mark.parametrize(
    ("kind", "given"),
    [("single", ["a", "c"]), ("single", []), ("multiple", ["x"]), ("text", []), ("text", [" "])],
)
def test_what_is_no_answer_is_refused(kind: str, given: list[str]) -> None:
    with pytest.raises(ValueError, match=r"choose|write"):
        worth(kind, *given)
