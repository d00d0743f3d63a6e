"""The calls of `Labs` on what a person marks, and on files that go between the text and a machine."""

from __future__ import annotations

from labkit.errors import Forbidden, LabkitError, NotFound
from labkit.instructions import Question
from labkit.model import Mark, Operation, OperationKind, Principal, Progress, Role, Waiting
from labkit.orchestrator.learning import Learning
from labkit.store import LabRow

MOST_LETTERS = 10_000


class Marking(Learning):
    """These calls of `Labs`."""

    def collect(self, principal: Principal, lab: str, question: str) -> Operation:
        row = self._row(principal, lab)
        found = self._question(row, question)
        if found.kind != "file":
            raise LabkitError(f"question {question!r} asks for no file")
        self._open_page(row, question)
        arguments = {"question": question, "machine": found.machine, "path": found.path}
        return self._queue(principal, lab, OperationKind.COLLECT, arguments)

    def upload(self, principal: Principal, lab: str, upload: str) -> Operation:
        row = self._row(principal, lab)
        found = [one for model in self._in_all_languages(row) for one in model.uploads if one.key == upload]
        if not found:
            raise NotFound(f"the lab has no file to put into a machine with the key {upload!r}")
        locked = self._pages(row).locked(self._store.progress(row.work))
        one = next((one for one in found if one.page not in locked), found[0])
        self._check_open(row, one.page)
        arguments = {"machine": one.machine, "file": one.file, "path": one.path}
        return self._queue(principal, lab, OperationKind.UPLOAD, arguments)

    def waiting(self, principal: Principal, activity: str | None = None) -> list[Waiting]:
        self._operators_only(principal)
        return self._store.waiting(activity)

    def marks(self, principal: Principal, activity: str | None = None) -> list[Mark]:
        self._operators_only(principal)
        return self._store.marks(activity)

    def handed_in(self, principal: Principal, work: str, question: str) -> bytes:
        self._operators_only(principal)
        row = self._row_of(work)
        answers = self._store.progress(row.work).answers.get(question)
        if not answers:
            raise NotFound(f"nothing was handed in for question {question!r} of {work}")
        content = self._store.handed_in(row.work, question)
        return content if content is not None else "\n".join(answers[-1].given).encode()

    def mark(self, principal: Principal, work: str, question: str, points: float, comment: str = "") -> Progress:
        self._operators_only(principal)
        row = self._row_of(work)
        found = self._question(row, question)
        if not found.by_hand:
            raise LabkitError(f"question {question!r} is marked by its answers, not by hand")
        if not 0 <= points <= found.points:
            raise LabkitError(f"question {question!r} is worth 0 to {found.points:g} points, not {points:g}")
        if len(comment) > MOST_LETTERS:
            raise LabkitError(f"a comment has {MOST_LETTERS} letters at most")
        other = self._store.learner(principal) != row.learner
        self._store.mark(row.work, question, points, comment, attested=other)
        return self._store.progress(row.work)

    def _operators_only(self, principal: Principal) -> None:
        if principal.role is not Role.OPERATOR:
            raise Forbidden("what learners have handed in is for operators")

    def _row_of(self, work: str) -> LabRow:
        """A lab by its id, or the newest one of a work."""
        row = self._store.lab(work) or next((lab for lab in self._store.labs(ended=True) if lab.work == work), None)
        if row is None:
            raise NotFound(f"there is no work and no lab {work!r}; `labkit results` lists what waits")
        return row

    def _question(self, row: LabRow, question: str) -> Question:
        found = self._pages(row).questions.get(question)
        if found is None:
            raise NotFound(f"the lab has no question {question!r}")
        return found
