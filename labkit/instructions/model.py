"""The page model: what every face draws, and the JSON that carries it. Values only."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from html import unescape
from typing import Any
from urllib.parse import unquote

from labkit.instructions.questions import Question
from labkit.model import Progress

MEDIA = re.compile(r'(?:src|href)="(media/[^"]+)"')
"""In HTML as the sanitiser writes it."""


@dataclass(frozen=True)
class HtmlPart:
    """Text between steps. `html` is sanitised."""

    html: str

    def to_json(self) -> dict[str, Any]:
        return {"kind": "html", "html": self.html}


@dataclass(frozen=True)
class StepPart:
    """A step. `title` is text (never HTML), `points` what it counts, `check` whether a script decides it, `poll` every
    how many seconds it is run by itself (0: it is not)."""

    id: str
    title: str
    points: int | float
    check: bool
    html: str
    poll: int = 0

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "step",
            "id": self.id,
            "title": self.title,
            "points": self.points,
            "check": self.check,
            "poll": self.poll,
            "html": self.html,
        }


@dataclass(frozen=True)
class Hint:
    """A hint or a solution of a page. Where it costs points it stands in `html` (sanitised) and nowhere else."""

    key: str
    page: str
    cost: int | float
    html: str


@dataclass(frozen=True)
class Upload:
    """A file of the template (`media/…`) that a click on `page` puts into a machine, as `path` (absolute)."""

    key: str
    page: str
    machine: str
    file: str
    path: str


@dataclass(frozen=True)
class Page:
    """A page: `id` is its file's name without the ending, `minutes` the author's estimate, `language` what it is in.

    `requires` are the steps and questions that have to be done before it is sent; `questions` are its own.
    """

    id: str
    title: str
    minutes: int | None
    parts: tuple[HtmlPart | StepPart, ...]
    language: str = "en"
    requires: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()

    @property
    def steps(self) -> tuple[StepPart, ...]:
        return tuple(part for part in self.parts if isinstance(part, StepPart))

    @property
    def ids(self) -> frozenset[str]:
        """Of its steps and questions."""
        return frozenset(step.id for step in self.steps) | {question.id for question in self.questions}

    def handed_out(self, *, locked: bool) -> Page:
        """The page without what helps to answer its questions, and, where it is locked, without its texts."""
        parts = tuple(replace(step, title="", html="") for step in self.steps) if locked else self.parts
        bare = tuple(replace(question, choices=(), tolerance=0.0, case=False) for question in self.questions)
        return replace(self, parts=parts, questions=bare)

    def to_json(self, *, locked: bool = False) -> dict[str, Any]:
        """What the lab view is sent: of a locked page nothing but its title and what there is to do in it."""
        head = {"id": self.id, "title": self.title, "minutes": self.minutes, "language": self.language}
        steps = {step.id: step.points for step in self.steps}
        counts: dict[str, Any] = {
            "steps": steps,
            "questions": {question.id: question.points for question in self.questions},
        }
        counts["requires"] = list(self.requires)
        return {**head, **counts, "locked": locked, "parts": [] if locked else [part.to_json() for part in self.parts]}


@dataclass(frozen=True)
class PageModel:
    """All pages of a lab, rendered for one learner. `languages` are those that it can be read in."""

    title: str
    language: str
    pages: tuple[Page, ...]
    languages: tuple[str, ...] = ("en",)
    hints: Mapping[str, Hint] = field(default_factory=dict)
    uploads: tuple[Upload, ...] = ()

    @property
    def steps(self) -> tuple[StepPart, ...]:
        """The steps of all pages, in reading order."""
        return tuple(step for page in self.pages for step in page.steps)

    @property
    def questions(self) -> Mapping[str, Question]:
        return {question.id: question for page in self.pages for question in page.questions}

    @property
    def max_points(self) -> int | float:
        return sum(step.points for step in self.steps) + sum(question.points for question in self.questions.values())

    def page_of(self, name: str) -> Page | None:
        """The page on which a step or a question stands."""
        return next((page for page in self.pages if name in page.ids), None)

    def media(self, pages: Collection[str], opened: Collection[str]) -> frozenset[str]:
        """The files (`media/…`) that these pages name, in what is sent of them once the hints in `opened` are."""
        htmls = [part.html for page in self.pages if page.id in pages for part in page.parts]
        htmls += [one.feedback for q in self.questions.values() if q.page in pages for one in q.choices]
        htmls += [hint.html for key, hint in self.hints.items() if hint.page in pages and key in opened]
        named = {unquote(unescape(name)) for html in htmls for name in MEDIA.findall(html)}
        return frozenset(named | {one.file for one in self.uploads if one.page in pages})

    def locked(self, progress: Progress) -> frozenset[str]:
        """The ids of the pages that are still closed. A question without an attempt left holds nobody up any more."""
        tried = progress.answers
        over = {q.id for q in self.questions.values() if q.attempts and len(tried.get(q.id, ())) >= q.attempts}
        known = frozenset().union(*(page.ids for page in self.pages))
        missing = known - progress.done - over
        return frozenset(page.id for page in self.pages if missing.intersection(page.requires))

    def handed_out(self, progress: Progress) -> PageModel:
        """The model as its learner may have it whole: of locked pages only what there is to do, of hints only those
        that he opened, of questions nothing that helps to answer them."""
        locked = self.locked(progress)
        return replace(
            self,
            pages=tuple(page.handed_out(locked=page.id in locked) for page in self.pages),
            hints={k: hint for k, hint in self.hints.items() if k in progress.opened and hint.page not in locked},
            uploads=tuple(upload for upload in self.uploads if upload.page not in locked),
        )

    def to_json(self, *, locked: Collection[str] = ()) -> dict[str, Any]:
        """What the lab view is sent to who may not yet see the pages in `locked`."""
        pages = [page.to_json(locked=page.id in locked) for page in self.pages]
        return {"title": self.title, "language": self.language, "languages": list(self.languages), "pages": pages}
