"""All objects: in memory, with indexes, written to disk in groups; nobody outside hears of a change before it is there.

Objects handed out are the stored ones and must not be changed; every change goes through :meth:`Store.create`,
:meth:`Store.update` or :meth:`Store.delete`. None of these waits, so each of them is atomic within the engine, and the
engine's controllers see it at once. Clients are answered after :meth:`Store.settled` and watches are told from
``history``: both come after the disk.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.local.api import status
from labkit.local.api.kinds import Kind
from labkit.local.history import Change, History
from labkit.local.journal import Journal, Place
from labkit.local.objects import Obj, deleting, name_of, namespace_of, owners_of, timestamp, uid_of

__all__ = ["FOREGROUND", "Change", "Store", "finalizers_of"]

log = logging.getLogger(__name__)

LARGEST = 3 * 2**20
"""Bytes of an object as JSON."""
FOREGROUND = "foregroundDeletion"
_RETRY_SECONDS = 1.0


@dataclass(frozen=True)
class _Record:
    obj: Obj
    text: str


class Store:
    """The engine's objects under ``directory``. Raises JournalError where that cannot be read."""

    def __init__(self, directory: Path, kinds: Iterable[Kind]) -> None:
        self.kinds = {kind.key: kind for kind in kinds}
        self._objects: dict[str, dict[str, dict[str, _Record]]] = {key: defaultdict(dict) for key in self.kinds}
        self._places: dict[str, Place] = {}
        self._owned: defaultdict[str, set[Place]] = defaultdict(set)
        self._listeners: list[Callable[[Change], None]] = []
        self.admit: Callable[[Kind, Obj, Obj | None], object] = lambda kind, new, old: None
        """Asked before anything is stored, with the object before; may default ``new`` and raise ApiError."""
        self._journal = Journal(directory)
        self.revision, rows = self._journal.load()
        for place, text in rows.items():
            self._take_up(place, text)
        self.history = History(self.revision)
        self.durable = self.revision
        """The highest revision that is on disk."""
        self._pending: list[Change] = []
        self._writer: asyncio.Task[None] | None = None
        self._written = asyncio.Event()
        self._trouble = ""

    # Reading

    def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        """One object, or None. Not to be changed."""
        found = self._objects[kind].get(namespace, {}).get(name)
        return found.obj if found else None

    def require(self, kind: str, namespace: str, name: str) -> Obj:
        """One object; ApiError 404 where there is none."""
        found = self.get(kind, namespace, name)
        if found is None:
            row = self.kinds[kind]
            raise status.not_found(row.plural, row.group, name)
        return found

    def all(self, kind: str, namespace: str = "") -> list[Obj]:
        """All objects of a kind (of one namespace), by namespace and name. Not to be changed."""
        spaces = self._objects[kind]
        chosen = [spaces.get(namespace, {})] if namespace else [spaces[space] for space in sorted(spaces)]
        return [found[name].obj for found in chosen for name in sorted(found)]

    def reached(self, revision: int) -> int:
        """``revision``; ApiError 504 where there is none such yet, as a client of another engine's life would ask."""
        if revision > self.revision:
            raise status.too_large(revision, self.revision)
        return revision

    def everything(self, namespace: str = "") -> list[tuple[str, Obj]]:
        """Kind key and object of everything (in one namespace)."""
        return [(kind, obj) for kind in self.kinds for obj in self.all(kind, namespace)]

    def by_uid(self, uid: str) -> tuple[str, Obj] | None:
        """Kind key and object."""
        return self._at(self._places[uid]) if uid in self._places else None

    def owned_by(self, uid: str) -> list[tuple[str, Obj]]:
        """Kind key and object of everything with an ownerReference to ``uid``."""
        return [self._at(place) for place in sorted(self._owned.get(uid, ()))]

    def encoded(self, kind: str, obj: Obj) -> str:
        """An object as JSON; a stored one was encoded when it was stored."""
        meta = obj["metadata"]
        found = self._objects[kind].get(meta.get("namespace", ""), {}).get(meta.get("name", ""))
        return found.text if found and found.obj is obj else json.dumps(obj)

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Call ``listener`` with every change from now on. It must return at once."""
        self._listeners.append(listener)

    async def settled(self, *, writing: bool = False) -> None:
        """Wait until everything up to now is on disk, or the disk refuses it: for a writer that is ApiError 500."""
        wanted = self.revision
        while self.durable < wanted:
            if writing:
                self._refuse_in_trouble()
            elif self._trouble:
                return
            await self._written.wait()

    async def close(self) -> None:
        """Write what is pending, unless the disk refuses it, and close the database."""
        while self._pending and not self._trouble:
            await self._written.wait()
        if self._writer:
            self._writer.cancel()
        self._journal.close()

    # Writing

    def create(self, kind: str, obj: Obj, *, dry_run: bool = False) -> Obj:
        """Store a new object. ApiError 409 where the name is taken, 403/404 for the namespace."""
        row = self.kinds[kind]
        obj = _copy(obj)
        meta = obj.setdefault("metadata", {})
        self._check_namespace(row, obj)
        if self.get(kind, namespace_of(obj), name_of(obj)) is not None:
            raise status.already_exists(row.plural, row.group, name_of(obj))
        self.admit(row, obj, None)
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
        new = _copy(old)
        mutate(new)
        if new == old:
            return old
        if row.counts_generations and new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        self.admit(row, new, old)
        if dry_run:
            return new
        if deleting(new) and not finalizers_of(new):
            return self._put(row, "DELETED", new, old)
        return self._put(row, "MODIFIED", new, old)

    def delete(
        self, kind: str, namespace: str, name: str, *,
        grace: int | None = None, foreground: bool = False, dry_run: bool = False,
    ) -> Obj:  # fmt: skip
        """Mark an object for deletion and remove it as soon as nothing holds it; returns what is left of it."""
        row = self.kinds[kind]
        old = self.require(kind, namespace, name)
        new = _copy(old)
        meta = new["metadata"]
        meta.setdefault("deletionTimestamp", timestamp())
        if grace is not None:
            meta["deletionGracePeriodSeconds"] = grace
        if foreground and not deleting(old):
            meta["finalizers"] = [*meta.get("finalizers", []), FOREGROUND]
        if row.key == "namespaces":
            new["status"] = new["status"] | {"phase": "Terminating"}
        if dry_run or (new == old and finalizers_of(new)):
            return new
        return self._put(row, "MODIFIED" if finalizers_of(new) else "DELETED", new, old)

    # Inside

    def _check_namespace(self, row: Kind, obj: Obj) -> None:
        if not row.namespaced:
            return
        home = self.get("namespaces", "", namespace_of(obj))
        if home is None:
            raise status.not_found("namespaces", "", namespace_of(obj))
        if deleting(home):
            raise status.namespace_terminating(row.plural, row.group, name_of(obj), namespace_of(obj))

    def _put(self, row: Kind, type_: str, obj: Obj, old: Obj | None) -> Obj:
        self._refuse_in_trouble()
        obj["metadata"]["resourceVersion"] = str(self.revision + 1)
        text = json.dumps(obj)
        if len(text) > LARGEST:
            raise status.too_much(LARGEST)
        self.revision += 1
        if old is not None:
            self._index(row.key, old, present=False)
        if type_ == "DELETED":
            space = self._objects[row.key][namespace_of(obj)]
            del space[name_of(obj)]
            if not space:
                del self._objects[row.key][namespace_of(obj)]
        else:
            self._objects[row.key][namespace_of(obj)][name_of(obj)] = _Record(obj, text)
            self._index(row.key, obj, present=True)
        change = Change(self.revision, type_, row.key, obj, old, text)
        self._pending.append(change)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_pending())
        for listener in self._listeners:
            listener(change)
        return obj

    def _index(self, kind: str, obj: Obj, *, present: bool) -> None:
        place = (kind, *_key(obj))
        if present:
            self._places[uid_of(obj)] = place
        else:
            self._places.pop(uid_of(obj), None)
        for owner in owners_of(obj):
            owned = self._owned[owner]
            (owned.add if present else owned.discard)(place)
            if not owned:
                del self._owned[owner]

    def _at(self, place: Place) -> tuple[str, Obj]:
        kind, namespace, name = place
        return kind, self._objects[kind][namespace][name].obj

    def _take_up(self, place: Place, text: str) -> None:
        kind, namespace, name = place
        try:
            obj = json.loads(text)
            if _key(obj) != (namespace, name) or not uid_of(obj):
                raise ValueError("it is another object")
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            log.error("the stored %s cannot be read (%s); it stays in the database, and is not served", place, error)
            return
        if kind in self.kinds:
            self._objects[kind][namespace][name] = _Record(obj, text)
            self._index(kind, obj, present=True)

    # To the disk

    def _refuse_in_trouble(self) -> None:
        if self._trouble:
            raise status.internal_error(f"objects cannot be stored ({self._trouble}); the engine tries again by itself")

    async def _write_pending(self) -> None:
        while self._pending:
            if not await self._write():
                await asyncio.sleep(_RETRY_SECONDS)

    async def _write(self) -> bool:
        """Write everything pending in one transaction, then tell the watches; False where the disk refused."""
        batch = list(self._pending)
        rows = {(change.kind, *_key(change.obj)): None if change.type == "DELETED" else change.text for change in batch}
        try:
            await asyncio.to_thread(self._journal.write, batch[-1].revision, rows)
        except sqlite3.Error as error:
            if str(error) != self._trouble:
                log.error("objects cannot be stored: %s", error)
            self._trouble = str(error)
        else:
            self._trouble = ""
            del self._pending[: len(batch)]
            self.durable = batch[-1].revision
            for change in batch:
                self.history.add(change)
        self._written.set()
        self._written = asyncio.Event()
        return not self._trouble


def _copy(obj: Obj) -> Obj:
    copied: Obj = json.loads(json.dumps(obj))
    return copied


def _key(obj: Obj) -> tuple[str, str]:
    return namespace_of(obj), name_of(obj)


def finalizers_of(obj: Obj) -> list[str]:
    """What holds an object that is being deleted; a namespace keeps its own list in ``spec``."""
    own = obj["metadata"].get("finalizers") or []
    spec = obj.get("spec", {}).get("finalizers") or [] if obj.get("kind") == "Namespace" else []
    return [*own, *spec]
