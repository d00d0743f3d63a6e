"""The rules that hold for a user, found in the stored roles and bindings."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from labkit.local.access.rules import MASTERS, Attributes, User, allowed
from labkit.local.objects import Obj, namespace_of
from labkit.local.store import Change, Store

GROUP = "rbac.authorization.k8s.io"
ROLES = {"Role": f"roles.{GROUP}", "ClusterRole": f"clusterroles.{GROUP}"}
BINDINGS = {"Role": f"rolebindings.{GROUP}", "ClusterRole": f"clusterrolebindings.{GROUP}"}
"""Kind keys: what holds in one namespace, and what holds everywhere."""
ACCOUNT = "system:serviceaccount:"


class Rights:
    """What each user may do, remembered until a role or binding changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rules = lru_cache(maxsize=1024)(self._find)
        self._decided = lru_cache(maxsize=4096)(self._decide)
        store.listen(self._on_change)

    def may(self, user: User, wanted: Attributes) -> bool:
        """Whether the user has the right."""
        return MASTERS in user.groups or self._decided(user.name, user.groups, wanted)

    def rules(self, user: User, namespace: str) -> tuple[Obj, ...]:
        """All PolicyRules that hold for a user in a namespace (empty: only those that hold everywhere)."""
        return self._rules(user.name, user.groups, namespace)

    def _decide(self, name: str, groups: tuple[str, ...], wanted: Attributes) -> bool:
        return allowed(self._rules(name, groups, wanted.namespace), wanted)

    def _find(self, name: str, groups: tuple[str, ...], namespace: str) -> tuple[Obj, ...]:
        subjects = {("User", name), *(("Group", group) for group in groups)}
        bindings = self._store.all(BINDINGS["ClusterRole"])
        bindings += self._store.all(BINDINGS["Role"], namespace) if namespace else []
        found: list[Obj] = []
        for binding in bindings:
            if not subjects.isdisjoint(_subjects(binding)):
                reference = binding["roleRef"]
                home = namespace_of(binding) if reference["kind"] == "Role" else ""
                role = self._store.get(ROLES[reference["kind"]], home, reference["name"])
                found += (role or {}).get("rules") or ()
        return tuple(found)

    def _on_change(self, change: Change) -> None:
        if change.kind.endswith(GROUP):
            self._rules.cache_clear()
            self._decided.cache_clear()


def _subjects(binding: Obj) -> Iterator[tuple[str, str]]:
    for subject in binding.get("subjects") or ():
        kind, name = subject["kind"], subject["name"]
        if kind == "ServiceAccount":
            kind, name = "User", f"{ACCOUNT}{subject.get('namespace') or namespace_of(binding)}:{name}"
        yield kind, name
