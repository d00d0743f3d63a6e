"""What needs no block of its own: tables, definitions, struck-out text, the author's HTML; and task lists, refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.deflist import deflist_plugin

from labkit.instructions.blocks.container import is_box
from labkit.instructions.blocks.variable import WRITTEN, value_of
from labkit.instructions.sanitise import TAGS
from labkit.instructions.source import Block, Env, Finding, Known, Source, walk

TASK = re.compile(r"\[[ xX]\](\s|$)")
TAG = re.compile(r"<([A-Za-z][A-Za-z0-9-]*)")
ALIGNMENT = re.compile(r"text-align:(left|center|right)")


def _html(_: object, tokens: Sequence[Token], index: int, __: object, env: Env) -> str:
    def text(found: re.Match[str]) -> str:
        token = Token("variable", "", 0, content=found[1].strip(), markup=found[0])
        return escape(value_of(token, env))

    return WRITTEN.sub(text, tokens[index].content)


def _cell(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    found = ALIGNMENT.search(str(tokens[index].attrs.get("style", "")))
    return f'<{tokens[index].tag} class="lk-{found[1]}">' if found else f"<{tokens[index].tag}>"


def _enable(md: MarkdownIt) -> None:
    md.enable(["table", "strikethrough"])
    md.use(deflist_plugin)
    for kind in ("html_block", "html_inline"):
        md.add_render_rule(kind, _html)
    for kind in ("td_open", "th_open"):
        md.add_render_rule(kind, _cell)


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    in_item, quiz = False, -1  # the level of the quiz that is open
    for placed in walk(source):
        if is_box(placed.token, ("quiz",)):
            quiz = placed.token.level
        elif placed.token.type == "container_box_close" and placed.token.level == quiz:
            quiz = -1
        if in_item and quiz < 0 and placed.token.type == "inline" and TASK.match(placed.token.content):
            yield (
                placed.line,
                "a box in a list keeps no tick; make it a step: a heading with an id, '## Do it {#do-it}'",
            )
        if placed.token.type in ("html_block", "html_inline"):
            yield from ((placed.line, text) for text in _removed(placed.token.content))
        in_item = placed.token.type == "list_item_open" or (in_item and placed.token.type == "paragraph_open")


def _removed(html: str) -> Iterator[str]:
    for found in TAG.finditer(html):
        tag = found[1].lower()
        if tag == "img":
            yield "write an image as ![what it shows](media/NAME), so that it can be checked"
        elif tag not in TAGS:
            yield f"<{tag}> is taken out of pages; say it in Markdown, or leave it out"


PLAIN = Block("plain", _enable, _findings)
