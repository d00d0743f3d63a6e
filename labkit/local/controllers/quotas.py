"""Enforces ResourceQuotas and LimitRanges on everything that is stored, and keeps each quota's ``status``."""

from __future__ import annotations

from collections import Counter, defaultdict

from labkit.local.api import quota
from labkit.local.api.kinds import Kind
from labkit.local.api.status import forbidden
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.objects import Obj, name_of, namespace_of
from labkit.local.store import Change, Store

QUOTAS = "resourcequotas"


class Quotas:
    """The controller. What a namespace uses is counted with every change, so that asking costs nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._used: defaultdict[str, quota.Usage] = defaultdict(Counter)
        self.queue = WorkQueue("quota", self.reconcile)
        for key, obj in store.everything():
            self._used[namespace_of(obj)].update(quota.usage(store.kinds[key], obj))
        store.listen(self._on_change)
        store.admit = self.admit

    def start(self) -> None:
        """Look at every quota once."""
        for found in self._store.all(QUOTAS):
            self.queue.add((namespace_of(found), name_of(found)))

    def admit(self, kind: Kind, new: Obj, old: Obj | None) -> None:
        """Default and check an object about to be stored; ApiError 403 where a limit range or quota forbids it.

        It is stored before anything else happens, so two cannot both take the last place.
        """
        space = namespace_of(new)
        why = [] if old else quota.apply_limits(kind, new, self._store.all("limitranges", space))
        more = quota.usage(kind, new) - (quota.usage(kind, old) if old else Counter())
        for found in self._store.all(QUOTAS, space) if more and not why else ():
            if fault := quota.refusal(found, new, more, self._used[space], new=old is None):
                why = [fault]
                break
        if why:
            said = why[0] if len(why) == 1 else f"[{', '.join(why)}]"
            raise forbidden(kind.plural, kind.group, name_of(new), said)

    def _on_change(self, change: Change) -> None:
        kind, space = self._store.kinds[change.kind], namespace_of(change.obj)
        before = quota.usage(kind, change.old) if change.old else Counter()
        after = quota.usage(kind, change.obj) if change.type != "DELETED" else Counter()
        self._used[space].update(after)
        self._used[space].subtract(before)
        if change.kind == "namespaces" and change.type == "DELETED":
            self._used.pop(name_of(change.obj), None)
        if before != after or change.kind == QUOTAS:
            for found in self._store.all(QUOTAS, space):
                self.queue.add((space, name_of(found)))

    async def reconcile(self, key: Key) -> float | None:
        """One quota's status."""
        if self._store.get(QUOTAS, *key) is not None:
            self._store.update(QUOTAS, *key, self._fill)
        return None

    def _fill(self, found: Obj) -> None:
        hard, used = found["spec"]["hard"], self._used[namespace_of(found)]
        found["status"] = {"hard": dict(hard), "used": {name: quota.show(name, used[name]) for name in hard}}
