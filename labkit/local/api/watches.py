"""A watch: which events a client is to see, taken from the store's history. Pure, but for the waiting in ``follow``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from labkit.local.api.selectors import Matcher
from labkit.local.api.status import ApiError
from labkit.local.objects import Obj, namespace_of
from labkit.local.store import Change, Store

INITIAL_END = {"k8s.io/initial-events-end": "true"}


@dataclass(frozen=True)
class Watch:
    """What a client watches. ``since`` is None for "now, with what there is first"."""

    kind: str
    namespace: str
    matches: Matcher
    since: int | None
    bookmarks: bool
    mark_initial: bool
    timeout: float


def visible(changes: Iterable[Change], watch: Watch) -> list[tuple[str, Obj]]:
    """The events for one client: an object that stops matching is DELETED to it, one that starts is ADDED."""
    events = []
    for change in changes:
        if change.kind != watch.kind or watch.namespace not in ("", namespace_of(change.obj)):
            continue
        now = change.type != "DELETED" and watch.matches(change.obj)
        before = change.old is not None and watch.matches(change.old)
        if now or before:
            events.append(("MODIFIED" if now and before else "ADDED" if now else "DELETED", change.obj))
    return events


async def follow(store: Store, watch: Watch, api_version: str, kind: str) -> AsyncIterator[list[tuple[str, Obj]]]:
    """Batches of events until the watch's time is over; an empty batch every few seconds lets the caller look up.

    A client that has fallen behind the history gets an ERROR event with the 410 and the watch ends.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + watch.timeout
    position = watch.since
    if position is None:
        position = store.revision
        yield [("ADDED", obj) for obj in store.all(watch.kind, watch.namespace) if watch.matches(obj)]
        if watch.mark_initial:
            yield [_bookmark(api_version, kind, position, INITIAL_END)]
    while loop.time() < end:
        try:
            changes = store.changes_since(position)
        except ApiError as error:
            yield [("ERROR", error.body())]
            return
        if changes:
            position = changes[-1].revision
            yield visible(changes, watch)
            continue
        try:
            async with asyncio.timeout(min(5.0, end - loop.time())):
                await store.changed()
        except TimeoutError:
            yield []
    if watch.bookmarks:
        yield [_bookmark(api_version, kind, position, {})]


def _bookmark(api_version: str, kind: str, revision: int, annotations: dict[str, str]) -> tuple[str, Obj]:
    metadata: Obj = {"resourceVersion": str(revision), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = annotations
    return "BOOKMARK", {"kind": kind, "apiVersion": api_version, "metadata": metadata}
