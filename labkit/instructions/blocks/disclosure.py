"""`:::hint` and `:::solution`: text that stays folded until it is asked for. MyST's `:::{hint}` is taken as well."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.container import container_plugin

from labkit.instructions.source import Block, Finding, Known, Source, walk
from labkit.wording import did_you_mean

KINDS = {"hint": "Hint", "solution": "Solution"}
PLANNED = ("quiz",)
PARAMETERS = re.compile(r"\s*(?:\{([a-z]+)\}|([a-z]+))(?:\s+(\S.*?))?\s*")
MARKER = re.compile(r":{3,}(.*)")
CLOSING = re.compile(r"[\s>]*:{3,}\s*")


def _kind_and_title(parameters: str) -> tuple[str, str]:
    found = PARAMETERS.fullmatch(parameters)
    return (found[1] or found[2], found[3] or "") if found else ("", "")


def _validator(kind: str) -> Callable[[str, str], bool]:
    return lambda parameters, _markup: _kind_and_title(parameters)[0] == kind


def _render(_: object, tokens: Sequence[Token], index: int, *__: object) -> str:
    token = tokens[index]
    if token.nesting < 0:
        return "</details>\n"
    kind, title = _kind_and_title(token.info)
    return f'<details class="lk-{kind}"><summary>{escape(title or KINDS[kind])}</summary>\n'


def _enable(md: MarkdownIt) -> None:
    for kind in KINDS:
        md.use(container_plugin, kind, validate=_validator(kind), render=_render)


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    closed_at: set[int] = set()
    unknown = 0
    for placed in walk(source):
        token = placed.token
        if token.type.startswith("container_") and token.nesting > 0:
            end = (token.map or (0, 0))[1]
            # An inner block of the same length takes the outer one's end: both then point at one closing line.
            if end in closed_at or end >= len(source.lines) or not CLOSING.fullmatch(source.lines[end]):
                kind = _kind_and_title(token.info)[0]
                text = f"the {kind} that begins here has no end; close it with a line {token.markup} of its own"
                yield placed.line, f"{text} (an outer block needs more colons than those inside of it)"
            closed_at.add(end)
        elif token.type == "inline":
            for offset, text in enumerate(token.content.splitlines()):
                fault, unknown = _stray(text.strip(), unknown)
                if fault:
                    yield placed.line + offset, fault


def _stray(text: str, unknown: int) -> tuple[str, int]:
    """What is wrong with a line that begins with colons and is still text; and how many unknown boxes are now open."""
    found = MARKER.fullmatch(text)
    if not found:
        return "", unknown
    if not found[1].strip():
        wrong = f"'{text}' closes nothing; remove it, or look for a block that ended too early"
        return "" if unknown else wrong, max(0, unknown - 1)
    kind = _kind_and_title(found[1])[0]
    if kind in PLANNED:
        return f"a block '{kind}' is not built in this version", unknown + 1
    return f"unknown block '{found[1].strip()}'{did_you_mean(kind, KINDS)}", unknown + 1


DISCLOSURE = Block("disclosure", _enable, _findings)
