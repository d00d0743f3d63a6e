"""All objects: in memory, each written to its own file before anyone sees the change, with a history for watches.

Objects handed out are the stored ones and must not be changed; every change goes through :meth:`Store.create`,
:meth:`Store.update` or :meth:`Store.delete`. Nothing here waits, so each of them is atomic within the engine.
"""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import uuid
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.local.api import status
from labkit.local.api.kinds import Kind
from labkit.local.files import write_atomically
from labkit.local.objects import Obj, deleting, name_of, namespace_of, timestamp

log = logging.getLogger(__name__)

HISTORY = 4096
"""Changes remembered for watches."""
_RESERVE = 1000
FOREGROUND = "foregroundDeletion"


@dataclass(frozen=True)
class Change:
    """One change: ``type`` is ADDED, MODIFIED or DELETED; ``old`` is the object before it."""

    revision: int
    type: str
    kind: str
    obj: Obj
    old: Obj | None


class Store:
    """The engine's objects under ``directory``."""

    def __init__(self, directory: Path, kinds: Iterable[Kind]) -> None:
        self.kinds = {kind.key: kind for kind in kinds}
        self._directory = directory
        self._objects: dict[str, dict[tuple[str, str], Obj]] = {key: {} for key in self.kinds}
        self._history: list[Change] = []
        self._listeners: list[Callable[[Change], None]] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._load()
        # Revisions never repeat, even those handed out just before a kill: a block is reserved on disk.
        self.revision = self._reserved()
        self.oldest = self.revision
        self._ceiling = self.revision
        self._next_revision()

    # Reading

    def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        """One object, or None. Not to be changed."""
        return self._objects[kind].get((namespace, name))

    def require(self, kind: str, namespace: str, name: str) -> Obj:
        """One object; ApiError 404 where there is none."""
        found = self.get(kind, namespace, name)
        if found is None:
            row = self.kinds[kind]
            raise status.not_found(row.plural, row.group, name)
        return found

    def all(self, kind: str, namespace: str = "") -> list[Obj]:
        """All objects of a kind (of one namespace), by namespace and name. Not to be changed."""
        return [obj for (space, _), obj in sorted(self._objects[kind].items()) if namespace in ("", space)]

    def everything(self, namespace: str = "") -> list[tuple[str, Obj]]:
        """Kind key and object of everything (in one namespace)."""
        return [(kind, obj) for kind in self.kinds for obj in self.all(kind, namespace)]

    def changes_since(self, revision: int) -> list[Change]:
        """The changes after ``revision``; ApiError 410 where they are no longer remembered."""
        if revision < self.oldest:
            raise status.expired(revision, self.oldest)
        return self._history[bisect_right(self._history, revision, key=lambda change: change.revision) :]

    async def changed(self) -> None:
        """Wait for the next change."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call ``listener`` with every change from now on. It must return at once."""
        self._listeners.append(listener)

    # Writing

    def create(self, kind: str, obj: Obj, *, dry_run: bool = False) -> Obj:
        """Store a new object. ApiError 409 where the name is taken, 403/404 for the namespace."""
        row = self.kinds[kind]
        obj = copy.deepcopy(obj)
        meta = obj.setdefault("metadata", {})
        self._check_namespace(row, obj)
        if (namespace_of(obj), name_of(obj)) in self._objects[kind]:
            raise status.already_exists(row.plural, row.group, name_of(obj))
        meta["uid"] = str(uuid.uuid4())
        meta["creationTimestamp"] = timestamp()
        if row.counts_generations:
            meta["generation"] = 1
        if row.finalizers:
            meta["finalizers"] = [*meta.get("finalizers", []), *row.finalizers]
        for stale in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"):
            meta.pop(stale, None)
        return obj if dry_run else self._put(row, "ADDED", obj, None)

    def update(
        self, kind: str, namespace: str, name: str, mutate: Callable[[Obj], Any], *, dry_run: bool = False
    ) -> Obj:
        """Change an object in place through ``mutate``; without a difference nothing is written."""
        row = self.kinds[kind]
        old = self.require(kind, namespace, name)
        new = copy.deepcopy(old)
        mutate(new)
        if new == old:
            return old
        if row.counts_generations and new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        if dry_run:
            return new
        if deleting(new) and not finalizers_of(new):
            return self._remove(row, new, old)
        return self._put(row, "MODIFIED", new, old)

    def delete(
        self,
        kind: str,
        namespace: str,
        name: str,
        *,
        grace: int | None = None,
        foreground: bool = False,
        dry_run: bool = False,
    ) -> Obj:
        """Mark an object for deletion and remove it as soon as nothing holds it; returns what is left of it."""
        row = self.kinds[kind]
        old = self.require(kind, namespace, name)
        new = copy.deepcopy(old)
        meta = new["metadata"]
        meta.setdefault("deletionTimestamp", timestamp())
        if grace is not None:
            meta["deletionGracePeriodSeconds"] = grace
        if foreground and not deleting(old):
            meta["finalizers"] = [*meta.get("finalizers", []), FOREGROUND]
        if row.key == "namespaces":
            new["status"] = {"phase": "Terminating"}
        if dry_run or new == old:
            return new
        if finalizers_of(new):
            return self._put(row, "MODIFIED", new, old)
        return self._remove(row, new, old)

    # Inside

    def _check_namespace(self, row: Kind, obj: Obj) -> None:
        if not row.namespaced:
            return
        home = self.get("namespaces", "", namespace_of(obj))
        if home is None:
            raise status.not_found("namespaces", "", namespace_of(obj))
        if deleting(home):
            where = namespace_of(obj)
            raise status.forbidden(
                f'{row.key} "{name_of(obj)}" is forbidden: unable to create new content in namespace '
                f"{where} because it is being terminated"
            )

    def _put(self, row: Kind, change: str, obj: Obj, old: Obj | None) -> Obj:
        revision = self._next_revision()
        obj["metadata"]["resourceVersion"] = str(revision)
        write_atomically(self._file(row, obj), json.dumps(obj).encode())
        self._objects[row.key][namespace_of(obj), name_of(obj)] = obj
        self._publish(Change(revision, change, row.key, obj, old))
        return obj

    def _remove(self, row: Kind, obj: Obj, old: Obj) -> Obj:
        revision = self._next_revision()
        obj["metadata"]["resourceVersion"] = str(revision)
        self._file(row, obj).unlink(missing_ok=True)
        del self._objects[row.key][namespace_of(obj), name_of(obj)]
        self._publish(Change(revision, "DELETED", row.key, obj, old))
        return obj

    def _publish(self, change: Change) -> None:
        self._history.append(change)
        if len(self._history) > 2 * HISTORY:
            self.oldest = self._history[-HISTORY - 1].revision
            del self._history[:-HISTORY]
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
        for listener in self._listeners:
            listener(change)

    def _next_revision(self) -> int:
        self.revision += 1
        if self.revision >= self._ceiling:
            self._ceiling = self.revision + _RESERVE
            write_atomically(self._directory / "revision", str(self._ceiling).encode())
        return self.revision

    def _reserved(self) -> int:
        file = self._directory / "revision"
        return int(file.read_text()) if file.exists() else 0

    def _file(self, row: Kind, obj: Mapping[str, Any]) -> Path:
        # "@" cannot be part of a namespace's name.
        space = obj["metadata"].get("namespace") or "@cluster"
        return self._directory / row.key / space / f"{obj['metadata']['name']}.json"

    def _load(self) -> None:
        for key, objects in self._objects.items():
            for file in sorted((self._directory / key).glob("*/*.json")):
                obj = json.loads(file.read_text())
                objects[namespace_of(obj), name_of(obj)] = obj


def finalizers_of(obj: Obj) -> list[str]:
    """What holds an object that is being deleted; a namespace keeps its own list in ``spec``."""
    own = obj["metadata"].get("finalizers") or []
    spec = obj.get("spec", {}).get("finalizers") or [] if obj.get("kind") == "Namespace" else []
    return [*own, *spec]
