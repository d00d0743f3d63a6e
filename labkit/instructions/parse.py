"""Text to tokens. What a page may be made of is the table `BLOCKS`: a new kind is a file in `blocks/` and a row."""

from __future__ import annotations

from markdown_it import MarkdownIt
from mdit_py_plugins.front_matter import front_matter_plugin

from labkit.instructions.blocks.action import ACTION
from labkit.instructions.blocks.alert import ALERT
from labkit.instructions.blocks.code import CODE
from labkit.instructions.blocks.disclosure import DISCLOSURE
from labkit.instructions.blocks.heading import HEADING
from labkit.instructions.blocks.image import IMAGE
from labkit.instructions.blocks.link import LINK
from labkit.instructions.blocks.plain import PLAIN
from labkit.instructions.blocks.variable import VARIABLE
from labkit.instructions.source import Source

BLOCKS = (
    PLAIN,
    VARIABLE,
    HEADING,
    ALERT,
    ACTION,
    CODE,
    DISCLOSURE,
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


def parse(name: str, text: str) -> Source:
    """One page: `name` is its file's name, `text` what is in it. Every text is a page; faults are told elsewhere."""
    # markdown-it counts lines as the browser's newline rules do; so must everything that names a line.
    unified = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    return Source(name, unified, PARSER.parse(unified, {}))
