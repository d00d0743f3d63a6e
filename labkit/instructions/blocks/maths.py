"""Maths in TeX, as GitHub and GitLab read it: $`x^2`$ in a line, a block of code in the language `math`.

Plain dollars are left alone: in texts about shells they are variables. The browser draws MathML without any script.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from math_core import LatexError, LatexToMathML
from mdit_py_plugins.texmath import texmath_plugin

from labkit.instructions.source import Block, Finding, Known, Source, walk

ALONE = "math_alone"
CONVERTER = LatexToMathML(fancy_error=False)


def _mathml(tex: str, *, alone: bool) -> str:
    return CONVERTER.convert_with_local_state(tex, displaystyle=alone)


def _inline(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    tex = tokens[index].content
    try:
        return _mathml(tex, alone=False)
    except LatexError:
        return f"<code>{escape(tex)}</code>"


def _alone(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    tex = tokens[index].content
    try:
        return _mathml(tex, alone=True) + "\n"
    except LatexError:
        return f"<pre><code>{escape(tex)}</code></pre>\n"


def _take_fences(state: StateCore) -> None:
    for token in state.tokens:
        if token.type == "fence" and token.info.strip() == "math":
            token.type = ALONE


def _enable(md: MarkdownIt) -> None:
    md.use(texmath_plugin, "gitlab")
    md.disable(["math_block", "math_block_eqno"])  # they look for their end outside of the list or quote they are in
    md.core.ruler.after("block", "maths", _take_fences)
    md.add_render_rule("math_inline", _inline)
    md.add_render_rule(ALONE, _alone)


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    for placed in walk(source):
        if placed.token.type in ("math_inline", ALONE):
            try:
                _mathml(placed.token.content, alone=False)
            except LatexError as error:
                _, _, why = str(error).partition(": ")  # what stands before it counts letters
                yield placed.line, f"TeX cannot be read here: {why}"


MATHS = Block("maths", _enable, _findings)
