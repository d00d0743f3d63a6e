"""Keeps each running network's addresses, names and isolation as the stored objects say."""

from __future__ import annotations

import logging

from labkit.local.api.admission import own_traffic_allowed
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.controllers.virtualmachines import VMI
from labkit.local.network.names import mac_of, names
from labkit.local.network.segments import NetworkError, Segments
from labkit.local.objects import name_of, namespace_of, uid_of
from labkit.local.qemu.plan import mac_address
from labkit.local.store import Change, Store

log = logging.getLogger(__name__)

_WATCHED = ("services", "pods", "networkpolicies.networking.k8s.io", VMI)
_RETRY_SECONDS = 2.0


class Networks:
    """The controller."""

    def __init__(self, store: Store, segments: Segments) -> None:
        self._store = store
        self._segments = segments
        self.queue = WorkQueue("network", self.reconcile)
        store.listen(self._on_change)

    def start(self) -> None:
        """Look at every namespace once."""
        for namespace in self._store.all("namespaces"):
            self.queue.add(("", name_of(namespace)))

    def _on_change(self, change: Change) -> None:
        if change.kind in _WATCHED:
            self.queue.add(("", namespace_of(change.obj)))

    async def reconcile(self, key: Key) -> float | None:
        """One namespace's network."""
        try:
            await self.settle(key[1])
        except NetworkError as error:
            log.info("network of %s: %s", key[1], error)
            return _RETRY_SECONDS
        return None

    async def settle(self, space: str) -> None:
        """Bring one network up to date, before a machine hears anything on it. Raises NetworkError."""
        namespace = self._store.get("namespaces", "", space)
        if namespace is None:
            return
        hosts = {}
        for vmi in self._store.all(VMI, space):
            if address := self._segments.address(uid_of(namespace), uid_of(vmi)):
                hosts[mac_address(vmi, mac_of(uid_of(vmi)))] = address
        policies = self._store.all("networkpolicies.networking.k8s.io", space)
        found = names(self._store.all("services", space), self._store.all("pods", space))
        await self._segments.configure(uid_of(namespace), hosts, found, not own_traffic_allowed(policies))
