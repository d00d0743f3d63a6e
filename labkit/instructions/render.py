"""Tokens to the page model, for one learner: pages, the steps in them, and sanitised HTML."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from markdown_it.token import Token

from labkit.instructions.blocks.heading import level, plain_text, points, poll, step_id
from labkit.instructions.blocks.variable import in_code
from labkit.instructions.condition import holds
from labkit.instructions.front import Front, front_of
from labkit.instructions.model import HtmlPart, Page, PageModel, StepPart
from labkit.instructions.parse import BLOCKS, PARSER, parse
from labkit.instructions.sanitise import sanitise
from labkit.instructions.source import Env, Source
from labkit.instructions.texts import Texts
from labkit.languages import words


def render(
    pages: Sequence[tuple[str, str]],
    *,
    variables: Mapping[str, str],
    checks: Collection[str],
    title: str = "",
    language: str = "en",
    wanted: str = "",
    seed: str = "",
    priced: bool = True,
) -> PageModel:
    """The page model of `pages` (file name and text, as `load_pages` gives them).

    `variables` are the values for `{{ name }}`, `checks` the ids of the steps that a script decides, `title` is the
    lab's, `language` the one of the pages that stand in no language's folder, `wanted` the one that the learner asked
    for, `seed` what the order of answers is drawn from; without `priced`, hints cost nothing. What is wrong in a page
    is shown plainly; `faults` names it.
    """
    texts = Texts.of(pages, language)
    shown = wanted if wanted in texts.languages else language
    shared = texts.shared(shown)
    found, hints, uploads = [], {}, []
    for text in texts.pages(shown):
        source = parse(text.name, text.text, shared)
        front, _ = front_of(source)
        if front.condition and not holds(front.condition, variables):
            continue
        env = environment(source, variables, checks, text.language, seed) | {"priced": priced}
        found.append(_page(source, front, env))
        hints.update(env["hints"])
        uploads += env["uploads"]
    return PageModel(title, shown, tuple(found), texts.languages, hints, tuple(uploads))


def environment(
    source: Source, variables: Mapping[str, str], checks: Collection[str], language: str, seed: str
) -> dict[str, Any]:
    """What blocks are told when they render a page; they leave in `hints`, `questions` and `uploads` what is not for
    the HTML."""
    return {
        "variables": variables,
        "checks": checks,
        "language": language,
        "words": words(language),
        "seed": seed,
        "page": source.id,
        "raw": _raw,
        "html": _html,
        "boxes": 0,
        "hints": {},
        "questions": {},
        "uploads": [],
    }


def _page(source: Source, front: Front, env: Env) -> Page:
    tokens = list(source.tokens)
    heading = title_heading(source)
    title = in_code(front.title, env)
    if not title and heading is not None:
        title = plain_text(tokens[heading + 1].children or (), env)
        del tokens[heading : heading + 3]
    parts = [_part(section, env) for section in _sections(tokens)]
    # Text that came to nothing (a comment, front matter alone) is no part; a step stays one without any text.
    return Page(
        id=source.id,
        title=title or source.id,
        minutes=front.minutes,
        parts=tuple(part for part in parts if isinstance(part, StepPart) or part.html),
        language=env["language"],
        requires=front.requires,
        questions=tuple(env["questions"].values()),
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
    """The tokens, cut before every step and behind every step's end; footnotes belong to no step."""
    section: list[Token] = []
    step: Token | None = None
    for token in tokens:
        ends = token.type == "heading_open" and token.level == 0 and step is not None and level(token) <= level(step)
        begins = token.level == 0 and step_id(token) is not None
        if ends or begins or token.type == "footnote_block_open":
            yield section
            section, step = [], token if begins else None
        section.append(token)
    yield section


def _part(section: Sequence[Token], env: Env) -> HtmlPart | StepPart:
    name = step_id(section[0]) if section else None
    if name is None:
        return HtmlPart(_html(section, env))
    title = plain_text(section[1].children or (), env)
    check = name in env["checks"]
    return StepPart(name, title, points(section[0]), check, _html(section[3:], env), poll(section[0]) if check else 0)


def _raw(tokens: Sequence[Token], env: Env) -> str:
    """HTML that is to become a part of what will be sanitised."""
    for block in BLOCKS:
        tokens = block.prepare(tokens, env)
    html: str = PARSER.renderer.render(tokens, PARSER.options, env)
    return html


def _html(tokens: Sequence[Token], env: Env) -> str:
    return sanitise(_raw(tokens, env)) if tokens else ""
