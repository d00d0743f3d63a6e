"""`:::hint` and `:::solution`: text that stays folded until it is asked for, which may cost points: `:::hint {cost=5}`.

What costs points is no part of the page's HTML: the server hands it out when it is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token

from labkit.instructions.blocks.container import ID, opening, replaced
from labkit.instructions.blocks.variable import in_code
from labkit.instructions.model import Hint
from labkit.instructions.source import Block, Env, Finding, Known, Source

KINDS = {"hint": "Hint", "solution": "Solution"}


def _prepare(tokens: Sequence[Token], env: Env) -> Sequence[Token]:
    def box(token: Token, inside: Sequence[Token]) -> str:
        opened = opening(token.info)
        written = opened.attributes.get("id", "")
        env["boxes"] += 1
        key = written if ID.fullmatch(written) else f"{env['page']}:{env['boxes']}"
        cost = opened.number("cost") if env["priced"] else 0
        env["hints"][key] = Hint(key, env["page"], cost, env["html"](inside, env) if cost else "")
        title = escape(in_code(opened.title, env) or env["words"](KINDS[opened.kind]))
        data = f'data-hint="{escape(key)}"' + (f' data-cost="{cost}"' if cost else "")
        summary = f"<summary>{title}</summary>\n"
        return (
            f'<details class="lk-{opened.kind}" {data}>{summary}{"" if cost else env["raw"](inside, env)}</details>\n'
        )

    return replaced(tokens, tuple(KINDS), box)


def _enable(md: MarkdownIt) -> None:
    """The parser knows boxes already."""


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    yield from ()


DISCLOSURE = Block("disclosure", _enable, _findings, _prepare)
