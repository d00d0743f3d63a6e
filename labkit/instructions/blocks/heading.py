"""Headings. One with an explicit id is a step: `## Fetch the page {#fetch points=15}`.

With `poll=10s` its check is run by itself that often, as long as the page is looked at.
The step lasts until the next heading of the same or a higher level, or the next step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token

from labkit.instructions.attributes import UNREADABLE, trailing, unknown
from labkit.instructions.blocks.variable import in_code, value_of
from labkit.instructions.source import Block, Env, Finding, Known, Source, walk

STEP_ID = re.compile(r"[a-z][a-z0-9-]{0,39}")
POINTS = re.compile(r"[0-9]{1,4}(\.[0-9]{1,2})?")
POLL = re.compile(r"([1-9][0-9]{0,2})s")
LEAST_POLL = 5
BREAKS = {"softbreak": " ", "hardbreak": " "}


def step_id(token: Token) -> str | None:
    """The id of the step that a heading begins; None where it is no step, or no heading."""
    found = token.meta.get("attributes", {}).get("id") if token.type == "heading_open" else None
    return str(found) if found else None


def points(token: Token) -> int | float:
    """The points of the step that a heading begins; 0 where none are given, or none that can be read."""
    written = str(token.meta.get("attributes", {}).get("points", "0"))
    if not POINTS.fullmatch(written):
        return 0
    return float(written) if "." in written else int(written)


def poll(token: Token) -> int:
    """Every how many seconds the check of the step that a heading begins is run by itself; 0: it is not."""
    found = POLL.fullmatch(str(token.meta.get("attributes", {}).get("poll", "")))
    return int(found[1]) if found and int(found[1]) >= LEAST_POLL else 0


def level(token: Token) -> int:
    """1 for `#`, 6 for `######`."""
    return int(token.tag[1])


def plain_text(tokens: Sequence[Token], env: Env) -> str:
    """The words of a line of text, without any markup: for titles, and for what stands in for an image."""
    words = []
    for token in tokens:
        if token.type == "variable":
            words.append(value_of(token, env))
        elif token.type == "code_inline":
            words.append(in_code(token.content, env))
        elif token.type == "image":
            words.append(plain_text(token.children or (), env))
        else:
            words.append(BREAKS.get(token.type) or (token.content if token.type.startswith("text") else ""))
    return "".join(words)


def _take_attributes(state: StateCore) -> None:
    """Before lines are parsed: move the braces at the end of a heading into its token."""
    for opening, content in zip(state.tokens, state.tokens[1:], strict=False):
        if opening.type == "heading_open":
            content.content, attributes, unreadable = trailing(content.content)
            opening.meta.update(attributes=attributes, unreadable=unreadable)


def _enable(md: MarkdownIt) -> None:
    md.core.ruler.before("inline", "heading_attributes", _take_attributes)


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    within: Token | None = None
    for placed in walk(source):
        token = placed.token
        if token.type != "heading_open":
            continue
        if token.meta["unreadable"]:
            yield placed.line, UNREADABLE.format(token.meta["unreadable"])
        yield from ((placed.line, text) for text in _wrong_attributes(token))
        name = step_id(token)
        if poll(token) and known.checks is not None and name not in known.checks:
            yield placed.line, f"poll: step '{name}' has no check; add a folder checks/{name}/"
        if name and token.level > 0:
            yield placed.line, f"step '{name}' stands in a list, a quote or a box; move its heading out of it"
        if name and within is not None and level(token) > level(within):
            yield placed.line, f"step '{name}' stands inside of step '{step_id(within)}'; give both the same level"
        within = token if name else within if within and level(token) > level(within) else None


def _wrong_attributes(token: Token) -> Iterator[str]:
    attributes = token.meta["attributes"]
    yield from unknown("heading", attributes)
    name = step_id(token)
    if name and not STEP_ID.fullmatch(name):
        yield f"'{name}' is no id for a step; use a-z, 0-9 and '-', beginning with a letter, 40 at most"
    if "points" in attributes and not name:
        yield "points belong to a step; give the heading an id too, for example {#fetch points=15}"
    if "poll" in attributes and not poll(token):
        yield f"poll '{attributes['poll']}' is no time from {LEAST_POLL}s to 999s, for example poll=10s"
    if "points" in attributes and not POINTS.fullmatch(attributes["points"]):
        yield f"points '{attributes['points']}' are no number from 0 to 9999, with at most two decimals"


HEADING = Block("heading", _enable, _findings)
