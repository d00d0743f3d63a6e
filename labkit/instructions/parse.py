"""Text to tokens. What a page may be made of is the table `BLOCKS`: a new kind is a file in `blocks/` and a row."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from markdown_it import MarkdownIt
from mdit_py_plugins.front_matter import front_matter_plugin

from labkit.instructions.blocks.action import ACTION
from labkit.instructions.blocks.alert import ALERT
from labkit.instructions.blocks.code import CODE
from labkit.instructions.blocks.container import CONTAINER
from labkit.instructions.blocks.disclosure import DISCLOSURE
from labkit.instructions.blocks.footnote import FOOTNOTE
from labkit.instructions.blocks.heading import HEADING
from labkit.instructions.blocks.image import IMAGE
from labkit.instructions.blocks.include import INCLUDE, cycle
from labkit.instructions.blocks.link import LINK
from labkit.instructions.blocks.maths import MATHS
from labkit.instructions.blocks.plain import PLAIN
from labkit.instructions.blocks.question import QUESTION
from labkit.instructions.blocks.variable import VARIABLE
from labkit.instructions.source import Source

BLOCKS = (
    PLAIN,
    VARIABLE,
    HEADING,
    ALERT,
    ACTION,
    CODE,
    MATHS,
    FOOTNOTE,
    CONTAINER,
    DISCLOSURE,
    QUESTION,
    INCLUDE,
    IMAGE,
    LINK,
)


def _parser() -> MarkdownIt:
    md = MarkdownIt("commonmark").use(front_matter_plugin)
    md.add_render_rule("front_matter", lambda *_: "")
    for block in BLOCKS:
        block.enable(md)
    return md


PARSER = _parser()


NOTHING: Mapping[str, str] = MappingProxyType({})
MOST_INCLUDED = 1 << 20
"""Letters that a page may have with all that it includes: a few short pieces could include each other to any length."""


def parse(name: str, text: str, shared: Mapping[str, str] = NOTHING) -> Source:
    """One page: `name` is its file's name, `text` what is in it. Every text is a page; faults are told elsewhere.

    `shared` are the pieces to include, by name; without them lines that include something stay tokens of their own.
    """
    # markdown-it counts lines as the browser's newline rules do; so must everything that names a line.
    unified = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    source = Source(name, unified, PARSER.parse(unified, {}))
    filled = _filled(source, shared)
    return source if filled == unified else parse(name, filled, shared)


def _filled(source: Source, shared: Mapping[str, str]) -> str:
    lines = source.lines
    for token in source.tokens:
        path = token.content
        if token.type != "include" or path not in shared or cycle(path, shared):
            continue
        line = (token.map or (0, 0))[0]
        before = lines[line][: len(lines[line]) - len(lines[line].lstrip(" \t>"))]
        piece = shared[path].strip("\n").splitlines()
        if len(source.text) + len(shared[path]) < MOST_INCLUDED:
            lines[line] = "\n".join(before + one for one in piece)
    return "\n".join(lines)
