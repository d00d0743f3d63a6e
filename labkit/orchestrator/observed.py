"""What the controller knows of the cluster without asking: one watch for each kind, of this installation alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from labkit.cluster.cache import Cache
from labkit.cluster.client import Cluster
from labkit.manifests import names
from labkit.orchestrator.plan import Observed

KINDS = ("Namespace", "VirtualMachine", "VirtualMachineInstance", "Pod")


class Watches:
    """The labs of an installation as the cluster tells of them; `changed` is called with a lab's id."""

    def __init__(self, cluster: Cluster, installation: str, changed: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._caches = {
            kind: Cache(cluster, kind, {names.INSTALLATION: installation}, self._tell(kind, changed)) for kind in KINDS
        }

    @staticmethod
    def _tell(kind: str, changed: Callable[[str], None]) -> Callable[[str], None]:
        # Only the namespaces decide what is to be done about a lab: its machines' changes are for whoever waits.
        return (lambda space: changed(names.lab_of(space))) if kind == "Namespace" else lambda _: None

    def begin(self, stopping: threading.Event) -> None:
        """Follow each kind in a thread of its own, until `stopping` is set."""
        for cache in self._caches.values():
            threading.Thread(target=cache.follow, args=(stopping,), name=f"watch {cache.kind}", daemon=True).start()

    def ready(self) -> bool:
        """Whether all there was at one moment is known."""
        return all(cache.ready.is_set() for cache in self._caches.values())

    def labs(self) -> list[str]:
        """Every lab that has a namespace."""
        return [names.lab_of(space) for space in self._caches["Namespace"].namespaces()]

    def count(self) -> int:
        """How many labs have a namespace."""
        return self._caches["Namespace"].size

    def lab(self, lab: str) -> Observed | None:
        """What there is of a lab."""
        found = self._caches["Namespace"].get(names.namespace_of(lab)).get(names.namespace_of(lab))
        return Observed(terminating=bool(found["metadata"].get("deletionTimestamp"))) if found else None

    def select(self, kind: str, namespace: str, labels: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """What `Cluster.select` would answer, without its spec, and without a request for a kind that is watched."""
        if kind not in self._caches or labels:
            return self._cluster.select(kind, namespace, labels)
        return list(self._caches[kind].get(namespace).values())
