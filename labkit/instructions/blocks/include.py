"""`{{ include "shared/rules.md" }}` in a line of its own: a piece of text that several pages have.

The lines are put in place before the page is read, so that a piece may do all that a page may, but hold steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock

from labkit.instructions.source import Block, Finding, Known, Source, walk
from labkit.instructions.texts import SHARED, included
from labkit.wording import did_you_mean


def _rule(state: StateBlock, line: int, _last: int, silent: bool) -> bool:
    if state.is_code_block(line):
        return False
    path = included(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]])
    if path is None:
        return False
    if not silent:
        token = state.push("include", "", 0)
        token.content, token.map = path, [line, line + 1]
        state.line = line + 1
    return True


def cycle(path: str, shared: Mapping[str, str], within: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The pieces, in order, through which the piece `path` includes itself; nothing where none does."""
    if path in within:
        return (*within[within.index(path) :], path)
    paths = filter(None, map(included, shared.get(path, "").split("\n")))
    return next((found for below in paths if (found := cycle(below, shared, (*within, path)))), ())


def _enable(md: MarkdownIt) -> None:
    md.block.ruler.before("fence", "include", _rule, {"alt": ["paragraph"]})
    md.add_render_rule("include", lambda *_: "")


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    for placed in walk(source):
        if placed.token.type != "include":
            continue
        path = placed.token.content
        if path not in known.shared:
            near = did_you_mean(path, known.shared)
            yield placed.line, f"there is no file '{path}' to include; pieces stand in {SHARED}{near}"
        elif found := cycle(path, known.shared):
            yield placed.line, f"the piece includes itself: {' → '.join(found)}"


INCLUDE = Block("include", _enable, _findings)
