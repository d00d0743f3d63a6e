"""Everything that is wrong in a lab's pages, at once: each block's own faults, and those between pages."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from labkit.errors import Fault
from labkit.instructions.blocks.container import opening
from labkit.instructions.blocks.heading import points, step_id
from labkit.instructions.blocks.question import question_id
from labkit.instructions.blocks.variable import names_in
from labkit.instructions.condition import names_in as names_in_condition
from labkit.instructions.front import Front, front_of
from labkit.instructions.load import FOLDER
from labkit.instructions.parse import BLOCKS, parse
from labkit.instructions.render import title_heading
from labkit.instructions.source import Finding, Known, Source, walk
from labkit.instructions.texts import Text, Texts
from labkit.wording import did_you_mean

FILE_NAME = re.compile(r"([a-z]{2}/)?(shared/)?[A-Za-z0-9][A-Za-z0-9._-]{0,60}\.md")


@dataclass(frozen=True)
class _Page:
    """One text as parsed. `place` is its file's."""

    text: Text
    source: Source
    front: Front
    wrong: Sequence[Finding]

    @property
    def place(self) -> str:
        return f"{FOLDER}/{self.text.file}"

    @property
    def steps(self) -> dict[str, tuple[int, object]]:
        """The page's steps and questions: id, line, and what must be the same in all languages."""
        found: dict[str, tuple[int, object]] = {}
        for placed in walk(self.source):
            name = step_id(placed.token) or question_id(placed.token)
            if name is not None:
                worth = (
                    points(placed.token)
                    if placed.token.type == "heading_open"
                    else opening(placed.token.info).number("points")
                )
                found.setdefault(name, (placed.line, worth))
        return found


def faults(
    pages: Sequence[tuple[str, str]],
    *,
    declared: Collection[str] | None,
    checks: Collection[str] | None,
    machines: Mapping[str, Collection[str]] | None,
    media: Collection[str],
    language: str = "en",
) -> tuple[Fault, ...]:
    """All faults in `pages` (file name and text), sorted by place.

    `declared` are the variables, `checks` the steps that have a folder of checks, `machines` the names of each
    machine's panes, `media` the files in `media/…`, `language` is the lab's. None: not known, so nothing is said about
    references to it.
    """
    texts = Texts.of(pages, language)
    known = Known(declared, checks, machines, media)
    found = [] if texts.texts else [Fault(FOLDER, 0, "holds no pages; write the first one, for example 1-start.md")]
    parsed = [_page(text) for text in texts.texts]
    for page in parsed:
        in_language = replace(known, shared=texts.shared(page.text.language))
        found += [Fault(page.place, line, text) for line, text in _of_page(page, in_language)]
    own = [page for page in parsed if not page.text.shared]
    default = [page for page in own if page.text.language == language]
    others = [page for page in own if page.text.language != language]
    between = [*_of_steps(default, known), *_of_gates(default, known), *_of_languages(default, others)]
    return tuple(sorted({*found, *between}))


def _page(text: Text) -> _Page:
    source = parse(text.file, text.text)
    front, wrong = front_of(source)
    return _Page(text, source, front, wrong)


def _of_page(page: _Page, known: Known) -> Iterator[Finding]:
    yield from page.wrong
    if not FILE_NAME.fullmatch(page.text.file):
        yield 0, "the file name holds other characters than letters, digits, '.', '_' and '-'; rename it"
    if page.text.shared:
        yield from (
            (line, f"step '{name}' stands in a piece to include; write it in a page")
            for name, (line, _) in page.steps.items()
        )
    elif not page.wrong and not page.front.title and title_heading(page.source) is None:
        yield 1, "the page has no title; begin it with three lines: ---, title: …, ---"
    asked = list(names_in_condition(page.front.condition)) if page.front.condition else []
    named = (("title", names_in(page.front.title)), ("condition", asked))
    for key, names in named:
        for name in names:
            if known.declared is not None and name not in known.declared:
                shown = f"{{{{ {name} }}}}" if key == "title" else name
                yield 1, f"{key}: '{shown}' is not declared in lab.yaml{did_you_mean(name, known.declared)}"
    for block in BLOCKS:
        yield from block.findings(page.source, known)


def _of_steps(pages: Sequence[_Page], known: Known) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for page in pages:
        for placed in walk(page.source):
            step, question = step_id(placed.token), question_id(placed.token)
            name, kind = (step, "step") if step else (question, "question")
            if name is None:
                continue
            if name in seen:
                text = f"{kind} '{name}' stands here again (first in {seen[name]}); give it another id"
                yield Fault(page.place, placed.line, text)
            seen.setdefault(name, f"{page.place}:{placed.line}")
    for step in known.checks or ():
        if step not in seen:
            yield Fault(f"checks/{step}", 0, f"no page has a step '{step}'{did_you_mean(step, seen)}")


def _of_gates(pages: Sequence[_Page], known: Known) -> Iterator[Fault]:
    """What a page requires must be decided by a check or a quiz, and must be within reach before the page is."""
    home = {name: index for index, page in reversed(list(enumerate(pages))) for name in page.steps}
    questions = {name for page in pages for placed in walk(page.source) if (name := question_id(placed.token))}
    for index, page in enumerate(pages):
        for name in page.front.requires:
            if name not in home:
                yield Fault(page.place, 1, f"requires: no page has a step or quiz '{name}'{did_you_mean(name, home)}")
            elif home[name] >= index:
                yield Fault(
                    page.place, 1, f"requires: '{name}' stands on this page or a later one: nobody could get there"
                )
            elif known.checks is not None and name not in known.checks and name not in questions:
                yield Fault(page.place, 1, f"requires: step '{name}' has no check, so that it would hold nobody up")


def _of_languages(pages: Sequence[_Page], others: Sequence[_Page]) -> Iterator[Fault]:
    """Ticks and results hang on ids: a page has the same in every language."""
    default = {page.text.name: page for page in pages}
    for page in others:
        original = default.get(page.text.name)
        if original is None:
            near = did_you_mean(page.text.name, default)
            yield Fault(page.place, 0, f"there is no {FOLDER}/{page.text.name} of which this is the translation{near}")
            continue
        for name, (line, worth) in original.steps.items():
            if name not in page.steps:
                yield Fault(page.place, 0, f"'{name}' is missing here ({original.place}:{line} has it)")
            elif page.steps[name][1] != worth:
                yield Fault(
                    page.place, page.steps[name][0], f"'{name}' has other points here than in {original.place}:{line}"
                )
        for name in page.steps.keys() - original.steps.keys():
            yield Fault(
                page.place,
                page.steps[name][0],
                f"'{name}' is not in {original.place}; ids are the same in all languages",
            )


def untranslated(pages: Sequence[tuple[str, str]], language: str) -> Iterator[Fault]:
    """The gaps in other languages: no faults, since such a page is shown in the lab's own language."""
    texts = Texts.of(pages, language)
    written = {(text.name, text.language) for text in texts.texts if not text.shared}
    for text in texts.pages(language):
        for other in texts.languages:
            if (text.name, other) not in written:
                yield Fault(f"{FOLDER}/{text.file}", 0, f"is not written in '{other}' ({FOLDER}/{other}/{text.name})")
