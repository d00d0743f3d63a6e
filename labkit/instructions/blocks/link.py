"""Links lead out of the lab, by http or https, into a window of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping, Sequence
from html import escape
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from labkit.instructions.attributes import unknown, written
from labkit.instructions.blocks.variable import in_code, in_link
from labkit.instructions.source import Block, Finding, Known, Source, walk

WEB = re.compile(r"https?://.+", re.IGNORECASE | re.DOTALL)
OWN = ("href", "title")
"""Attributes that the parser itself sets."""


def _render(_: object, tokens: Sequence[Token], index: int, __: object, env: MutableMapping[str, Any]) -> str:
    token = tokens[index]
    href = in_link(str(token.attrs.get("href", "")), env)
    title = in_code(str(token.attrs.get("title", "")), env)
    # The sanitiser removes a target that is not of the web, and adds what keeps the new window apart.
    return f'<a href="{escape(href)}"' + (f' title="{escape(title)}"' if title else "") + ">"


def _enable(md: MarkdownIt) -> None:
    # Every target is parsed, so that a fault can be told; markdown-it would show a refused link as its source.
    md.validateLink = lambda url: True  # type: ignore[method-assign]
    md.add_render_rule("link_open", _render)


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    for placed in walk(source):
        if placed.token.type != "link_open":
            continue
        given = written(placed.token)
        if not WEB.fullmatch(str(given.get("href", ""))):
            yield placed.line, f"the link to '{given.get('href', '')}' is neither http:// nor https://"
        extra = {name: value for name, value in given.items() if name not in OWN}
        yield from ((placed.line, text) for text in unknown("link", extra))


LINK = Block("link", _enable, _findings)
