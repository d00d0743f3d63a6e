"""What is there without anybody making it: default roles and their bindings, default accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ruamel.yaml import YAML

from labkit.local.access.rights import BINDINGS, GROUP, ROLES
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.objects import Obj, deleting, name_of, namespace_of
from labkit.local.store import Change, Store

_UPDATED = "rbac.authorization.kubernetes.io/autoupdate"


class Defaults:
    """Default roles are made at the start; every namespace's account named ``default`` whenever it is missing."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.queue = WorkQueue("access", self.reconcile)
        store.listen(self._on_change)

    def start(self) -> None:
        """Make what is missing, and put back what was taken out of it; what was added stays.

        An object with the annotation ``rbac.authorization.kubernetes.io/autoupdate: "false"`` is left alone.
        """
        for kind, part, wanted in _objects():
            found = self._store.get(kind, "", name_of(wanted))
            if found is None:
                self._store.create(kind, wanted)
            elif (found["metadata"].get("annotations") or {}).get(_UPDATED) != "false":
                kept = found.get(part) or []
                full = kept + [item for item in wanted[part] if item not in kept]
                self._store.update(kind, "", name_of(wanted), _setter(part, full))
        for namespace in self._store.all("namespaces"):
            self.queue.add((name_of(namespace), "default"))

    def _on_change(self, change: Change) -> None:
        if change.kind == "namespaces" and change.type == "ADDED":
            self.queue.add((name_of(change.obj), "default"))
        elif change.kind == "serviceaccounts" and change.type == "DELETED":
            self.queue.add((namespace_of(change.obj), "default"))

    async def reconcile(self, key: Key) -> float | None:
        """One account, by namespace and name."""
        home = self._store.get("namespaces", "", key[0])
        if home is not None and not deleting(home) and self._store.get("serviceaccounts", *key) is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": key[0], "name": key[1]}}
            self._store.create("serviceaccounts", account)
        return None


def _setter(part: str, value: list[Obj]) -> Callable[[Obj], None]:
    return lambda obj: obj.update({part: value})


def _objects() -> Iterator[tuple[str, str, Obj]]:
    """Kind key, the list in it that is kept up, and the object: every row of ``defaults.yaml``."""
    rows = YAML(typ="safe", pure=True).load(Path(__file__).with_suffix(".yaml"))
    for name, row in rows.items():
        parts = [row, *(other for other in rows.values() if other.get("into") in row.get("collects", ()))]
        found = [words for part in parts for words in part.get("rules", ())]
        rules = [_rule(words) for n, words in enumerate(found) if words not in found[:n]]
        yield ROLES["ClusterRole"], "rules", _object("ClusterRole", name) | {"rules": rules}
        if "to" in row:
            subjects = [{"apiGroup": GROUP, "kind": "Group", "name": f"system:{group}"} for group in row["to"]]
            reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
            binding = _object("ClusterRoleBinding", name) | {"roleRef": reference, "subjects": subjects}
            yield BINDINGS["ClusterRole"], "subjects", binding


def _object(kind: str, name: str) -> Obj:
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    metadata = {"name": name, "labels": labels, "annotations": {_UPDATED: "true"}}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata}


def _rule(words: list[str]) -> Obj:
    keys = ("nonResourceURLs", "verbs") if len(words) == 2 else ("apiGroups", "resources", "verbs")
    return {key: text.split(" ") if key != "apiGroups" else [text] for key, text in zip(keys, words, strict=True)}
