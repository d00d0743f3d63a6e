"""A cache of one kind of objects, which a watch keeps as the engine has them.

It lists once, then is told of changes: the price of a change does not depend on how much is cached. After a gap that
the engine cannot fill (410) it lists again, and tells only of what differs. While the engine does not answer, what was
last known stays.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from labkit.cluster.client import Cluster, Object
from labkit.errors import ClusterError, ClusterUnavailable

_BACKOFF_SECONDS = (0.2, 5.0)

_log = logging.getLogger(__name__)


class Cache:
    """The objects of `kind` with these labels, by namespace (a namespace's own name) and name.

    `changed` is called with the namespace of what has changed, from this cache's own thread.
    """

    def __init__(self, cluster: Cluster, kind: str, labels: Mapping[str, str], changed: Callable[[str], None]) -> None:
        self.kind = kind
        self.ready = threading.Event()
        """Set once it knows all objects that there were at one moment."""
        self._cluster, self._labels, self._changed = cluster, labels, changed
        self._found: dict[str, dict[str, Object]] = {}

    def get(self, namespace: str) -> Mapping[str, Object]:
        """By name, what is known in a namespace."""
        return self._found.get(namespace, {})

    def namespaces(self) -> list[str]:
        """Where there is anything."""
        return list(self._found)

    @property
    def size(self) -> int:
        """In how many namespaces there is anything."""
        return len(self._found)

    def follow(self, stopping: threading.Event) -> None:
        """Keep in step until `stopping` is set (and the watch under way has come to its end)."""
        since, wait = "", _BACKOFF_SECONDS[0]
        while not stopping.is_set():
            try:
                since = since or self._list()
                for type_, found in self._cluster.watch(self.kind, self._labels, since):
                    since, wait = found["metadata"]["resourceVersion"], _BACKOFF_SECONDS[0]
                    self._take(type_, found)
                    if stopping.is_set():
                        return
            except ClusterError as error:
                if not isinstance(error, ClusterUnavailable) or error.status == 504:
                    since = ""  # the engine does not know this moment (any more): the only way on is from a new list
                _log.info("watch of %s: %s", self.kind, error)
                stopping.wait(max(wait, getattr(error, "retry_after", 0.0)))
                wait = min(2 * wait, _BACKOFF_SECONDS[1])

    def _list(self) -> str:
        revision, listed = "", set()
        for items, at in self._cluster.pages(self.kind, self._labels):
            revision = at
            for item in items:
                listed.add(_key(item))
                self._take("ADDED", item)
        gone = [item for found in self._found.values() for item in found.values() if _key(item) not in listed]
        for item in gone:
            self._take("DELETED", item)
        self.ready.set()
        return revision

    def _take(self, type_: str, item: Object) -> None:
        if type_ == "BOOKMARK":
            return
        namespace, name = _key(item)
        known = self._found.get(namespace, {})
        if type_ == "DELETED":
            after = {other: found for other, found in known.items() if other != name}
        else:
            if name in known and _revision(known[name]) == _revision(item):
                return
            after = {**known, name: _slim(item)}
        # Replaced, never changed: other threads read it.
        if after:
            self._found[namespace] = after
        else:
            self._found.pop(namespace, None)
        self._changed(namespace)


def _key(item: Object) -> tuple[str, str]:
    metadata = item["metadata"]
    return metadata.get("namespace") or metadata["name"], metadata["name"]


def _revision(item: Object) -> Any:
    return item["metadata"]["resourceVersion"]


def _slim(item: Object) -> Object:
    """What observation needs: who it is and how it is, not what it was asked to be."""
    metadata = {name: value for name, value in item["metadata"].items() if name != "managedFields"}
    return {"metadata": metadata, "status": item.get("status") or {}}
