"""Namespaces that empty themselves, and objects that go with their owners."""

from __future__ import annotations

from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.objects import Obj, deleting, name_of, namespace_of, uid_of
from labkit.local.store import FOREGROUND, Change, Store


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
            self._store.create(
                "namespaces",
                {
                    "apiVersion": "v1",
                    "kind": "Namespace",
                    "metadata": metadata,
                    "spec": {"finalizers": ["kubernetes"]},
                    "status": {"phase": "Active"},
                },
            )
        for namespace in self._store.all("namespaces"):
            self.queue.add(("", name_of(namespace)))

    def _on_change(self, change: Change) -> None:
        name = name_of(change.obj) if change.kind == "namespaces" else namespace_of(change.obj)
        namespace = self._store.get("namespaces", "", name)
        if namespace is not None and deleting(namespace):
            self.queue.add(("", name))

    async def reconcile(self, key: Key) -> float | None:
        """One namespace."""
        name = key[1]
        namespace = self._store.get("namespaces", "", name)
        if namespace is None or not deleting(namespace):
            return None
        for kind, obj in self._store.everything(name):
            # Pods stand for machines and go with them.
            if not deleting(obj) and kind != "pods":
                self._store.delete(kind, name, name_of(obj))
        if not self._store.everything(name):
            self._store.update("namespaces", "", name, _release)
        return None


def _release(namespace: Obj) -> None:
    namespace["spec"]["finalizers"] = []


class Garbage:
    """Deletes objects whose owners are gone, and ends foreground deletions once nothing is owned any more."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.queue = WorkQueue("garbage", self.reconcile)
        store.listen(self._on_change)

    def start(self) -> None:
        """Look at everything once."""
        for _, obj in self._store.everything():
            self._look(obj)

    def _on_change(self, change: Change) -> None:
        if change.type == "DELETED" or deleting(change.obj):
            self.queue.add((namespace_of(change.obj), uid_of(change.obj)))
        self._look(change.obj)

    def _look(self, obj: Obj) -> None:
        for ref in obj["metadata"].get("ownerReferences", []):
            self.queue.add((namespace_of(obj), ref["uid"]))

    async def reconcile(self, key: Key) -> float | None:
        """Everything that the owner with this uid owns."""
        space, uid = key
        found = list(self._store.everything(space))
        living = {uid_of(obj): (kind, obj) for kind, obj in found}
        owned = [(kind, obj) for kind, obj in found if uid in _owners(obj)]
        owner = living.get(uid)
        if owner is None:
            for kind, obj in owned:
                if not deleting(obj) and not any(other in living for other in _owners(obj)):
                    self._store.delete(kind, space, name_of(obj))
        elif deleting(owner[1]) and FOREGROUND in owner[1]["metadata"].get("finalizers", []):
            for kind, obj in owned:
                if not deleting(obj):
                    self._store.delete(kind, space, name_of(obj))
            if not owned:
                self._store.update(owner[0], space, name_of(owner[1]), _end_foreground)
        return None


def _owners(obj: Obj) -> list[str]:
    return [ref["uid"] for ref in obj["metadata"].get("ownerReferences", [])]


def _end_foreground(obj: Obj) -> None:
    obj["metadata"]["finalizers"].remove(FOREGROUND)
