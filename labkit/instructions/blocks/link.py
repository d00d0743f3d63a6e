"""Links lead out of the lab, by http or https, into a window of their own; or hand out a file of `media/`."""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping, Sequence
from html import escape
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from labkit.instructions.attributes import unknown, written
from labkit.instructions.blocks.variable import in_code, in_link
from labkit.instructions.source import Block, Finding, Known, Source, walk
from labkit.wording import did_you_mean

WEB = re.compile(r"https?://.+", re.IGNORECASE | re.DOTALL)
FILE = re.compile(r"media/(?!.*\.\.)[A-Za-z0-9._/-]+")
OWN = ("href", "title")
"""Attributes that the parser itself sets."""


def _render(_: object, tokens: Sequence[Token], index: int, __: object, env: MutableMapping[str, Any]) -> str:
    token = tokens[index]
    href = in_link(str(token.attrs.get("href", "")), env)
    title = in_code(str(token.attrs.get("title", "")), env)
    # The sanitiser removes a target that is neither, and adds what keeps the new window apart.
    kind = ' download=""' if FILE.fullmatch(href) else ' target="_blank"'
    return f'<a href="{escape(href)}"' + (f' title="{escape(title)}"' if title else "") + f"{kind}>"


def _enable(md: MarkdownIt) -> None:
    # Every target is parsed, so that a fault can be told; markdown-it would show a refused link as its source.
    md.validateLink = lambda url: True  # type: ignore[method-assign]
    md.add_render_rule("link_open", _render)


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    for placed in walk(source):
        if placed.token.type != "link_open":
            continue
        given = written(placed.token)
        href = unquote(str(given.get("href", "")))
        if href.startswith("media/"):
            if href not in known.media:
                yield placed.line, f"there is no file '{href}'{did_you_mean(href, known.media)}"
        elif not WEB.fullmatch(href):
            yield (
                placed.line,
                f"the link to '{given.get('href', '')}' is neither http:// nor https://, nor a file in media/",
            )
        extra = {name: value for name, value in given.items() if name not in OWN}
        yield from ((placed.line, text) for text in unknown("link", extra))


LINK = Block("link", _enable, _findings)
