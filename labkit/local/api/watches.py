"""A watch: which events a client is to see, taken from the store's history. Pure, but for the waiting in ``follow``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from labkit.local.api.kinds import Kind
from labkit.local.api.selectors import Matcher
from labkit.local.api.status import ApiError
from labkit.local.history import Change
from labkit.local.objects import Obj, namespace_of
from labkit.local.store import Store

INITIAL_END = {"k8s.io/initial-events-end": "true"}
_LOOK_UP_SECONDS = 5.0
_BOOKMARK_SECONDS = 60.0


@dataclass(frozen=True)
class Watch:
    """What a client watches. ``since`` is None for "now, with what there is first"; ``timeout`` is in seconds."""

    kind: Kind
    namespace: str
    matches: Matcher
    since: int | None
    bookmarks: bool
    mark_initial: bool
    timeout: float


@dataclass(frozen=True)
class Event:
    """One line of a watch: ``text`` is ``obj`` as JSON."""

    type: str
    obj: Obj
    text: str


def visible(changes: Iterable[Change], watch: Watch) -> list[Event]:
    """The events for one client: an object that stops matching is DELETED to it, one that starts is ADDED."""
    events = []
    for change in changes:
        if watch.namespace not in ("", namespace_of(change.obj)):
            continue
        now = change.type != "DELETED" and watch.matches(change.obj)
        before = change.old is not None and watch.matches(change.old)
        if now or before:
            name = "MODIFIED" if now and before else "ADDED" if now else "DELETED"
            if now or change.type == "DELETED" or change.old is None:
                events.append(Event(name, change.obj, change.text))
            else:
                # It was changed, not deleted: the client is shown it as it last saw it, at this revision.
                last = change.old | {"metadata": change.old["metadata"] | {"resourceVersion": str(change.revision)}}
                events.append(Event(name, last, json.dumps(last)))
    return events


async def follow(store: Store, watch: Watch) -> AsyncIterator[list[Event]]:
    """Batches of events until the watch's time is over; an empty batch every few seconds lets the caller look up.

    A client that starts or falls behind the history gets an ERROR event with the 410 and the watch ends, as with the
    real server's watch cache.
    """
    clock = asyncio.get_running_loop().time
    end, bookmark_due = clock() + watch.timeout, clock() + _BOOKMARK_SECONDS
    position = store.revision if watch.since is None else watch.since
    if watch.since is None:
        found = [obj for obj in store.all(watch.kind.key, watch.namespace) if watch.matches(obj)]
        initial = [Event("ADDED", obj, store.encoded(watch.kind.key, obj)) for obj in found]
        await store.settled()
        yield initial + ([_bookmark(watch.kind, position, INITIAL_END)] if watch.mark_initial else [])
    while True:
        now, reached = clock(), store.durable
        try:
            batch = visible(store.history.since(watch.kind.key, position), watch)
        except ApiError as error:
            yield [Event("ERROR", error.body(), json.dumps(error.body()))]
            return
        position = max(position, reached)
        if watch.bookmarks and now >= min(bookmark_due, end):
            bookmark_due = now + _BOOKMARK_SECONDS
            batch.append(_bookmark(watch.kind, position, {}))
        if batch:
            yield batch
        if now >= end:
            return
        if not batch:
            try:
                async with asyncio.timeout(min(_LOOK_UP_SECONDS, end - now)):
                    await store.history.news(watch.kind.key)
            except TimeoutError:
                yield []


def _bookmark(kind: Kind, revision: int, annotations: dict[str, str]) -> Event:
    metadata: Obj = {"resourceVersion": str(revision), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    obj = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}
    return Event("BOOKMARK", obj, json.dumps(obj))
