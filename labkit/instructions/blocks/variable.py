"""`{{ name }}`: in prose a declared variable's value, as text. In code only declared names are replaced.

`{{ name | sh }}` quotes it for where it stands (`FILTERS`). A value is never parsed: not as Markdown, not as
HTML, not as a variable again.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from urllib.parse import quote

from markdown_it import MarkdownIt
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from labkit.instructions.source import Block, Env, Finding, Known, Source, walk
from labkit.wording import did_you_mean

WRITTEN = re.compile(r"\{\{([^{}\n]*)\}\}")
IN_LINK = re.compile(r"%7B%7B(?:%20)*([A-Za-z0-9_]+)(?:%20)*%7D%7D", re.IGNORECASE)
FILTERS: Mapping[str, Callable[[str], str]] = {
    "sh": shlex.quote,
    "url": lambda text: quote(text, safe=""),
    "json": lambda text: json.dumps(text, ensure_ascii=False),
}
"""How a value is quoted: as one word of a shell, as a part of an address, as a text in JSON."""


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
    found = _filled(token.content, env)
    return token.markup if found is None else found


def _filled(words: str, env: Env) -> str | None:
    """The value of `name` or `name | filter`; None where either is not known."""
    name, *filters = (word.strip() for word in words.split("|"))
    found = _variables(env).get(name)
    for word in filters:
        if found is None or word not in FILTERS:
            return None
        found = FILTERS[word](found)
    return found


def in_code(text: str, env: Env) -> str:
    """`text` with the declared names replaced, and every other `{{…}}` as it is."""

    def value(found: re.Match[str]) -> str:
        text = _filled(found[1], env)
        return found[0] if text is None else text

    return WRITTEN.sub(value, text) if "{{" in text else text


def names_in(text: str) -> list[str]:
    """The names that stand in braces in `text`, declared or not."""
    return [found[1].partition("|")[0].strip() for found in WRITTEN.finditer(text)]


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
            name, *filters = (word.strip() for word in token.content.split("|"))
            names = [name]
            strange = (word for word in filters if word not in FILTERS)
            yield from ((placed.line, f"unknown filter '{word}'{did_you_mean(word, FILTERS)}") for word in strange)
        elif token.type in ("html_block", "html_inline"):
            names = names_in(token.content)
        elif token.type == "link_open":
            names = [found[1] for found in IN_LINK.finditer(str(token.attrs.get("href", "")))]
        yield from ((placed.line, _undeclared(name, known)) for name in names if name not in known.declared)


def _undeclared(name: str, known: Known) -> str:
    if name.startswith("include"):
        return f"'{{{{ {name} }}}}' must stand alone in its line"
    near = did_you_mean(name, known.declared or ())
    return f"'{{{{ {name} }}}}' is not declared in lab.yaml{near} (to show the braces as they are, write \\{{{{)"


VARIABLE = Block("variable", _enable, _findings)
