"""`:::quiz`, `:::answer`, `:::collect`: questions. What is right, and what is said to it, never stands in the HTML.

:::quiz {#port points=2 attempts=3}
Which port does HTTP use?

- [ ] 22
  > That one is SSH's.
- [x] 80
:::

What `answer` takes as a text, and `collect` as a file of a machine, is marked by a person.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

from labkit.instructions.blocks.action import PLACE
from labkit.instructions.blocks.container import ID, Opening, is_box, opening, replaced
from labkit.instructions.blocks.heading import plain_text
from labkit.instructions.questions import CHOSEN, KINDS, Choice, Question, number
from labkit.instructions.source import Block, Env, Finding, Known, Source
from labkit.wording import did_you_mean

QUESTIONS = ("quiz", "answer", "collect")
BOX = re.compile(r"\[([ xX])\](?:\s+|$)")
ATTEMPTS = re.compile("[1-9][0-9]?")


def question_id(token: Token) -> str | None:
    """The id of the question that a box begins; None where it is none, or has none that can be read."""
    if not is_box(token, QUESTIONS):
        return None
    found = opening(token.info).attributes.get("id", "")
    return found if ID.fullmatch(found) else None


def _prepare(tokens: Sequence[Token], env: Env) -> Sequence[Token]:
    def box(token: Token, inside: Sequence[Token]) -> str:
        opened = opening(token.info)
        text, answers = _parts(inside)
        name = question_id(token) or f"{env['page']}-{env['boxes']}"
        question = _question(opened, name, answers, env)
        env["questions"][name] = question
        data = f'data-quiz="{escape(name)}" data-kind="{question.kind}"'
        data += f' data-points="{question.points}"' if question.points else ""
        choices = _choices(question, answers, env, shuffled=opened.attributes.get("shuffle") != "no")
        place = f"<p><code>{escape(f'{question.machine}:{question.path}')}</code></p>\n" if question.path else ""
        return f'<div class="lk-quiz" {data}>\n{env["raw"](text, env)}{place}{choices}</div>\n'

    return replaced(tokens, QUESTIONS, box)


def _parts(inside: Sequence[Token]) -> tuple[Sequence[Token], list[Sequence[Token]]]:
    """The question's own tokens, and those of each answer in the list that ends it."""
    if not inside or inside[-1].type != "bullet_list_close":
        return inside, []
    level = inside[-1].level
    begin = max(i for i, token in enumerate(inside) if token.type == "bullet_list_open" and token.level == level)
    items: list[Sequence[Token]] = []
    first = begin
    for index in range(begin + 1, len(inside)):
        token = inside[index]
        if token.level == level + 1 and token.type == "list_item_open":
            first = index + 1
        elif token.level == level + 1 and token.type == "list_item_close":
            items.append(inside[first:index])
    return inside[:begin], items


def _marked(item: Sequence[Token]) -> bool | None:
    """Whether an answer is marked as right; None where it has no box."""
    content = item[1].content if len(item) > 1 and item[1].type == "inline" else ""
    found = BOX.match(content)
    return found[1] != " " if found else None


def _said(item: Sequence[Token]) -> tuple[list[Token], list[Token]]:
    """An answer's own tokens without its box, and what the quotes in it say to who gives it."""
    own: list[Token] = []
    feedback: list[Token] = []
    quoted = False
    for token in item:
        at_top = token.level == item[0].level
        quoted = quoted or (at_top and token.type == "blockquote_open")
        if not (at_top and token.type.startswith("blockquote")):
            (feedback if quoted else own).append(token)
        quoted = quoted and not (at_top and token.type == "blockquote_close")
    if len(own) > 1 and own[1].children and BOX.match(own[1].content):
        first = own[1].children[0].copy(content=BOX.sub("", own[1].children[0].content, count=1))
        own[1] = own[1].copy(children=[first, *own[1].children[1:]])
    return own, feedback


def _kind(opened: Opening, answers: Sequence[Sequence[Token]]) -> str:
    if opened.kind in ("answer", "collect"):
        return "free" if opened.kind == "answer" else "file"
    guessed = "multiple" if sum(_marked(item) is True for item in answers) > 1 else "single"
    given = opened.attributes.get("kind", guessed)
    return given if given in KINDS else guessed


def _question(opened: Opening, name: str, answers: Sequence[Sequence[Token]], env: Env) -> Question:
    given = opened.attributes
    choices = []
    for index, item in enumerate(answers):
        own, feedback = _said(item)
        secret = hashlib.sha256(f"{env['seed']}:{name}:{index}".encode()).hexdigest()[:12]
        text = plain_text(own[1].children or () if len(own) > 1 else (), env).strip()
        choices.append(Choice(secret, text, _marked(item) is True, env["html"](feedback, env)))
    attempts = given.get("attempts", "")
    return Question(
        id=name,
        page=env["page"],
        kind=_kind(opened, answers),
        points=opened.number("points"),
        attempts=int(attempts) if ATTEMPTS.fullmatch(attempts) else 0,
        choices=tuple(choices),
        tolerance=number(given.get("tolerance", "")) or 0.0,
        case=given.get("case") == "yes",
        machine=given.get("machine", ""),
        path=given.get("path", ""),
    )


def _choices(question: Question, answers: Sequence[Sequence[Token]], env: Env, *, shuffled: bool) -> str:
    """The answers to choose from, by their keys: drawn from the learner's seed, those put them into an order too."""
    if question.kind not in CHOSEN:
        return ""
    pairs = [(choice.key, _said(item)[0]) for choice, item in zip(question.choices, answers, strict=True)]
    shown = sorted(pairs, key=lambda pair: pair[0]) if shuffled else pairs
    lines = (f'<li data-answer="{key}">{env["raw"](own, env).strip()}</li>\n' for key, own in shown)
    return f'<ul class="lk-answers">\n{"".join(lines)}</ul>\n'


def _enable(md: MarkdownIt) -> None:
    """The parser knows boxes already."""


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    for index, token in enumerate(source.tokens):
        if not is_box(token, QUESTIONS):
            continue
        line = (token.map or (0, 0))[0] + 1
        last = next(
            i
            for i in range(index + 1, len(source.tokens))
            if source.tokens[i].nesting < 0 and source.tokens[i].level == token.level
        )
        _, answers = _parts(source.tokens[index + 1 : last])
        yield from ((line, text) for text in _wrong(opening(token.info), answers, known))


def _wrong(opened: Opening, answers: Sequence[Sequence[Token]], known: Known) -> Iterator[str]:
    given = opened.attributes
    if "id" not in given:
        example = f":::{opened.kind} {{#port points=2}}"
        yield f"the {opened.kind} has no id, on which answers hang; write for example {example}"
    if opened.kind == "collect":
        yield from _wrong_place(given, known)
    if opened.kind != "quiz":
        return
    yield from _wrong_words(given)
    if not answers:
        yield "the quiz has no answers; end it with a list: - [ ] a wrong one, - [x] a right one"
    elif any(_marked(item) is None for item in answers):
        yield "an answer of the quiz has no box; begin each with [ ] or [x]"
    elif not any(_marked(item) for item in answers):
        yield "no answer of the quiz is right; mark one with [x]"
    if given.get("kind") == "single" and sum(_marked(item) is True for item in answers) > 1:
        yield "kind=single has more than one right answer; leave one, or write kind=multiple"
    if given.get("kind") == "number":
        for item in answers:
            word = plain_text(_said(item)[0][1].children or (), {}) if len(item) > 1 else ""
            if number(word) is None and "{{" not in word:
                yield f"kind=number: '{word.strip()}' is no number"


def _wrong_place(given: dict[str, str], known: Known) -> Iterator[str]:
    machine, path = given.get("machine", ""), given.get("path", "")
    if known.machines is not None and machine not in known.machines:
        yield f"collect: there is no machine '{machine}'{did_you_mean(machine, known.machines)}"
    if not PLACE.fullmatch(path):
        yield f"collect: '{path}' is no file of a machine; write path=\"/home/student/NAME\""


def _wrong_words(given: dict[str, str]) -> Iterator[str]:
    if "kind" in given and given["kind"] not in KINDS:
        yield f"unknown kind '{given['kind']}'{did_you_mean(given['kind'], KINDS)}"
    if "attempts" in given and not ATTEMPTS.fullmatch(given["attempts"]):
        yield f"attempts '{given['attempts']}' are no number from 1 to 99; without the word there is no limit"
    if "tolerance" in given and number(given["tolerance"]) is None:
        yield f"tolerance '{given['tolerance']}' is no number"
    for name in ("case", "shuffle"):
        if given.get(name, "no") not in ("yes", "no"):
            yield f"{name}={given[name]} is not known; write {name}=yes or {name}=no"


QUESTION = Block("question", _enable, _findings, _prepare)
