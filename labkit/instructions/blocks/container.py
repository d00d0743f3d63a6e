"""Boxes: `:::kind {key=value} Title`, closed by a line of as many colons. MyST's `:::{kind}` is read as well.

What a box holds is the business of the file that renders its kind; here is what all have in common.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.attrs.parse import ParseError, parse
from mdit_py_plugins.container import container_plugin

from labkit.instructions.attributes import UNREADABLE, unknown
from labkit.instructions.source import Block, Finding, Known, Source, walk
from labkit.wording import did_you_mean

KINDS = ("hint", "solution", "quiz", "answer", "collect")
OPENING = re.compile(r"\s*(?:\{([a-z]+)\}|([a-z]+))(?:\s+(\S.*?))?\s*")
BRACES = re.compile(r"(\{[^{}]*\})")
MARKER = re.compile(r":{3,}(.*)")
CLOSING = re.compile(r"[\s>]*:{3,}\s*")
BOX = "container_box_open"
ID = re.compile(r"[a-z][a-z0-9-]{0,39}")
NUMBER = re.compile(r"[0-9]{1,4}(\.[0-9]{1,2})?")


@dataclass(frozen=True)
class Opening:
    """The first line of a box; `unreadable` is what stands there in braces and cannot be read."""

    kind: str
    title: str
    attributes: dict[str, str]
    unreadable: str = ""

    def number(self, name: str) -> int | float:
        """The number that an attribute holds; 0 where there is none, or none that can be read."""
        written = self.attributes.get(name, "")
        if not NUMBER.fullmatch(written):
            return 0
        return float(written) if "." in written else int(written)


@lru_cache(maxsize=4096)
def opening(info: str) -> Opening:
    """What stands behind the colons."""
    found = OPENING.fullmatch(info)
    if not found:
        return Opening("", "", {})
    kind, rest = found[1] or found[2], found[3] or ""
    braces = BRACES.search(rest)
    if not braces or (braces.start() and braces.end() < len(rest)):
        return Opening(kind, rest, {}, rest if rest.startswith("{") else "")
    try:
        _, attributes = parse(braces[1])
    except ParseError:
        return Opening(kind, rest, {}, braces[1])
    return Opening(kind, rest.replace(braces[1], "").strip(), attributes)


def replaced(
    tokens: Sequence[Token], kinds: Sequence[str], make: Callable[[Token, Sequence[Token]], str]
) -> Sequence[Token]:
    """`tokens` with each outermost box of `kinds` replaced by the HTML that `make` gives for its opening and inside."""
    if not any(token.type == BOX for token in tokens):
        return tokens
    found: list[Token] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        if is_box(token, kinds):
            last = next(i for i in range(index + 1, len(tokens)) if _closes(tokens[i], token))
            html = make(token, tokens[index + 1 : last])
            found.append(Token("rendered", "", 0, content=html))
            index = last
        else:
            found.append(token)
        index += 1
    return found


def is_box(token: Token, kinds: Sequence[str]) -> bool:
    """Whether a token begins a box of one of `kinds`."""
    return token.type == BOX and opening(token.info).kind in kinds


def _closes(token: Token, opened: Token) -> bool:
    return token.nesting < 0 and token.level == opened.level and token.type == "container_box_close"


def _enable(md: MarkdownIt) -> None:
    md.use(container_plugin, "box", validate=lambda parameters, _: opening(parameters).kind in KINDS)
    md.add_render_rule("rendered", lambda _, tokens, index, *__: tokens[index].content)


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    closed_at: set[int] = set()
    strange = 0
    for placed in walk(source):
        token = placed.token
        if token.type == BOX:
            end = (token.map or (0, 0))[1]
            opened = opening(token.info)
            # An inner block of the same length takes the outer one's end: both then point at one closing line.
            if end in closed_at or end >= len(source.lines) or not CLOSING.fullmatch(source.lines[end]):
                text = f"the {opened.kind} that begins here has no end; close it with a line {token.markup} of its own"
                yield placed.line, f"{text} (an outer block needs more colons than those inside of it)"
            closed_at.add(end)
            yield from ((placed.line, text) for text in _wrong(opened))
        elif token.type == "inline":
            for offset, text in enumerate(token.content.splitlines()):
                fault, strange = _stray(text.strip(), strange)
                if fault:
                    yield placed.line + offset, fault


def _wrong(opened: Opening) -> Iterator[str]:
    if opened.unreadable:
        yield UNREADABLE.format(opened.unreadable)
    yield from unknown(opened.kind, opened.attributes)
    if "id" in opened.attributes and not ID.fullmatch(opened.attributes["id"]):
        yield f"'{opened.attributes['id']}' is no id; use a-z, 0-9 and '-', beginning with a letter, 40 at most"
    for name in ("cost", "points"):
        if name in opened.attributes and not NUMBER.fullmatch(opened.attributes[name]):
            yield f"{name} '{opened.attributes[name]}' are no number from 0 to 9999, with at most two decimals"


def _stray(text: str, strange: int) -> tuple[str, int]:
    """What is wrong with a line that begins with colons and is still text; and how many unknown boxes are now open."""
    found = MARKER.fullmatch(text)
    if not found:
        return "", strange
    if not found[1].strip():
        wrong = f"'{text}' closes nothing; remove it, or look for a block that ended too early"
        return "" if strange else wrong, max(0, strange - 1)
    kind = opening(found[1]).kind
    return f"unknown block '{found[1].strip()}'{did_you_mean(kind, KINDS)}", strange + 1


CONTAINER = Block("container", _enable, _findings)
