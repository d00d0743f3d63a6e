"""GitHub's alerts: a quote that begins with `[!NOTE]`, TIP, IMPORTANT, WARNING or CAUTION."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token

from labkit.instructions.source import Block, Env, Finding, Known, Source, walk
from labkit.wording import did_you_mean

KINDS = ("NOTE", "TIP", "IMPORTANT", "WARNING", "CAUTION")
MARKER = re.compile(r"\[!([A-Za-z]+)\]")


def _open(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    return f'<div class="lk-alert lk-{tokens[index].info.lower()}">\n'


def _title(*_: object) -> str:
    return '<p class="lk-alert-title">'


def _prepare(tokens: Sequence[Token], env: Env) -> Sequence[Token]:
    """Each alert's title in the language of the page."""
    found = list(tokens)
    for index, token in enumerate(tokens):
        if token.type == "alert_title_open":
            title = Token("text", "", 0, content=env["words"](tokens[index + 1].content))
            found[index + 1] = tokens[index + 1].copy(children=[title])
    return found


def _enable(md: MarkdownIt) -> None:
    md.options["alerts"] = True
    md.add_render_rule("alert_open", _open)
    md.add_render_rule("alert_title_open", _title)


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    """A quote that looks like an alert and was not read as one."""
    quoted = False
    for placed in walk(source):
        found = MARKER.match(placed.token.content) if quoted and placed.token.type == "inline" else None
        if found and found[1].upper() not in KINDS:
            yield placed.line, f"unknown alert '[!{found[1]}]'{did_you_mean(found[1].upper(), KINDS)}"
        elif found:
            yield placed.line, f"'{found[0]}' must stand alone in the first line of the quote"
        quoted = placed.token.type == "blockquote_open" or (quoted and placed.token.type == "paragraph_open")


ALERT = Block("alert", _enable, _findings, _prepare)
