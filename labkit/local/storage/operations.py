"""What is done once to a VM's disks while nothing else happens to them: snapshots and restores have this in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import ClassVar

from labkit.local.api.status import ApiError
from labkit.local.controllers.events import Recorder
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.controllers.virtualmachines import VM
from labkit.local.objects import (
    Obj,
    condition,
    deleting,
    get_path,
    has_condition,
    merge_conditions,
    name_of,
    namespace_of,
    parse_time,
    timestamp,
)
from labkit.local.qemu.machine import MachineError
from labkit.local.storage.claims import LOCKS, Claims
from labkit.local.storage.disks import DiskError
from labkit.local.storage.sources import Later
from labkit.local.store import Change, Store

_RETRY_SECONDS = 1.0
_PATIENCE = 300.0
"""Seconds in which it must be possible to begin: KubeVirt's defaults of ``failureDeadline`` and ``WaitGracePeriod``."""


class Operations(ABC):
    """A controller: each object of ``kind`` is done, or fails, once. ``lock`` is where its VM names it meanwhile.

    What keeps one from being done is tried again until its patience is over.
    """

    kind: str
    lock: str
    failed: ClassVar[Obj] = {}
    """What to add to the status of one that failed."""

    def __init__(self, store: Store, recorder: Recorder, claims: Claims) -> None:
        self._store = store
        self._recorder = recorder
        self._claims = claims
        self.queue = WorkQueue(self.kind, self.reconcile)
        store.listen(self._on_change)

    @abstractmethod
    async def perform(self, obj: Obj) -> Obj:
        """Do it, again from the start after a kill; what to add to its status. Raises Later, among others."""

    def start(self) -> None:
        """Look at every object once, and at those that a VM names."""
        for obj in self._store.all(self.kind):
            self.queue.add((namespace_of(obj), name_of(obj)))
        for vm in self._store.all(VM):
            if holder := get_path(vm, f"status.{self.lock}"):
                self.queue.add((namespace_of(vm), holder))

    def _on_change(self, change: Change) -> None:
        if change.kind == self.kind:
            self.queue.add((namespace_of(change.obj), name_of(change.obj)))

    async def reconcile(self, key: Key) -> float | None:
        """One object."""
        obj = self._store.get(self.kind, *key)
        if obj is None or deleting(obj) or has_condition(obj, "Ready") or has_condition(obj, "Failure"):
            self._release(key)
            return None
        try:
            more = await self.perform(obj)
        except (Later, ApiError, DiskError, MachineError, OSError) as error:
            age = datetime.now(UTC) - parse_time(obj["metadata"]["creationTimestamp"])
            if age.total_seconds() < _PATIENCE:
                self._note(key, "", str(error), {})
                return _RETRY_SECONDS
            self._note(key, "Failure", f"its deadline is over: {error}", self.failed)
        else:
            self._note(key, "Ready", "Operation complete", more)
        self._release(key)
        return None

    def hold(self, obj: Obj, vm: Obj) -> None:
        """Have the VM name this operation, so that nothing else happens to it. Raises Later."""
        for lock in LOCKS:
            holder = get_path(vm, f"status.{lock}")
            if holder and (lock, holder) != (self.lock, name_of(obj)):
                raise Later("InUse", f"VirtualMachine {name_of(vm)} is held by {holder} ({lock})")

        def mutate(now: Obj) -> None:
            now.setdefault("status", {})[self.lock] = name_of(obj)

        self._store.update(VM, namespace_of(vm), name_of(vm), mutate)

    def _release(self, key: Key) -> None:
        for vm in self._store.all(VM, key[0]):
            if get_path(vm, f"status.{self.lock}") == key[1]:
                self._store.update(VM, key[0], name_of(vm), lambda now: now["status"].pop(self.lock))

    def _note(self, key: Key, end: str, message: str, more: Obj) -> None:
        """Write down that it goes on (no ``end``), or how it ended: Ready or Failure."""

        def mutate(obj: Obj) -> None:
            status = obj.setdefault("status", {})
            found = [condition("Progressing", not end, "", message), condition("Ready", end == "Ready", "", message)]
            found += [condition("Failure", True, "", message)] if end == "Failure" else []
            if end == "Ready":
                status.pop("error", None)
            elif get_path(status, "error.message") != message:
                status["error"] = {"message": message, "time": timestamp()}
            status["conditions"] = merge_conditions(status.get("conditions", []), found, timestamp())
            status |= more

        if self._store.get(self.kind, *key) is not None:
            obj = self._store.update(self.kind, *key, mutate)
            if end:
                word = "Complete" if end == "Ready" else "Error"
                self._recorder.record(obj, obj["kind"] + word, message, warning=end == "Failure")
