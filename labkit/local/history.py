"""The last changes of each kind, for watches, and waiting for the next one."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass, field

from labkit.local.api import status
from labkit.local.objects import Obj

LONGEST = 4096
"""Changes remembered of each kind."""
LARGEST = 8 * 2**20
"""Bytes of JSON remembered of each kind."""


@dataclass(frozen=True)
class Change:
    """One change: ``type`` is ADDED, MODIFIED or DELETED; ``old`` is the object before it, ``text`` ``obj`` as JSON."""

    revision: int
    type: str
    kind: str
    obj: Obj
    old: Obj | None
    text: str


@dataclass
class _Log:
    oldest: int
    changes: list[Change] = field(default_factory=list)
    size: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)


class History:
    """Everything after ``start``, as far back as the limits allow."""

    def __init__(self, start: int) -> None:
        self._logs: defaultdict[str, _Log] = defaultdict(lambda: _Log(start))

    def add(self, change: Change) -> None:
        """Remember a change and wake who waits for one of its kind."""
        log = self._logs[change.kind]
        log.changes.append(change)
        log.size += len(change.text)
        if len(log.changes) > 2 * LONGEST or log.size > LARGEST:
            half = len(log.changes) // 2
            log.oldest = log.changes[half - 1].revision if half else log.oldest
            log.size -= sum(len(dropped.text) for dropped in log.changes[:half])
            del log.changes[:half]
        log.news.set()
        log.news = asyncio.Event()

    def since(self, kind: str, revision: int) -> list[Change]:
        """The changes of a kind after ``revision``; ApiError 410 where they are no longer remembered."""
        log = self._logs[kind]
        if revision < log.oldest:
            raise status.expired(revision, log.oldest)
        return log.changes[bisect_right(log.changes, revision, key=lambda change: change.revision) :]

    async def news(self, kind: str) -> None:
        """Wait for the next change of a kind."""
        await self._logs[kind].news.wait()
