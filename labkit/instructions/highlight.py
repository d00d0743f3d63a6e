"""Highlighted code: words marked with Pygments' short class names, which the lab view's style sheet colours."""

from __future__ import annotations

from html import escape

from pygments import highlight as pygmentise
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound


def highlight(code: str, language: str) -> str:
    """`code` as HTML with a span for each kind of word; only escaped where `language` is empty or not known."""
    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return escape(code)
    return str(pygmentise(code, lexer, HtmlFormatter(nowrap=True)))
