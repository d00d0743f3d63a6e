"""Highlighted code, and the style sheet that gives it colours in light and in dark."""

from __future__ import annotations

from html import escape

from pygments import highlight as pygmentise
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

LIGHT, DARK = "default", "github-dark"
BEFORE = ".lk-code"
IN_DARK = '[data-theme="dark"]'


def highlight(code: str, language: str) -> str:
    """`code` as HTML with a span for each kind of word; only escaped where `language` is empty or not known."""
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return escape(code)
    return str(pygmentise(code, lexer, HtmlFormatter(nowrap=True)))


def highlight_css() -> str:
    """The rules for the classes that `highlight` writes, below `.lk-code`.

    Light, and dark within an element that says so by `data-theme="dark"`. Backgrounds are left to the page.
    """
    return f"{_rules(LIGHT, BEFORE)}\n{_rules(DARK, f'{IN_DARK} {BEFORE}')}\n"


def _rules(style: str, prefix: str) -> str:
    rules: list[str] = HtmlFormatter(style=style).get_token_style_defs(prefix)  # type: ignore[no-untyped-call]
    return "\n".join(rules)
