"""One page as parsed, and what blocks and faults are told about it. Values and walks over tokens, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

Finding = tuple[int, str]
"""A fault within one page: its 1-based line, and what is wrong."""
Env = MutableMapping[str, Any]
"""What rendering knows of the learner, and what it finds: see `render.environment`."""


@dataclass(frozen=True)
class Source:
    """A page's text and tokens. `id` is the file's name without folders and ending."""

    name: str
    text: str
    tokens: Sequence[Token]

    @property
    def id(self) -> str:
        return self.name.rpartition("/")[2].removesuffix(".md")

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")


@dataclass(frozen=True)
class Known:
    """What the text may refer to. None: not known, so nothing is said about it."""

    declared: Collection[str] | None
    checks: Collection[str] | None
    machines: Mapping[str, Collection[str]] | None
    media: Collection[str]
    shared: Mapping[str, str] = field(default_factory=dict)


def _as_parsed(tokens: Sequence[Token], env: Env) -> Sequence[Token]:
    return tokens


@dataclass(frozen=True)
class Block:
    """One kind of thing in the text: how the parser learns it, what can be wrong with it, and what becomes of its
    tokens for one learner before they are rendered."""

    name: str
    enable: Callable[[MarkdownIt], None]
    findings: Callable[[Source, Known], Iterator[Finding]]
    prepare: Callable[[Sequence[Token], Env], Sequence[Token]] = _as_parsed


@dataclass(frozen=True)
class Placed:
    """A token with its 1-based line and its left neighbour in the same line of text, if any."""

    token: Token
    line: int
    before: Token | None = None


def walk(source: Source) -> Iterator[Placed]:
    """All tokens of a page, those within lines of text included.

    A token within a paragraph stands as many lines below its beginning as line breaks came before it.
    """
    line = 1
    for token in source.tokens:
        if token.map:
            line = token.map[0] + 1
        yield Placed(token, line)
        yield from _within(token, line)


def _within(parent: Token, line: int) -> Iterator[Placed]:
    before = None
    for token in parent.children or ():
        yield Placed(token, line, before)
        yield from _within(token, line)
        if token.type in ("softbreak", "hardbreak"):
            line += 1
        before = token
