"""Events, as ``kubectl describe`` and ``kubectl get events`` show them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from labkit.local.api.status import ApiError
from labkit.local.objects import Obj, get_path, name_of, namespace_of, parse_time, timestamp, uid_of
from labkit.local.store import Store

_KEPT = timedelta(hours=1)


class Recorder:
    """Writes Events; the same thing said again is counted, not repeated, and old ones go."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def record(self, about: Obj, reason: str, message: str, *, warning: bool = False) -> None:
        """Note something about an object. In a namespace that is going away it is left out."""
        space, now = namespace_of(about), timestamp()
        self._drop_old(space)
        for event in self._store.all("events", space):
            same = (event.get("reason"), event.get("message")) == (reason, message)
            if same and get_path(event, "involvedObject.uid") == uid_of(about):
                self._store.update("events", space, name_of(event), _again(now))
                return
        try:
            self._store.create("events", _event(about, reason, message, warning, now))
        except ApiError as error:
            if error.code not in (403, 404):
                raise

    def _drop_old(self, namespace: str) -> None:
        oldest = datetime.now(UTC) - _KEPT
        for event in self._store.all("events", namespace):
            if parse_time(event["metadata"]["creationTimestamp"]) < oldest:
                self._store.delete("events", namespace, name_of(event))


def _again(now: str) -> Callable[[Obj], None]:
    def mutate(event: Obj) -> None:
        event["count"] = event.get("count", 1) + 1
        event["lastTimestamp"] = now

    return mutate


def _event(about: Obj, reason: str, message: str, warning: bool, now: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name_of(about)}.{uuid.uuid4().hex[:16]}", "namespace": namespace_of(about)},
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "name": name_of(about),
            "namespace": namespace_of(about),
            "uid": uid_of(about),
        },
        "reason": reason,
        "message": message,
        "type": "Warning" if warning else "Normal",
        "source": {"component": "labkit"},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
