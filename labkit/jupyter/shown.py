"""Values as a notebook shows them: a table as text and as HTML, the verdict of a check, what a command has said."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from labkit.instructions import PageModel
from labkit.model import Progress as Done


class Table:
    """Rows under headings: plain text for a console, a table for a notebook. What is in it is text, never HTML."""

    def __init__(self, headings: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
        self.headings, self.rows, self._empty = tuple(headings), [tuple(row) for row in rows], empty

    def __repr__(self) -> str:
        if not self.rows:
            return self._empty
        lines = [self.headings, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.headings))]
        padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
        return "\n".join(line.rstrip() for line in padded)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        head = "".join(f'<th scope="col">{escape(text)}</th>' for text in self.headings)
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in self.rows)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return {"text/plain": repr(self), "text/html": table if self.rows else f"<p>{escape(self._empty)}</p>"}


class Shown:
    """Something that is shown as a table which it makes when it is looked at."""

    def _table(self) -> Table:
        raise NotImplementedError

    def __repr__(self) -> str:
        return repr(self._table())

    def _repr_mimebundle_(self, **options: Any) -> dict[str, str]:
        return self._table()._repr_mimebundle_(**options)


class Progress(Table):
    """How far a lab is done: `done` and `steps` (ids), `points` of `max_points`; shown, a table of the steps."""

    def __init__(self, done: Done, model: PageModel) -> None:
        self.steps = tuple(step.id for step in model.steps)
        self.done = tuple(step for step in self.steps if step in done.done)
        self.points = done.points({step.id: step.points for step in model.steps})
        self.max_points = model.max_points
        rows = [
            (
                "✓" if step.id in done.done else "·",
                step.id,
                step.title,
                f"{step.points:g}",
                result.feedback if (result := done.results.get(step.id)) else "",
            )
            for step in model.steps
        ]
        rows.append(
            ("", "", f"{len(self.done)} of {len(self.steps)} steps", f"{self.points:g}/{self.max_points:g}", "")
        )
        super().__init__(("", "STEP", "TITLE", "POINTS", "THE CHECK SAID"), rows, empty="There are no steps.")


@dataclass(frozen=True, repr=False)
class Checked:
    """What a check said of a step: `verdict` is passed, not_yet or error, `feedback` says why. True where it passed."""

    step: str
    verdict: str
    feedback: str
    points: float = 0.0

    def __bool__(self) -> bool:
        return self.verdict == "passed"

    def __repr__(self) -> str:
        said = {"passed": "passed", "not_yet": "not yet"}.get(self.verdict, "the check could not run")
        return f"{'✓' if self else '✗'} {self.step}: {said}{f' - {self.feedback}' if self.feedback else ''}"


@dataclass(frozen=True, repr=False)
class Output:
    """A command that has ended: `status` is its exit status, `text` all that it said, `seconds` how long it took.

    `str(output)` is the text; `output.ok` whether the status is 0.
    """

    status: int
    text: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the command ended with status 0."""
        return self.status == 0

    @property
    def lines(self) -> list[str]:
        """The text, line by line."""
        return self.text.splitlines()

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"<exit status {self.status} after {self.seconds:.1f} s, {len(self.text)} characters>"


def span(until: float | None) -> str:
    """How long it is until a time, for a person: "47 min"; nothing for no time."""
    if until is None:
        return ""
    minutes = max(0, round((until - time.time()) / 60))
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
