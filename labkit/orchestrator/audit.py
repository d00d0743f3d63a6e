"""`Labs` with every call that changes something, opens something or is refused written to the audit log.

What is named in `READS` is not written down; all else is, so that a new call is audited without a thought. Of a call's
arguments only those in `TARGETS` are kept: never a command, a password or an answer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, cast

from labkit.errors import Conflict, Forbidden, Invalid, LabkitError, NotFound
from labkit.model import Operation, Principal
from labkit.orchestrator.labs import Labs
from labkit.store import Store

READS = frozenset(
    {
        "status", "labs", "templates", "operation", "operations", "events", "lab_events", "snapshots", "reservations",
        "instructions", "media", "progress", "credentials", "poll",
    }
)  # fmt: skip
TARGETS = (
    "template", "activity", "operation", "reservation", "lab", "work", "machine", "pane", "step", "question", "hint",
    "upload", "name",
)  # fmt: skip
_REFUSALS = {Forbidden: "forbidden", NotFound: "not found", Conflict: "conflict", Invalid: "invalid"}


class _Audited:
    def __init__(self, labs: Labs, store: Store) -> None:
        self._labs, self._store = labs, store

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._labs, name)
        return call if name in READS or not callable(call) else self._audited(name, call)

    def _audited(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def audited(principal: Principal, *positional: Any, **named: Any) -> Any:
            given = inspect.signature(call).bind(principal, *positional, **named).arguments
            target = [str(given[word]) for word in TARGETS if given.get(word)]
            outcome = "failed"
            try:
                result = call(principal, *positional, **named)
                outcome = "done"
                if isinstance(result, Operation) and result.lab not in target:
                    target.append(result.lab)
                return result
            except LabkitError as error:
                outcome = _REFUSALS.get(type(error), "failed")
                raise
            finally:
                self._store.audit(self._store.learner(principal), name, " ".join(target), outcome=outcome)

        return audited


def audited(labs: Labs, store: Store) -> Labs:
    """The same `Labs`, whose calls are written to the store's audit log."""
    return cast(Labs, _Audited(labs, store))
