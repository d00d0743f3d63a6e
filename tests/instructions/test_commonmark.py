"""The CommonMark specification's own examples: our parser, with all its blocks, reads them as the specification says.

What we read otherwise on purpose stands in `OTHERWISE`, with the reason.
"""

from __future__ import annotations

import re
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML

from labkit.instructions.parse import PARSER

SPEC = Path(__file__).parents[2] / "labextension/node_modules/commonmark-spec/spec.txt"
EXAMPLE = re.compile(r"^`{32} example\n(.*?)^\.\n(.*?)^`{32}$", re.MULTILINE | re.DOTALL)
OTHERWISE = {96: "begins with front matter", 98: "is front matter"}
PLAIN = RendererHTML()


def lines_apart(html: str) -> str:
    """HTML without the line breaks between tags, which mean nothing there."""
    return html.replace(">\n<", "><")


def test_the_examples_are_read_as_the_specification_says() -> None:
    examples = EXAMPLE.findall(SPEC.read_text(encoding="utf-8").replace("→", "\t"))
    options = MarkdownIt("commonmark").options
    wrong = [
        f"{number}: {text!r}"
        for number, (text, html) in enumerate(examples, start=1)
        if lines_apart(PLAIN.render(PARSER.parse(text), options, {})) != lines_apart(html) and number not in OTHERWISE
    ]
    assert wrong == []
    assert len(examples) > 600
