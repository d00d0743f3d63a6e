"""What is there without anybody making it: default roles and their bindings, what roles aggregate, default accounts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from labkit.local.access.rights import BINDINGS, GROUP, ROLES
from labkit.local.api.selectors import matches_labels
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.objects import Obj, deleting, get_path, name_of, namespace_of
from labkit.local.store import Change, Store

_ALL_ROLES: Key = ("", "clusterroles")
_UPDATED = "rbac.authorization.kubernetes.io/autoupdate"


class Defaults:
    """One queue: a key is a namespace's account, or all ClusterRoles."""

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
        self._aggregate()
        for namespace in self._store.all("namespaces"):
            self.queue.add((name_of(namespace), "default"))

    def _on_change(self, change: Change) -> None:
        if change.kind == ROLES["ClusterRole"]:
            self.queue.add(_ALL_ROLES)
        elif change.kind == "namespaces" and change.type == "ADDED":
            self.queue.add((name_of(change.obj), "default"))
        elif change.kind == "serviceaccounts" and change.type == "DELETED":
            self.queue.add((namespace_of(change.obj), "default"))

    async def reconcile(self, key: Key) -> float | None:
        """One key."""
        if key == _ALL_ROLES:
            self._aggregate()
            return None
        home = self._store.get("namespaces", "", key[0])
        if home is not None and not deleting(home) and self._store.get("serviceaccounts", *key) is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": key[0], "name": key[1]}}
            self._store.create("serviceaccounts", account)
        return None

    def _aggregate(self) -> None:
        """Give each ClusterRole with an ``aggregationRule`` the rules of those that it selects by label."""
        roles = self._store.all(ROLES["ClusterRole"])
        for role in roles:
            if not (selectors := get_path(role, "aggregationRule.clusterRoleSelectors")):
                continue
            rules: list[Obj] = []
            for other in roles:
                labels = other["metadata"].get("labels") or {}
                if other is not role and any(matches_labels(selector, labels) for selector in selectors):
                    rules += [rule for rule in other.get("rules") or () if rule not in rules]
            self._store.update(ROLES["ClusterRole"], "", name_of(role), _setter("rules", rules))


def _setter(part: str, value: list[Obj]) -> Callable[[Obj], None]:
    return lambda obj: obj.update({part: value})


def _objects() -> Iterator[tuple[str, str, Obj]]:
    """Kind key, the list in it that is kept up, and the object: every row of ``defaults.yaml``."""
    rows = YAML(typ="safe", pure=True).load(Path(__file__).with_suffix(".yaml"))
    for name, row in rows.items():
        labels = {_label(row["into"]): "true"} if "into" in row else {}
        role = _object("ClusterRole", name, labels) | {"rules": [_rule(*words) for words in row.get("rules", ())]}
        if "collects" in row:
            selectors = [{"matchLabels": {_label(source): "true"}} for source in row["collects"]]
            role["aggregationRule"] = {"clusterRoleSelectors": selectors}
        yield ROLES["ClusterRole"], "rules", role
        if "to" in row:
            subjects = [{"apiGroup": GROUP, "kind": "Group", "name": f"system:{group}"} for group in row["to"]]
            reference = {"apiGroup": GROUP, "kind": "ClusterRole", "name": name}
            binding = _object("ClusterRoleBinding", name, {}) | {"roleRef": reference, "subjects": subjects}
            yield BINDINGS["ClusterRole"], "subjects", binding


def _label(role: str) -> str:
    return f"{GROUP}/aggregate-to-{role}"


def _object(kind: str, name: str, labels: dict[str, str]) -> Obj:
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults", **labels}
    metadata = {"name": name, "labels": labels, "annotations": {_UPDATED: "true"}}
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": metadata}


def _rule(*words: Any) -> Obj:
    keys = ("nonResourceURLs", "verbs") if len(words) == 2 else ("apiGroups", "resources", "verbs")
    return {key: text.split(" ") if key != "apiGroups" else [text] for key, text in zip(keys, words, strict=True)}
