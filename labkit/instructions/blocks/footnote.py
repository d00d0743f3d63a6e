"""Footnotes: `Text[^1]` and `[^1]: the note`, or `^[in the line]`; they stand at the end of their page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.footnote import footnote_plugin

from labkit.instructions.source import Block, Finding, Known, Source, walk


def _number(token: Token) -> str:
    again = f"-{token.meta['subId']}" if token.meta.get("subId", 0) > 0 else ""
    return f"{token.meta['id'] + 1}{again}"


def _reference(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    number, note = _number(tokens[index]), tokens[index].meta["id"] + 1
    return f'<sup><a href="#fn{note}" id="fnref{number}">[{note}]</a></sup>'


def _note(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    return f'<li id="fn{_number(tokens[index])}">'


def _back(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    return f' <a href="#fnref{_number(tokens[index])}">↩</a>'


def _enable(md: MarkdownIt) -> None:
    md.use(footnote_plugin)
    md.add_render_rule("footnote_ref", _reference)
    md.add_render_rule("footnote_open", _note)
    md.add_render_rule("footnote_anchor", _back)
    md.add_render_rule("footnote_block_open", lambda *_: '<div class="lk-footnotes">\n<ol>\n')
    md.add_render_rule("footnote_block_close", lambda *_: "</ol>\n</div>\n")


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    """A reference without its note is plain text to the parser."""
    for placed in walk(source):
        if placed.token.type == "text" and "[^" in placed.token.content:
            name = placed.token.content.partition("[^")[2].partition("]")[0]
            yield placed.line, f"there is no footnote [^{name}]; write it as a line of its own: [^{name}]: the note"


FOOTNOTE = Block("footnote", _enable, _findings)
