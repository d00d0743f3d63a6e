"""What a work is worth: the points that are sent to a platform as its grade, and the comment that explains them.

Only what the learner had no way to write himself counts for steps that a check decides. An instructor may award a step,
which is a result with his reason as its feedback, or excuse somebody from it: it then counts neither way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from labkit.errors import LabkitError, NotFound
from labkit.instructions import PageModel, load_pages, render
from labkit.model import CheckResult, Progress, Verdict
from labkit.orchestrator.template_source import TemplateSource
from labkit.store import LabRow, Store
from labkit.templates import Template

_LONGEST_COMMENT = 4000


@dataclass(frozen=True)
class Score:
    """`given` of `maximum` points (both above or at 0, rounded), and a text of one line a step."""

    given: float
    maximum: float
    comment: str


def score(
    model: PageModel, progress: Progress, attested: Mapping[str, float], excused: Mapping[str, str]
) -> Score | None:
    """The score of a work; None where nothing is left that counts. `attested`: the best attested score of each step."""
    checked = {step.id: 0.0 for step in model.steps if step.check}
    known = replace(progress, scores={**checked, **attested})
    worth = {step.id: step.points for step in model.steps if step.id not in excused}
    maximum = round(model.max_points - sum(step.points for step in model.steps if step.id in excused), 3)
    if maximum <= 0:
        return None
    given = round(min(known.points(worth), maximum), 3)
    return Score(given, maximum, _comment(model, known, excused)[:_LONGEST_COMMENT])


def _comment(model: PageModel, progress: Progress, excused: Mapping[str, str]) -> str:
    """What each step has earned, in words: the platform shows it as feedback, as plain text."""
    lines = []
    for step in model.steps:
        if step.id in excused:
            lines.append(f"{step.title}: excused ({excused[step.id]})")
        elif step.points:
            part = progress.scores.get(step.id, float(step.id in progress.ticks))
            lines.append(f"{step.title}: {part * step.points:g} of {step.points:g}")
    for question in model.questions.values():
        if question.points:
            best = max((answer.points or 0 for answer in progress.answers.get(question.id, ())), default=0)
            lines.append(f"Question {question.id}: {best:g} of {question.points:g}")
    if cost := sum(progress.opened.values()):
        lines.append(f"Hints: -{cost:g}")
    return "\n".join(lines)


class Grading:
    """Counts works, and what instructors decide about them. Whether one may, the caller has found out."""

    def __init__(self, store: Store, templates: TemplateSource) -> None:
        self._store, self._templates = store, templates
        self._model = lru_cache(maxsize=64)(_model)

    def score(self, work: str) -> Score | None:
        """What a work is worth now. Raises NotFound, Invalid where its template cannot be read."""
        model = self.model(self._lab(work))
        return score(model, self._store.progress(work), self._store.attested_scores(work), self._store.excused(work))

    def count_all(self, now: float, most: int = 100) -> int:
        """Count works whose points may have changed, and queue what is to be sent. Returns how many there were."""
        works = self._store.uncounted(most)
        for work, mark in works:
            try:
                found = self.score(work)
            except LabkitError as error:
                self._store.uncountable(work, mark, f"its points cannot be counted: {error}")
                continue
            self._store.counted(work, mark, *_parts(found), now)
        return len(works)

    def award(self, work: str, step: str, by: str, reason: str, part: float = 1.0) -> None:
        """Give a learner a step (or `part` of it) as if its check had said so, in the words of `by`."""
        lab = self._lab(work)
        points = self._worth(lab, step)
        if not reason.strip() or not 0 <= part <= 1:
            raise LabkitError("to award a step, say why, and give a part between 0 and 1")
        result = CheckResult(
            step=step,
            verdict=Verdict.PASSED if part == 1 else Verdict.NOT_YET,
            feedback=f"Awarded by {by}: {reason.strip()}",
            time=time.time(),
            attested=True,
            score=part,
            points=round(part * points, 3),
        )
        self._store.record_result(work, result)

    def excuse(self, work: str, step: str, reason: str | None) -> None:
        """Have a step count neither way for a learner, for a reason; with None, have it count again."""
        self._worth(self._lab(work), step)
        if reason is not None and not reason.strip():
            raise LabkitError("to excuse somebody from a step, say why")
        self._store.excuse(work, step, reason.strip() if reason else None)

    def model(self, lab: LabRow) -> PageModel:
        """A lab's pages without anybody's variables: their steps and questions, and what these are worth."""
        template = self._templates.load(lab.template, lab.digest)
        return self._model(_Key(template.digest, template))

    def checked_steps(self, template: str) -> list[tuple[str, str]]:
        """The checked steps of a template as it is now: id and title. None where it cannot be read."""
        try:
            found = self._templates.load(template)
        except LabkitError:
            return []
        return [(step.id, step.title) for step in self._model(_Key(found.digest, found)).steps if step.check]

    def _worth(self, lab: LabRow, step: str) -> float:
        found = next((one for one in self.model(lab).steps if one.id == step), None)
        if found is None:
            raise NotFound(f"{lab.template} has no step {step!r}")
        return found.points

    def _lab(self, work: str) -> LabRow:
        found = self._store.lab_of_work(work)
        if found is None:
            raise NotFound(f"there has been no lab of work {work}")
        return found


@dataclass(frozen=True)
class _Key:
    """A template, told from others by its content."""

    digest: str
    template: Template

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


def _model(key: _Key) -> PageModel:
    template = key.template
    return render(load_pages(template.folder), variables={}, checks=template.checks, title=template.title)


def _parts(found: Score | None) -> tuple[float | None, float, str]:
    return (found.given, found.maximum, found.comment) if found else (None, 0.0, "")
