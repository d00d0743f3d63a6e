"""The page model: what every face draws, and the JSON that carries it. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class HtmlPart:
    """Text between steps. `html` is sanitised."""

    html: str

    def to_json(self) -> dict[str, Any]:
        return {"kind": "html", "html": self.html}


@dataclass(frozen=True)
class StepPart:
    """A step. `title` is text (never HTML), `points` what it counts, `check` whether a script decides it."""

    id: str
    title: str
    points: int | float
    check: bool
    html: str

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": "step",
            "id": self.id,
            "title": self.title,
            "points": self.points,
            "check": self.check,
            "html": self.html,
        }


@dataclass(frozen=True)
class Page:
    """A page: `id` is its file's name without the ending, `minutes` the author's estimate."""

    id: str
    title: str
    minutes: int | None
    parts: tuple[HtmlPart | StepPart, ...]

    def to_json(self) -> dict[str, Any]:
        parts = [part.to_json() for part in self.parts]
        return {"id": self.id, "title": self.title, "minutes": self.minutes, "parts": parts}


@dataclass(frozen=True)
class PageModel:
    """All pages of a lab, rendered for one learner."""

    title: str
    language: str
    pages: tuple[Page, ...]

    @property
    def steps(self) -> tuple[StepPart, ...]:
        """The steps of all pages, in reading order."""
        return tuple(part for page in self.pages for part in page.parts if isinstance(part, StepPart))

    @property
    def max_points(self) -> int | float:
        return sum(step.points for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        """What the lab view is sent."""
        return {"title": self.title, "language": self.language, "pages": [page.to_json() for page in self.pages]}
