"""A Lease (coordination.k8s.io/v1), so that of several only one acts.

Whoever holds it writes the time into it again and again. Another takes it once it has seen it unchanged for as long as
the Lease says, by its own clock: the clocks of two machines are never compared. The holder's right ends by its own
clock, a little earlier: `check` says so before each request that changes something.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from labkit.cluster.client import Cluster, Object
from labkit.errors import ClusterError, ClusterUnavailable

_log = logging.getLogger(__name__)

SECONDS = 15.0
_SHARE = 0.8
"""The part of a Lease's time for which its holder acts on it: the rest is for requests on their way."""


class Lease:
    """One Lease, for one `holder`. Who holds the name `holder` must know that no other does so any more."""

    def __init__(self, cluster: Cluster, namespace: str, name: str, holder: str, *, seconds: float = SECONDS) -> None:
        self._cluster, self._holder, self._seconds = cluster, holder, seconds
        self._where = (namespace, name)
        self._until = 0.0
        self._seen: tuple[str, float] = ("", 0.0)

    @property
    def place(self) -> tuple[str, str]:
        """Its namespace and name."""
        return self._where

    def acquire(self, stopping: threading.Event, waiting: Callable[[str], None]) -> bool:
        """Wait until it is ours; False where `stopping` was set first. `waiting` is told why it takes time, once."""
        told = ""
        while not stopping.is_set():
            why = self._try()
            if not why:
                return True
            if why != told:
                waiting(why)
                told = why
            stopping.wait(min(1.0, self._seconds / 10))
        return False

    def keep(self, stopping: threading.Event, lost: Callable[[str], None]) -> None:
        """Renew it until `stopping` is set; `lost` is called where another has it, and that is the end."""
        while not stopping.wait(self._seconds / 4):
            try:
                found = self._cluster.get("Lease", *self._where)
                holder = found["spec"].get("holderIdentity") if found else self._holder
                if holder != self._holder:
                    lost(f"the lease {self._where[1]} was taken over by {holder or 'nobody'}")
                    return
                self._write(found)
            except ClusterError as error:
                # Until it is renewed again, check() lets nothing through.
                _log.info("the lease %s was not renewed: %s", self._where[1], error)

    def check(self) -> None:
        """Raises ClusterUnavailable where it is not ours at this moment."""
        if time.monotonic() > self._until:
            raise ClusterUnavailable(f"the lease {self._where[1]} could not be renewed in time: waiting for the engine")

    def release(self) -> None:
        """Let it go, where it is still ours, so that the next one need not wait."""
        if time.monotonic() > self._until:
            return
        self._until = 0.0
        try:
            found = self._cluster.get("Lease", *self._where)
            if found and found["spec"].get("holderIdentity") == self._holder:
                self._cluster.replace({**found, "spec": {**found["spec"], "holderIdentity": ""}})
        except ClusterError:
            return  # it runs out by itself

    def _try(self) -> str:
        """Take it where that is right. Returns why it is not ours (yet), "" where it is."""
        try:
            found = self._cluster.get("Lease", *self._where)
            holder = (found or {}).get("spec", {}).get("holderIdentity") or ""
            if found and holder not in ("", self._holder) and not self._stale(found):
                return f"{holder} has the lease {self._where[1]}"
            self._write(found)
        except ClusterUnavailable as error:
            return str(error)
        except ClusterError as error:
            if error.status == 409:
                return "another was faster"
            raise
        return ""

    def _stale(self, found: Object) -> bool:
        mark, now = str(found["metadata"]["resourceVersion"]), time.monotonic()
        if mark != self._seen[0]:
            self._seen = (mark, now)
        return now - self._seen[1] > float(found["spec"].get("leaseDurationSeconds") or self._seconds)

    def _write(self, found: Object | None) -> None:
        namespace, name = self._where
        asked, now = time.monotonic(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = (found or {}).get("spec", {})
        spec = {
            **old,
            "holderIdentity": self._holder,
            "leaseDurationSeconds": max(1, round(self._seconds)),
            "renewTime": now,
        }
        if old.get("holderIdentity") != self._holder:
            spec |= {"acquireTime": now, "leaseTransitions": int(old.get("leaseTransitions") or 0) + bool(old)}
        if found:
            self._cluster.replace({**found, "spec": spec})
        else:
            metadata = {"namespace": namespace, "name": name}
            body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
            self._cluster.create(body)
        self._until = asked + self._seconds * _SHARE
