"""Who may hold a thread of the web server's for long: some can, and there are always others that answer the rest."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from labkit.errors import TooMuch
from labkit.model import Principal, Role

OWN = 2
"""Commands of one learner that run at once."""


class Threads:
    """One worker's threads: half may run commands, half may wait for events, and a quarter does neither."""

    def __init__(self, threads: int) -> None:
        self._half, self._most = max(1, threads // 2), max(1, threads * 3 // 4)
        self._lock = threading.Lock()
        self._running: Counter[tuple[str, str]] = Counter()
        self._waiting = 0

    @contextmanager
    def to_run(self, principal: Principal) -> Iterator[None]:
        """A thread for somebody's command. Raises TooMuch."""
        who = (principal.realm, principal.subject)
        with self._lock:
            if principal.role is not Role.OPERATOR and self._running[who] >= OWN:
                raise TooMuch(f"{OWN} commands of yours are running: wait until one has ended")
            running = self._running.total()
            if running >= self._half or running + self._waiting >= self._most:
                raise TooMuch("too many commands are running at the moment: wait a little")
            self._running[who] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[who] -= 1
                self._running += Counter()  # forgets who runs nothing

    @contextmanager
    def to_wait(self) -> Iterator[bool]:
        """Whether there is a thread to wait for an event."""
        with self._lock:
            free = self._waiting < self._half and self._running.total() + self._waiting < self._most
            self._waiting += free
        try:
            yield free
        finally:
            with self._lock:
                self._waiting -= free
