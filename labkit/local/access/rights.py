"""The rules that hold for a user, found in the stored roles and bindings."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache

from labkit.local.access.rules import MASTERS, Attributes, User, allowed
from labkit.local.objects import Obj, name_of, namespace_of
from labkit.local.store import Change, Store

GROUP = "rbac.authorization.k8s.io"
ROLES = {"Role": f"roles.{GROUP}", "ClusterRole": f"clusterroles.{GROUP}"}
BINDINGS = (f"rolebindings.{GROUP}", f"clusterrolebindings.{GROUP}")
ACCOUNT = "system:serviceaccount:"

_Place = tuple[str, str, str]
"""Kind and name of a subject, and the namespace where a binding holds (empty: everywhere)."""


class Rights:
    """Bindings by subject, and what each user may do, remembered until a role or binding changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bindings: defaultdict[_Place, dict[str, Obj]] = defaultdict(dict)
        self._rules = lru_cache(maxsize=1024)(self._find)
        for kind in BINDINGS:
            for binding in store.all(kind):
                self._index(binding)
        store.listen(self._on_change)

    def may(self, user: User, wanted: Attributes) -> bool:
        """Whether the user has the right."""
        return MASTERS in user.groups or allowed(self.rules(user, wanted.namespace), wanted)

    def rules(self, user: User, namespace: str) -> tuple[Obj, ...]:
        """All PolicyRules that hold for a user in a namespace (empty: only those that hold everywhere)."""
        return self._rules(user.name, user.groups, namespace)

    def of_role(self, reference: Obj, namespace: str) -> list[Obj]:
        """The rules of the role that a binding in ``namespace`` refers to; none where there is no such role."""
        home = namespace if reference["kind"] == "Role" else ""
        role = self._store.get(ROLES[reference["kind"]], home, reference["name"])
        return list((role or {}).get("rules") or ())

    def _find(self, name: str, groups: tuple[str, ...], namespace: str) -> tuple[Obj, ...]:
        found: list[Obj] = []
        for subject in (("User", name), *(("Group", group) for group in groups)):
            for space in {"", namespace}:
                for binding in self._bindings.get((*subject, space), {}).values():
                    found += self.of_role(binding["roleRef"], space)
        return tuple(found)

    def _on_change(self, change: Change) -> None:
        if change.kind in BINDINGS:
            if change.old is not None:
                for place in _places(change.old):
                    self._bindings[place].pop(name_of(change.old), None)
            if change.type != "DELETED":
                self._index(change.obj)
        if change.kind.endswith(GROUP):
            self._rules.cache_clear()

    def _index(self, binding: Obj) -> None:
        for place in _places(binding):
            self._bindings[place][name_of(binding)] = binding


def _places(binding: Obj) -> list[_Place]:
    space, places = namespace_of(binding), []
    for subject in binding.get("subjects") or ():
        kind, name = subject["kind"], subject["name"]
        if kind == "ServiceAccount":
            kind, name = "User", f"{ACCOUNT}{subject.get('namespace') or space}:{name}"
        places.append((kind, name, space))
    return places
