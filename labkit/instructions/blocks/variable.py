"""`{{ name }}`: in prose a declared variable's value, as text. In code only declared names are replaced.

A value is never parsed: not as Markdown, not as HTML, not as a variable again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from labkit.instructions.source import Block, Finding, Known, Source, walk
from labkit.wording import did_you_mean

WRITTEN = re.compile(r"\{\{([^{}\n]*)\}\}")
IN_LINK = re.compile(r"%7B%7B(?:%20)*([A-Za-z0-9_]+)(?:%20)*%7D%7D", re.IGNORECASE)
Env = MutableMapping[str, Any]


def _rule(state: StateInline, silent: bool) -> bool:
    found = WRITTEN.match(state.src, state.pos, state.posMax)
    if not found:
        return False
    if not silent:
        token = state.push("variable", "", 0)
        token.content = found[1].strip()
        token.markup = found[0]
    state.pos = found.end()
    return True


def value_of(token: Token, env: Env) -> str:
    """The text that a `variable` token stands for; what was written, where it is not declared."""
    return str(_variables(env).get(token.content, token.markup))


def in_code(text: str, env: Env) -> str:
    """`text` with the declared names replaced, and every other `{{…}}` as it is."""
    variables = _variables(env)
    return WRITTEN.sub(lambda found: str(variables.get(found[1].strip(), found[0])), text)


def names_in(text: str) -> list[str]:
    """The names that stand in braces in `text`, declared or not."""
    return [found[1].strip() for found in WRITTEN.finditer(text)]


def in_link(href: str, env: Env) -> str:
    """A link's target with the declared names replaced, so quoted that they cannot change the rest of it."""
    variables = _variables(env)
    return IN_LINK.sub(lambda found: quote(variables[found[1]], safe="") if found[1] in variables else found[0], href)


def _variables(env: Env) -> Mapping[str, str]:
    found: Mapping[str, str] = env.get("variables", {})
    return found


def _render(_: object, tokens: Sequence[Token], index: int, __: object, env: Env) -> str:
    return escape(value_of(tokens[index], env))


def _enable(md: MarkdownIt) -> None:
    md.inline.ruler.before("escape", "variable", _rule)
    md.add_render_rule("variable", _render)


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    if known.declared is None:
        return
    for placed in walk(source):
        token = placed.token
        names: list[str] = []
        if token.type == "variable":
            names = [token.content]
        elif token.type in ("html_block", "html_inline"):
            names = names_in(token.content)
        elif token.type == "link_open":
            names = [found[1] for found in IN_LINK.finditer(str(token.attrs.get("href", "")))]
        yield from ((placed.line, _undeclared(name, known)) for name in names if name not in known.declared)


def _undeclared(name: str, known: Known) -> str:
    near = did_you_mean(name, known.declared or ())
    return f"'{{{{ {name} }}}}' is not declared in lab.yaml{near} (to show the braces as they are, write \\{{{{)"


VARIABLE = Block("variable", _enable, _findings)
