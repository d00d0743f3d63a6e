"""Attributes in braces, `{#id key=value}`: which may stand where, and reading those at the end of a line.

The table `ALLOWED` says what each place takes; a new attribute is a new word there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from markdown_it.token import Token
from mdit_py_plugins.attrs.parse import ParseError, parse

from labkit.wording import did_you_mean

ALLOWED = {
    "heading": ("id", "points", "poll"),
    "code": ("run", "type", "paste", "copy", "confirm", "interrupt", "max"),
    "text": ("open", "focus", "upload", "file", "to", "confirm", "max"),
    "image": ("width", "height", "captions"),
    "link": (),
    "hint": ("id", "cost"),
    "solution": ("id", "cost"),
    "quiz": ("id", "kind", "points", "attempts", "tolerance", "case", "shuffle"),
    "answer": ("id", "points"),
    "collect": ("id", "points", "machine", "path"),
}
UNREADABLE = (
    "the attributes {} cannot be read; write key=value, and quote a value that holds anything but letters, digits, "
    "':', '_' and '-'"
)
TRAILING = re.compile(r"(?:^|\s)(\{(?!\{)[^{}]*\})\s*$")


def trailing(text: str) -> tuple[str, dict[str, str], str]:
    """`text` without the attributes at its end, those attributes, and what stands there but cannot be read."""
    found = TRAILING.search(text)
    if not found:
        return text, {}, ""
    try:
        _, attributes = parse(found[1])
    except ParseError:
        return text, {}, found[1]
    return text[: found.start()].rstrip(), attributes, ""


def unknown(place: str, attributes: Mapping[str, object]) -> Iterator[str]:
    """What is wrong with the names of `attributes` where `place` is a key of `ALLOWED`."""
    for name in attributes:
        if name not in ALLOWED[place]:
            yield f"unknown attribute '{name}'{did_you_mean(name, ALLOWED[place]) or '; none may stand here'}"


def written(token: Token) -> dict[str, object]:
    """All attributes that the author gave `token`, those included that the parser set aside as dangerous."""
    return {**token.attrs, **token.meta.get("insecure_attrs", {})}
