"""What learners do with the pages: answers, hints and gates, as the view tells of them and the store keeps them."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit.errors import Conflict, Forbidden, LabkitError
from labkit.model import CheckResult, Principal, Role, Verdict
from tests.support.text_lab import TextLab

FIRST = """# First
## Fetch it {#fetch points=4}

:::hint {#how cost=3}
A secret way.
:::

:::quiz {#port points=2 attempts=2}
Which port?

- [ ] 22
  > That one is SSH's.
- [x] 80
- [ ] 443
:::

:::quiz {#flag kind=text points=1}
The flag?

- [x] {{ flag }}
:::

:::answer {#why points=5}
Why?
:::
"""
SECOND = "---\ntitle: Second\nrequires: [fetch, port]\n---\nThe second secret.\n\n## Look {#look points=1}\n"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[TextLab]:
    found = TextLab(tmp_path, {"1.md": FIRST, "2.md": SECOND}, checks=("fetch",))
    yield found
    found.close()


def answer(lab: TextLab, question: str, *given: str) -> dict[str, Any]:
    state: dict[str, Any] = lab.answer("answer", {"question": question, "given": list(given)})["progress"]["answers"][
        question
    ]
    return state


def keys(lab: TextLab, *texts: str) -> list[str]:
    choices = lab.labs.instructions(lab.principal, lab.id).questions["port"].choices
    return [choice.key for choice in choices if choice.text in texts]


def passed(lab: TextLab, step: str) -> None:
    lab.store.record_result(lab.work, CheckResult(step, Verdict.PASSED, "", time.time(), attested=True, score=1.0))


def test_a_locked_page_is_not_sent_until_all_that_it_requires_is_done(lab: TextLab) -> None:
    passed(lab, "fetch")
    assert "second secret" not in json.dumps([lab.answer("view", {}), lab.answer("page", {"page": "2"})])
    with pytest.raises(ValueError, match="page '2' is still locked"):
        lab.answer("tick", {"step": "look", "done": True})
    answer(lab, "port", *keys(lab, "80"))
    assert lab.answer("status", {})["progress"]["locked"] == []
    assert "second secret" in json.dumps(lab.answer("page", {"page": "2"}))
    assert lab.answer("tick", {"step": "look", "done": True})["progress"]["points"] == 4 + 2 + 1


def test_a_quiz_without_an_attempt_left_holds_nobody_up(lab: TextLab) -> None:
    passed(lab, "fetch")
    for text in ("22", "443"):
        assert lab.answer("status", {})["progress"]["locked"] == ["2"]
        answer(lab, "port", *keys(lab, text))
    assert lab.answer("status", {})["progress"]["locked"] == []


def test_right_answers_are_sent_only_once_nothing_more_can_be_answered(lab: TextLab) -> None:
    right = keys(lab, "80")
    first = answer(lab, "port", *keys(lab, "22"))
    assert (first["right"], first["left"], first["solution"]) == (False, 1, None)
    assert first["feedback"] == ["<p>That one is SSH's.</p>"]
    last = answer(lab, "port", *keys(lab, "443"))
    assert (last["left"], last["over"], last["solution"]) == (0, True, right)
    with pytest.raises(ValueError, match="has been answered 2 times"):
        answer(lab, "port", *right)


def test_a_text_is_compared_with_the_learners_own_variable_and_never_sent(lab: TextLab) -> None:
    assert "LAB{1}" not in json.dumps(lab.answer("view", {}))
    assert answer(lab, "flag", "LAB{2}")["right"] is False
    assert answer(lab, "flag", " lab{1} ")["right"] is True
    with pytest.raises(ValueError, match="has been answered"):
        answer(lab, "flag", "LAB{1}")


def test_a_free_text_waits_for_a_person_and_may_be_changed_until_then(lab: TextLab) -> None:
    answer(lab, "why", "Because.")
    state = answer(lab, "why", "Because of this.")
    assert (state["given"], state["right"], state["points"], state["over"]) == (["Because of this."], None, None, False)
    assert lab.answer("status", {})["progress"]["points"] == 0


OPERATOR = Principal("local", "olga", role=Role.OPERATOR)


def test_what_waits_for_a_person_is_listed_until_it_is_marked_and_the_learner_sees_how(lab: TextLab) -> None:
    answer(lab, "why", "Because.")
    (waiting,) = lab.labs.waiting(OPERATOR)
    assert (waiting.work, waiting.learner, waiting.question, waiting.given) == (lab.work, "Ada", "why", ("Because.",))
    assert lab.labs.handed_in(OPERATOR, lab.id, "why") == b"Because."
    lab.labs.mark(OPERATOR, lab.work, "why", 3.5, "Half of it.")
    progress = lab.answer("status", {})["progress"]
    state = progress["answers"]["why"]
    assert (state["points"], state["comment"], state["over"], progress["points"]) == (3.5, "Half of it.", True, 3.5)
    assert lab.labs.waiting(OPERATOR) == []
    with pytest.raises(ValueError, match="has been marked"):
        answer(lab, "why", "No, because of that.")


@pytest.mark.parametrize(("who", "attested"), [("olga", True), ("ada", False)])
def test_a_mark_is_attested_where_another_than_the_learner_gave_it(lab: TextLab, who: str, attested: bool) -> None:
    answer(lab, "why", "Because.")
    lab.labs.mark(replace(OPERATOR, subject=who), lab.work, "why", 3.5, "Half of it.")
    (mark,) = lab.labs.marks(OPERATOR)
    assert (mark.work, mark.question, mark.points, mark.attested) == (lab.work, "why", 3.5, attested)


@pytest.mark.parametrize(
    ("question", "points", "fault"),
    [
        ("why", 6, "is worth 0 to 5 points, not 6"),
        ("why", 1, "nothing was handed in"),
        ("port", 1, "is marked by its answers"),
        ("none", 1, "no question 'none'"),
    ],
)
def test_a_mark_that_cannot_be_is_refused_with_its_reason(
    lab: TextLab, question: str, points: float, fault: str
) -> None:
    with pytest.raises(LabkitError, match=fault):
        lab.labs.mark(OPERATOR, lab.id, question, points)


def test_marks_are_for_operators(lab: TextLab) -> None:
    for call in (
        lambda: lab.labs.waiting(lab.principal),
        lambda: lab.labs.marks(lab.principal),
        lambda: lab.labs.handed_in(lab.principal, lab.id, "why"),
        lambda: lab.labs.mark(lab.principal, lab.id, "why", 5),
    ):
        with pytest.raises(Forbidden):
            call()


def test_a_file_of_a_locked_page_or_of_a_hint_that_costs_cannot_be_had_by_its_name(tmp_path: Path) -> None:
    first = "# A\n## S {#s}\n![a](media/a.svg)\n\n:::hint {#h cost=1}\n![h](media/h.svg)\n:::\n"
    second = "---\ntitle: B\nrequires: [s]\n---\n![a](media/a.svg) ![b](media/b.svg) [c](media/c.svg)\n"
    german = "---\ntitle: B\nrequires: [s]\n---\n![d](media/d.svg)\n"
    pages, media = {"1.md": first, "2.md": second, "de/2.md": german}, tuple(f"{name}.svg" for name in "abcdefh")
    one = TextLab(tmp_path, pages, checks=("s",), media=media)

    assert had(one) == {"a", "e", "f"}
    one.answer("open_hint", {"hint": "h"})
    passed(one, "s")
    assert had(one) == set("abcdefh")
    one.close()


def had(lab: TextLab) -> set[str]:
    """The names of the files that are handed out now."""
    found = set()
    for name in lab.media:
        with contextlib.suppress(Conflict):
            lab.view.media(f"media/{name}")
            found.add(name[0])
    return found


@pytest.mark.parametrize("given", [[], ["nonsense"], ["a", "b"], [1], "text"])
def test_what_is_no_answer_is_refused_and_counts_for_nothing(lab: TextLab, given: Any) -> None:
    with pytest.raises(ValueError, match=r"choose|an answer is a list"):
        lab.answer("answer", {"question": "port", "given": given})
    assert lab.answer("status", {})["progress"]["answers"] == {}


def test_a_hint_that_costs_is_sent_when_it_is_opened_and_paid_once(lab: TextLab) -> None:
    passed(lab, "fetch")
    assert "secret way" not in json.dumps(lab.answer("view", {}))
    lab.answer("open_hint", {"hint": "how"})
    progress = lab.answer("open_hint", {"hint": "how"})["progress"]
    assert progress["hints"] == {"how": "<p>A secret way.</p>"}
    assert progress["points"] == 4 - 3


def test_what_there_is_not_can_be_neither_opened_nor_answered_nor_read(lab: TextLab) -> None:
    for method, params in (
        ("open_hint", {"hint": "x"}),
        ("answer", {"question": "x", "given": ["y"]}),
        ("page", {"page": "x"}),
    ):
        with pytest.raises(ValueError, match="the lab has no"):
            lab.answer(method, params)


def test_each_learners_answers_stand_in_an_order_of_their_own(tmp_path: Path) -> None:
    orders = set()
    for name in "abcdef":
        (tmp_path / name).mkdir()
        one = TextLab(tmp_path / name, {"1.md": FIRST}, checks=("fetch",))
        html = json.dumps(one.answer("view", {}))
        orders.add(tuple(sorted(("22", "80", "443"), key=lambda text: html.index(f">{text}<"))))
        one.close()
    assert len(orders) > 1
