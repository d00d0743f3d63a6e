"""A work queue: one reconcile at a time for each key, repeated after a failure or when it asks to be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from labkit.local.api.status import ApiError

log = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and name."""
Reconcile = Callable[[Key], Awaitable[float | None]]

_FIRST_RETRY = 0.5
_LONGEST_RETRY = 30.0


class WorkQueue:
    """Runs ``reconcile`` for every key added; a key added while it runs is run once more afterwards.

    ``reconcile`` looks at what is stored now, not at what happened; it returns the seconds after which it wants to look
    again, or None.
    """

    def __init__(self, name: str, reconcile: Reconcile) -> None:
        self._name = name
        self._reconcile = reconcile
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._retries: dict[Key, float] = {}
        self._closed = False

    def add(self, key: Key) -> None:
        """Have a key looked at soon."""
        if self._closed:
            return
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if key in self._running:
            self._again.add(key)
            return
        self._running[key] = asyncio.create_task(self._run(key))

    async def close(self) -> None:
        """Stop looking; what is being done is interrupted."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _run(self, key: Key) -> None:
        try:
            delay = await self._reconcile(key)
            self._retries.pop(key, None)
        except ApiError as error:
            # An object that went away, or a namespace that is going: the next event, or the retry, sorts it out.
            log.info("%s %s: %s", self._name, "/".join(key), error)
            delay = self._retry(key)
        except Exception:
            log.exception("%s %s failed; it will be tried again", self._name, "/".join(key))
            delay = self._retry(key)
        finally:
            del self._running[key]
        if key in self._again:
            self._again.discard(key)
            self.add(key)
        elif delay is not None and not self._closed:
            self._timers[key] = asyncio.get_running_loop().call_later(delay, self.add, key)

    def _retry(self, key: Key) -> float:
        delay = self._retries.get(key, _FIRST_RETRY)
        self._retries[key] = min(delay * 2, _LONGEST_RETRY)
        return delay
