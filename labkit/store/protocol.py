"""What the store can be asked, in the domain's words: so that PostgreSQL can be a second file, not a rewrite.

Every method is one transaction of its own, safe to repeat after a crash, and safe to call from any thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from labkit.model import CheckResult, Event, Operation, OperationKind, OperationState, Principal, Progress


@dataclass(frozen=True)
class WorkRow:
    """One learner's work on one activity. `seed` (32 hex digits) never changes: variables are drawn from it."""

    id: str
    learner: str
    activity: str
    template: str
    seed: str


@dataclass(frozen=True)
class LabRow:
    """One lab as it should be. `wanted` is running, paused or ended; `ready` once a start has finished.

    `fault` is one sentence where its start failed; `seed` is its work's.
    """

    id: str
    work: str
    learner: str
    learner_name: str
    template: str
    digest: str
    wanted: str
    created: float
    ready: float | None
    ended: float | None
    lost: bool
    fault: str
    seed: str = ""


class Store(Protocol):
    """The domain's memory."""

    def installation(self) -> str:
        """This installation's id (10 characters), made once. A controller touches only its own installation's labs."""

    def belongs_to(self, engine: str) -> bool:
        """Whether this installation's labs run on the engine of this identity: the first asked for, or, once no lab is
        left on that one, the next."""

    def learner(self, principal: Principal) -> str:
        """The learner id of the account behind an identity, made at first sight."""

    def work(self, learner: str, activity: str, template: str) -> WorkRow:
        """The learner's work on an activity, made at first sight."""

    def begin_lab(self, work: WorkRow, *, template: str, digest: str) -> tuple[LabRow, bool]:
        """The work's one lab that has not ended, made if there is none (then True): in one transaction."""

    def lab(self, lab: str) -> LabRow | None: ...

    def labs(self, *, learner: str | None = None, ended: bool = False) -> list[LabRow]:
        """Labs, newest first: one learner's or all; with those that have ended, or without."""

    def want(self, lab: str, wanted: str) -> None:
        """Record what a lab should be: running, paused or ended."""

    def lab_ready(self, lab: str) -> None: ...

    def lab_failed(self, lab: str, fault: str) -> None: ...

    def lab_lost(self, lab: str) -> None:
        """Record that the cluster no longer has this lab though it should."""

    def lab_ended(self, lab: str) -> None: ...

    def queue(self, lab: str, kind: OperationKind, arguments: Mapping[str, Any] | None = None) -> Operation:
        """Put an operation in the queue. One of the same kind and arguments that is not final yet is returned instead.

        A stop cancels what has not begun and asks what is under way to end (see `cancelled`).
        """

    def claim(self) -> Operation | None:
        """The next operation of a lab that has none under way, marked as running; None where there is none."""

    def requeue_interrupted(self) -> int:
        """Put back what was under way when the last worker died. Returns how many. For a worker that starts."""

    def operation(self, operation: str) -> Operation | None: ...

    def latest_operation(self, lab: str, kind: OperationKind | None = None) -> Operation | None: ...

    def cancelled(self, operation: str) -> bool:
        """Whether the operation has been asked to end early."""

    def finish(
        self, operation: str, state: OperationState, *, result: Mapping[str, Any] | None = None, error: str = ""
    ) -> None: ...

    def add_event(self, operation: str, stage: str, text: str, progress: float) -> None: ...

    def events(self, operation: str, after: int = 0) -> list[Event]:
        """The operation's events with a `seq` above `after`, in order."""

    def tick(self, work: str, step: str, done: bool) -> None: ...

    def record_result(self, work: str, result: CheckResult) -> None:
        """Keep a check's result; a passed one ticks its step."""

    def progress(self, work: str) -> Progress: ...

    def audit(self, actor: str, action: str, target: str) -> None:
        """Note who did what to what (ids only, no personal data)."""

    def last_activity(self) -> float | None:
        """When the last lab that was not ended, or the last operation, was touched; None where all is at rest."""
