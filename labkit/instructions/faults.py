"""Everything that is wrong in a lab's pages, at once: each block's own faults, and those between pages."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from labkit.errors import Fault
from labkit.instructions.blocks.heading import step_id
from labkit.instructions.blocks.variable import names_in
from labkit.instructions.front import front_of
from labkit.instructions.load import FOLDER
from labkit.instructions.parse import BLOCKS, parse
from labkit.instructions.render import title_heading
from labkit.instructions.source import Finding, Known, Source, walk
from labkit.wording import did_you_mean

PAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}\.md")


def faults(
    pages: Sequence[tuple[str, str]],
    *,
    declared: Collection[str] | None,
    checks: Collection[str] | None,
    machines: Mapping[str, Collection[str]] | None,
    media: Collection[str],
) -> tuple[Fault, ...]:
    """All faults in `pages` (file name and text), sorted by place.

    `declared` are the variables, `checks` the steps that have a folder of checks, `machines` the names of each
    machine's panes, `media` the image files (`media/…`). None: not known, so nothing is said about references to it.
    """
    known = Known(declared, checks, machines, media)
    sources = [parse(name, text) for name, text in pages]
    found = [] if sources else [Fault(FOLDER, 0, "holds no pages; write the first one, for example 1-start.md")]
    for source in sources:
        found += [Fault(f"{FOLDER}/{source.name}", line, text) for line, text in _of_page(source, known)]
    return tuple(sorted({*found, *_of_steps(sources, known)}))


def _of_page(source: Source, known: Known) -> Iterator[Finding]:
    front, wrong = front_of(source)
    yield from wrong
    if not PAGE_NAME.fullmatch(source.name):
        yield 0, "the file name holds other characters than letters, digits, '.', '_' and '-'; rename it"
    if not wrong and not front.title and title_heading(source) is None:
        yield 1, "the page has no title; begin it with three lines: ---, title: …, ---"
    for name in names_in(front.title):
        if known.declared is not None and name not in known.declared:
            yield 1, f"title: '{{{{ {name} }}}}' is not declared in lab.yaml{did_you_mean(name, known.declared)}"
    for block in BLOCKS:
        yield from block.findings(source, known)


def _of_steps(sources: Sequence[Source], known: Known) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for source in sources:
        for placed in walk(source):
            name = step_id(placed.token)
            if name is None:
                continue
            place = f"{FOLDER}/{source.name}"
            if name in seen:
                text = f"step '{name}' stands here again (first in {seen[name]}); give it another id"
                yield Fault(place, placed.line, text)
            seen.setdefault(name, f"{place}:{placed.line}")
    for step in known.checks or ():
        if step not in seen:
            yield Fault(f"checks/{step}", 0, f"no page has a step '{step}'{did_you_mean(step, seen)}")
