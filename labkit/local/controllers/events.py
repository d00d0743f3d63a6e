"""Events, as ``kubectl describe`` and ``kubectl get events`` show them: each goes an hour after it was last said."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

from labkit.local.api.status import ApiError
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.objects import Obj, name_of, namespace_of, parse_time, timestamp, uid_of
from labkit.local.store import Change, Store

_KEPT_SECONDS = 3600.0


class Recorder:
    """Writes Events; the same thing said again is counted, not repeated. A key of its queue is an Event."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._said: dict[tuple[str, str, str], str] = {}
        self.queue = WorkQueue("event", self.reconcile)
        store.listen(self._on_change)

    def start(self) -> None:
        """Look at every Event once."""
        for event in self._store.all("events"):
            self._said[_what(event)] = name_of(event)
            self.queue.add((namespace_of(event), name_of(event)))

    def record(self, about: Obj, reason: str, message: str, *, warning: bool = False) -> None:
        """Note something about an object. In a namespace that is going away it is left out."""
        space, now = namespace_of(about), timestamp()
        event = _event(about, reason, message, warning, now)
        name = self._said.get(_what(event), "")
        try:
            if self._store.get("events", space, name) is None:
                self._store.create("events", event)
            else:
                self._store.update("events", space, name, lambda old: _again(old, now))
        except ApiError as error:
            if error.code not in (403, 404):
                raise

    def _on_change(self, change: Change) -> None:
        if change.kind == "events" and change.type == "DELETED":
            self._said.pop(_what(change.obj), None)
        elif change.kind == "events":
            self._said[_what(change.obj)] = name_of(change.obj)
            self.queue.add((namespace_of(change.obj), name_of(change.obj)))

    async def reconcile(self, key: Key) -> float | None:
        """Let one Event go, or wait for its time."""
        if (event := self._store.get("events", *key)) is None:
            return None
        made, said = event["metadata"]["creationTimestamp"], event.get("lastTimestamp") or ""
        since = parse_time(said if made < said <= timestamp() else made)
        left = _KEPT_SECONDS - (datetime.now(UTC) - since).total_seconds()
        if left > 0:
            return left
        self._store.delete("events", *key)
        return None


def _what(event: Obj) -> tuple[str, str, str]:
    return event["involvedObject"].get("uid", ""), event.get("reason", ""), event.get("message", "")


def _again(event: Obj, now: str) -> None:
    event |= {"count": event.get("count", 1) + 1, "lastTimestamp": now}


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
