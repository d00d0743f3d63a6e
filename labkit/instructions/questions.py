"""Questions with their right answers, and their grading. Values only; nothing of this goes to a browser by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Choice:
    """One answer that the author wrote down. `key` tells nothing of its place or its truth; `text` is without markup,
    `feedback` is sanitised HTML."""

    key: str
    text: str
    right: bool
    feedback: str = ""


@dataclass(frozen=True)
class Question:
    """A quiz, or a question that a person will mark: a text (kind `free`), or a `file` that is fetched from `path` of
    `machine`. `attempts` 0: as many as one likes.

    A `number` may differ by `tolerance`; in a `text` capitals count where `case` is set.
    """

    id: str
    page: str
    kind: str
    points: int | float = 0
    attempts: int = 0
    choices: tuple[Choice, ...] = ()
    tolerance: float = 0.0
    case: bool = False
    machine: str = ""
    path: str = ""

    @property
    def by_hand(self) -> bool:
        """Whether a person marks it."""
        return self.kind in ("free", "file")

    @property
    def right(self) -> list[str]:
        """The right answers: keys of choices, or texts."""
        chosen = self.kind in CHOSEN
        return [choice.key if chosen else choice.text for choice in self.choices if choice.right]


@dataclass(frozen=True)
class Grade:
    """What an answer is worth. `right` and `points` are None where a person has to say so. `feedback` is HTML."""

    right: bool | None
    points: int | float | None
    feedback: tuple[str, ...] = field(default=())


CHOSEN = ("single", "multiple")
"""Kinds that are answered by choosing, not by writing."""
KINDS = (*CHOSEN, "text", "number")
MOST_LETTERS = 10_000


def grade(question: Question, given: Sequence[str]) -> Grade:
    """The worth of an answer: keys of the choices taken, or one text. Raises ValueError for what is no answer."""
    if question.kind in CHOSEN:
        return _chosen(question, set(given))
    if question.kind == "file":
        raise ValueError("the file is fetched from its machine")
    text = given[0].strip() if len(given) == 1 else ""
    if not text or len(text) > MOST_LETTERS:
        raise ValueError(f"write an answer of 1 to {MOST_LETTERS} letters")
    if question.kind == "free":
        return Grade(None, None)
    met = next((choice for choice in question.choices if _meets(question, choice, text)), None)
    return _grade(question, met is not None and met.right, [met] if met else [])


def _chosen(question: Question, given: set[str]) -> Grade:
    taken = [choice for choice in question.choices if choice.key in given]
    if not taken or len(taken) != len(given) or (question.kind == "single" and len(taken) > 1):
        raise ValueError("choose one of the answers" if question.kind == "single" else "choose among the answers")
    return _grade(question, given == set(question.right), taken)


def _grade(question: Question, right: bool, met: Sequence[Choice]) -> Grade:
    feedback = tuple(choice.feedback for choice in met if choice.feedback)
    return Grade(right, question.points if right else 0, feedback)


def _meets(question: Question, choice: Choice, text: str) -> bool:
    if question.kind == "number":
        wanted, found = number(choice.text), number(text)
        return wanted is not None and found is not None and abs(wanted - found) <= question.tolerance + 1e-9
    one, other = (" ".join(words.split()) for words in (choice.text, text))
    return one == other if question.case else one.casefold() == other.casefold()


def number(text: str) -> float | None:
    """The number that a person wrote, with a point or a comma; None where it is none."""
    try:
        found = float(text.strip().replace(",", "."))
    except ValueError:
        return None
    return found if abs(found) < float("inf") else None
