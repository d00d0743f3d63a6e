"""The table of operations: what does each kind, and in which states of a lab it may be asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from labkit.model import LabState, OperationKind
from labkit.orchestrator import changes, handing, operations
from labkit.orchestrator.personal import personalise
from labkit.orchestrator.work import Result, Work


def start(work: Work) -> Result:
    """Start a lab; a claimed spare is there already, and becomes its learner's."""
    return operations.start(work, personalise if work.operation.arguments.get("claimed") else None)


HANDLERS: Mapping[OperationKind, Callable[[Work], Result]] = {
    OperationKind.START: start,
    OperationKind.STOP: operations.stop,
    OperationKind.PAUSE: changes.pause,
    OperationKind.RESUME: changes.resume,
    OperationKind.RESET: changes.reset,
    OperationKind.SNAPSHOT: changes.snapshot,
    OperationKind.RESTORE: changes.restore,
    OperationKind.CHECK: operations.check,
    OperationKind.SOLVE: operations.solve,
    OperationKind.COLLECT: handing.collect,
    OperationKind.UPLOAD: handing.upload,
}

_LIVE = frozenset({LabState.RUNNING, LabState.PAUSED})
ALLOWED_STATES: Mapping[OperationKind, frozenset[LabState]] = {
    OperationKind.PAUSE: frozenset({LabState.RUNNING}),
    OperationKind.RESUME: _LIVE,
    OperationKind.RESET: _LIVE,
    OperationKind.SNAPSHOT: _LIVE,
    OperationKind.RESTORE: _LIVE,
    OperationKind.CHECK: _LIVE,
    OperationKind.SOLVE: frozenset({LabState.RUNNING}),
    OperationKind.COLLECT: _LIVE,
    OperationKind.UPLOAD: _LIVE,
    OperationKind.EXTEND: _LIVE,
}
"""The states in which an operation may be asked for, where not all will do."""


def perform(work: Work) -> Result:
    """Do one operation, unless it has been cancelled meanwhile. Raises what its handler raises."""
    if work.operation.kind is not OperationKind.STOP:
        work.go_on()
    return HANDLERS[work.operation.kind](work)
