"""Namespaces that empty themselves, and objects that go with their owners."""

from __future__ import annotations

import asyncio
from collections import Counter

from labkit.local.api.kinds import Kind
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.objects import (
    Obj,
    condition,
    deleting,
    get_path,
    merge_conditions,
    name_of,
    namespace_of,
    owners_of,
    timestamp,
    uid_of,
)
from labkit.local.pods.spec import stands_for_machine
from labkit.local.store import FOREGROUND, Change, Store

_AT_A_TIME = 100
"""Deletions before others get their turn."""


class Namespaces:
    """Deletes what is in a namespace that is being deleted, then lets the namespace go."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.queue = WorkQueue("namespace", self.reconcile)
        store.listen(self._on_change)

    def start(self) -> None:
        """Look at every namespace once; make ``default``."""
        if self._store.get("namespaces", "", "default") is None:
            metadata = {"name": "default", "labels": {"kubernetes.io/metadata.name": "default"}}
            content = {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
            default = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata, **content}
            self._store.create("namespaces", default)
        for namespace in self._store.all("namespaces"):
            self.queue.add(("", name_of(namespace)))

    def _on_change(self, change: Change) -> None:
        name = name_of(change.obj) if change.kind == "namespaces" else namespace_of(change.obj)
        namespace = self._store.get("namespaces", "", name)
        if namespace is not None and deleting(namespace):
            self.queue.add(("", name))

    async def reconcile(self, key: Key) -> float | None:
        """One namespace: delete what is in it, then let it go, or say in its conditions what it waits for."""
        name = key[1]
        namespace = self._store.get("namespaces", "", name)
        if namespace is None or not deleting(namespace):
            return None
        for n, (kind, obj) in enumerate(self._store.everything(name)):
            # Pods that stand for machines go with them.
            with_machine = kind == "pods" and stands_for_machine(obj)
            if not deleting(obj) and not with_machine and self._store.get(kind, name, name_of(obj)) is not None:
                self._store.delete(kind, name, name_of(obj))
            if n % _AT_A_TIME == 0:
                await asyncio.sleep(0)
        left = self._store.everything(name)
        if left:
            found = remaining_conditions([(self._store.kinds[kind], obj) for kind, obj in left])
            conditions = merge_conditions(get_path(namespace, "status.conditions", []), found, timestamp())
            self._store.update("namespaces", "", name, lambda obj: obj["status"].update(conditions=conditions))
        else:
            self._store.update("namespaces", "", name, _release)
        return None


def remaining_conditions(left: list[tuple[Kind, Obj]]) -> list[Obj]:
    """The conditions of a namespace that is being deleted while ``left`` is still in it, in Kubernetes' words."""
    kinds = Counter(f"{kind.plural}.{kind.group}" for kind, _ in left)
    held = Counter(finalizer for _, obj in left for finalizer in obj["metadata"].get("finalizers") or ())
    resources = ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(kinds.items()))
    finalizers = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(held.items()))
    remain = f"Some resources are remaining: {resources}"
    hold = f"Some content in the namespace has finalizers remaining: {finalizers}"
    found = [condition("NamespaceContentRemaining", True, "SomeResourcesRemain", remain)]
    return found + [condition("NamespaceFinalizersRemaining", True, "SomeFinalizersRemain", hold)] * bool(held)


def _release(namespace: Obj) -> None:
    namespace["spec"]["finalizers"] = []


class Garbage:
    """Deletes objects whose owners are gone, and ends foreground deletions once nothing is owned any more."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._served = {(kind.api_version, kind.kind) for kind in store.kinds.values()}
        self.queue = WorkQueue("garbage", self.reconcile)
        store.listen(self._on_change)

    def start(self) -> None:
        """Look at everything once."""
        for _, obj in self._store.everything():
            self._look(obj, also=deleting(obj))

    def _on_change(self, change: Change) -> None:
        gone = change.type == "DELETED"
        self._look(change.obj, also=gone or deleting(change.obj))

    def _look(self, obj: Obj, *, also: bool) -> None:
        """Have the owners of an object looked at that are gone or going, and (``also``) the object as an owner."""
        for uid in owners_of(obj):
            owner = self._store.by_uid(uid)
            if owner is None or deleting(owner[1]) or namespace_of(owner[1]) not in ("", namespace_of(obj)):
                self.queue.add(("", uid))
        if also:
            self.queue.add(("", uid_of(obj)))

    async def reconcile(self, key: Key) -> float | None:
        """Everything that the owner with this uid owns."""
        owner = self._store.by_uid(key[1])
        ending = owner is not None and deleting(owner[1]) and FOREGROUND in owner[1]["metadata"].get("finalizers", ())
        for kind, obj in self._store.owned_by(key[1]):
            others = [ref for ref in obj["metadata"]["ownerReferences"] if ref["uid"] != key[1] or not ending]
            if not deleting(obj) and not any(self._lives(ref, obj) for ref in others):
                self._store.delete(kind, namespace_of(obj), name_of(obj), foreground=ending)
        if owner is not None and ending and not any(_blocks(obj, key[1]) for _, obj in self._store.owned_by(key[1])):
            self._store.update(owner[0], namespace_of(owner[1]), name_of(owner[1]), _end_foreground)
        return None

    def _lives(self, reference: Obj, owned: Obj) -> bool:
        """Whether an owner is there. Of kinds that are not served nothing is known: they count as living."""
        if (reference.get("apiVersion"), reference.get("kind")) not in self._served:
            return True
        found = self._store.by_uid(reference["uid"])
        return found is not None and namespace_of(found[1]) in ("", namespace_of(owned))


def _blocks(obj: Obj, owner: str) -> bool:
    return any(ref["uid"] == owner and ref.get("blockOwnerDeletion") for ref in obj["metadata"]["ownerReferences"])


def _end_foreground(obj: Obj) -> None:
    obj["metadata"]["finalizers"].remove(FOREGROUND)
