"""Tokens to the page model, for one learner: pages, the steps in them, and sanitised HTML."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from markdown_it.token import Token

from labkit.instructions.blocks.heading import level, plain_text, points, step_id
from labkit.instructions.blocks.variable import in_code
from labkit.instructions.front import front_of
from labkit.instructions.model import HtmlPart, Page, PageModel, StepPart
from labkit.instructions.parse import PARSER, parse
from labkit.instructions.sanitise import sanitise
from labkit.instructions.source import Source


def render(
    pages: Sequence[tuple[str, str]],
    *,
    variables: Mapping[str, str],
    checks: Collection[str],
    title: str = "",
    language: str = "en",
) -> PageModel:
    """The page model of `pages` (file name and text, as `load_pages` gives them).

    `variables` are the values for `{{ name }}`, `checks` the ids of the steps that a script decides, `title` is the
    lab's, `language` the one its text is in. What is wrong in a page is shown plainly; `faults` names it.
    """
    sources = [parse(name, text) for name, text in pages]
    return PageModel(title, language, tuple(_page(source, variables, checks) for source in sources))


def _page(source: Source, variables: Mapping[str, str], checks: Collection[str]) -> Page:
    env = {"variables": variables}
    front, _ = front_of(source)
    tokens = list(source.tokens)
    heading = title_heading(source)
    title = in_code(front.title, env)
    if not title and heading is not None:
        title = plain_text(tokens[heading + 1].children or (), env)
        del tokens[heading : heading + 3]
    parts = tuple(_part(section, env, checks) for section in _sections(tokens))
    # Text that came to nothing (a comment, front matter alone) is no part; a step stays one without any text.
    return Page(
        source.id, title or source.id, front.minutes, tuple(p for p in parts if isinstance(p, StepPart) or p.html)
    )


def title_heading(source: Source) -> int | None:
    """Where the page's first `#` heading stands among its tokens, if it begins the text and is no step."""
    for index, token in enumerate(source.tokens):
        if token.type == "heading_open" and level(token) == 1 and not step_id(token):
            return index
        if token.type != "front_matter":
            return None
    return None


def _sections(tokens: Sequence[Token]) -> Iterator[list[Token]]:
    """The tokens, cut before every step and behind every step's end."""
    section: list[Token] = []
    step: Token | None = None
    for token in tokens:
        ends = token.type == "heading_open" and token.level == 0 and step is not None and level(token) <= level(step)
        begins = token.level == 0 and step_id(token) is not None
        if ends or begins:
            yield section
            section, step = [], token if begins else None
        section.append(token)
    yield section


def _part(section: Sequence[Token], env: dict[str, Any], checks: Collection[str]) -> HtmlPart | StepPart:
    name = step_id(section[0]) if section else None
    if name is None:
        return HtmlPart(_html(section, env))
    title = plain_text(section[1].children or (), env)
    return StepPart(name, title, points(section[0]), name in checks, _html(section[3:], env))


def _html(tokens: Sequence[Token], env: dict[str, Any]) -> str:
    return sanitise(PARSER.renderer.render(tokens, PARSER.options, env))
