"""Code: fenced and indented blocks, and code within a line. Highlighted, copied, and with actions where asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.attrs.parse import ParseError, parse

from labkit.instructions.attributes import UNREADABLE, unknown, written
from labkit.instructions.blocks.action import CODE_ACTIONS, action_of, button, target_findings
from labkit.instructions.blocks.variable import in_code
from labkit.instructions.highlight import highlight
from labkit.instructions.source import Block, Env, Finding, Known, Source, walk


def info_of(token: Token) -> tuple[str, dict[str, str], str]:
    """A fence's language, its attributes, and what stands in braces but cannot be read."""
    language, brace, rest = token.info.partition("{")
    language = language.split()[0] if language.split() else ""
    if not brace:
        return language, {}, ""
    raw = brace + rest.strip()
    try:
        end, attributes = parse(raw)
    except ParseError:
        return language, {}, raw
    return language, attributes, raw[end + 1 :].strip()


def _copy(attributes: Mapping[str, object]) -> str:
    return f' data-copy="{escape(str(attributes["copy"]))}"' if "copy" in attributes else ""


def _block(_: object, tokens: Sequence[Token], index: int, __: object, env: Env) -> str:
    token = tokens[index]
    language, attributes, _unreadable = info_of(token)
    data = f' data-lang="{escape(language)}"' if language else ""
    data += action_of(attributes, CODE_ACTIONS) + _copy(attributes)
    code = highlight(in_code(token.content, env), language)
    return f'<pre class="lk-code"{data}><code>{code}</code></pre>\n'


def _inline(_: object, tokens: Sequence[Token], index: int, __: object, env: Env) -> str:
    token = tokens[index]
    code = f"<code{_copy(token.attrs)}>{escape(in_code(token.content, env))}</code>"
    action = action_of(token.attrs, CODE_ACTIONS)
    return f"{button(action)}{code}</button>" if action else code


def _enable(md: MarkdownIt) -> None:
    for kind, rule in (("fence", _block), ("code_block", _block), ("code_inline", _inline)):
        md.add_render_rule(kind, rule)


def _findings(source: Source, known: Known) -> Iterator[Finding]:
    for placed in walk(source):
        token = placed.token
        if token.type == "fence":
            _, attributes, unreadable = info_of(token)
            if unreadable:
                yield placed.line, UNREADABLE.format(unreadable)
            yield from ((placed.line, text) for text in _wrong(attributes, known))
            yield from _unclosed(token, source)
        elif token.type == "code_inline":
            yield from ((placed.line, text) for text in _wrong(written(token), known))


def _wrong(attributes: Mapping[str, object], known: Known) -> Iterator[str]:
    yield from unknown("code", attributes)
    yield from target_findings(attributes, known)
    if attributes.get("copy", "yes") not in ("yes", "no"):
        yield f"copy={attributes['copy']} is not known; write copy=yes or copy=no"


def _unclosed(token: Token, source: Source) -> Iterator[Finding]:
    """A fence without an end takes the rest of the page (or of its list, or quote) with it."""
    first, end = token.map or (0, 0)
    last = source.lines[end - 1].lstrip(" \t>") if end - 1 > first else ""
    if not last.startswith(token.markup) or last.strip(token.markup[0] + " \t"):
        yield first + 1, f"the code that begins here has no end; close it with a line {token.markup}"


CODE = Block("code", _enable, _findings)
