"""The calls of `Labs` on what a learner does with the instructions: reading, ticking, answering, opening hints.

What stands on a page that is still locked can be neither ticked nor answered nor opened.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import PurePosixPath

from labkit.errors import Conflict, LabkitError, NotFound
from labkit.instructions import PageModel, grade, load_pages, render
from labkit.model import Answer, Principal, Progress
from labkit.orchestrator.asking import Asking
from labkit.orchestrator.work import Surroundings
from labkit.store import LabRow
from labkit.templates import ADDRESS, media_file, names_in, values

_MOST_RENDERED = 64
"""How many learners' pages are kept: a view asks for them again and again."""


class Learning(Asking):
    """The part of `DirectLabs` that has to do with pages and what is done in them."""

    def __init__(self, around: Surroundings) -> None:
        super().__init__(around)
        self._rendered: dict[tuple[str, ...], PageModel] = {}

    def instructions(self, principal: Principal, lab: str, *, language: str = "") -> PageModel:
        return self._pages(self._row(principal, lab), language)

    def _pages(self, row: LabRow, language: str = "") -> PageModel:
        template = self._template(row)
        pages = load_pages(template.folder)
        wanted = any(name.startswith(ADDRESS) for _, text in pages for name in names_in(text))
        machines = self._status(row).machines if wanted else ()
        addresses = {machine.name: machine.address for machine in machines}
        known = values(template, learner=row.learner_name, lab=row.id, seed=row.seed, addresses=addresses)
        key = (template.digest, language, *(text for item in known.items() for text in item))
        found = self._rendered.get(key)
        if found is None:
            found = render(
                pages,
                variables=known,
                checks=template.checks,
                title=template.title,
                language=template.language,
                wanted=language,
                seed=row.seed,
            )
            kept = list(self._rendered.items())[1 - _MOST_RENDERED :]
            self._rendered = dict([*kept, (key, found)])
        return found

    def _in_all_languages(self, row: LabRow) -> list[PageModel]:
        first = self._pages(row)
        return [first, *(self._pages(row, other) for other in first.languages if other != first.language)]

    def media(self, principal: Principal, lab: str, path: str) -> bytes:
        row = self._row(principal, lab)
        found = media_file(self._template(row).folder, path)
        progress = self._store.progress(row.work)
        shown: set[str] = set()
        kept_back: set[str] = set()
        for model in self._in_all_languages(row):
            every, locked = {page.id for page in model.pages}, model.locked(progress)
            shown |= model.media(every - locked, progress.opened)
            kept_back |= model.media(every, model.hints)
        if PurePosixPath(path).as_posix() in kept_back - shown:
            raise Conflict(f"'{path}' belongs to what is still locked")
        return found.read_bytes()

    def progress(self, principal: Principal, lab: str) -> Progress:
        return self._store.progress(self._row(principal, lab).work)

    def tick(self, principal: Principal, lab: str, step: str, done: bool) -> Progress:
        row = self._row(principal, lab)
        template, model = self._template(row), self._pages(row)
        if step not in {found.id for found in model.steps}:
            raise NotFound(f"{template.name} has no step {step!r}")
        if step in template.checks:
            raise Conflict(f"step {step!r} is ticked by its check, not by hand")
        self._open_page(row, step)
        self._store.tick(row.work, step, done)
        return self._store.progress(row.work)

    def answer(self, principal: Principal, lab: str, question: str, given: Sequence[str]) -> Progress:
        row = self._row(principal, lab)
        found = self._pages(row).questions.get(question)
        if found is None:
            raise NotFound(f"the lab has no question {question!r}")
        self._open_page(row, question)
        try:
            worth = grade(found, given)
        except ValueError as error:
            raise LabkitError(str(error)) from None
        answer = Answer(question, tuple(given), worth.right, worth.points, time.time())
        self._store.record_answer(row.work, answer, most=found.attempts)
        return self._store.progress(row.work)

    def open_hint(self, principal: Principal, lab: str, hint: str) -> Progress:
        row = self._row(principal, lab)
        found = self._pages(row).hints.get(hint)
        if found is None:
            raise NotFound(f"the lab has no hint {hint!r}")
        self._check_open(row, found.page)
        self._store.open_hint(row.work, hint, found.cost)
        return self._store.progress(row.work)

    def _open_page(self, row: LabRow, name: str) -> None:
        """Raises Conflict where the step or question `name` stands on a page that is still locked."""
        page = self._pages(row).page_of(name)
        if page is not None:
            self._check_open(row, page.id)

    def _check_open(self, row: LabRow, page: str) -> None:
        if page in self._pages(row).locked(self._store.progress(row.work)):
            raise Conflict(f"page '{page}' is still locked: the steps that it requires are not done yet")
