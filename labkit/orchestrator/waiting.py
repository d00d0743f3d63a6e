"""What a lab in the queue is told: its place, and how long it is likely to take."""

from __future__ import annotations

from labkit.model import OperationKind
from labkit.orchestrator import admission
from labkit.store import Store

_STAGE = "waiting"


def tell_place(store: Store, lab: str, now: float) -> None:
    """Write a waiting lab's place into its start's events, where it is not what was said last."""
    row, operation = store.lab(lab), store.latest_operation(lab, OperationKind.START)
    if row is None or operation is None or row.admitted is not None or operation.state.final:
        return
    place, wait = admission.prospect(lab, store.labs(), store.start_seconds(row.template), now)
    said = store.events(operation.id)
    if place is not None and (not said or said[-1].text != admission.in_words(place, wait)):
        store.add_event(operation.id, _STAGE, admission.in_words(place, wait), 0.0)
