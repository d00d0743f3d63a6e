"""Highlighted code: words marked with Pygments' short class names, which the lab view's style sheet colours."""

from __future__ import annotations

from functools import cache
from html import escape

from pygments import highlight as pygmentise
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

FORMATTER = HtmlFormatter(nowrap=True)


@cache
def _lexer(language: str) -> Lexer:
    """Raises ClassNotFound, which is not kept: authors may write anything."""
    return get_lexer_by_name(language, stripnl=False, ensurenl=False)


def highlight(code: str, language: str) -> str:
    """`code` as HTML with a span for each kind of word; only escaped where `language` is empty or not known."""
    try:
        lexer = _lexer(language)
    except ClassNotFound:
        return escape(code)
    return str(pygmentise(code, lexer, FORMATTER))
