"""The streams that are open now: how many there may be, how fast they may be, and their early end.

Each lab with an open stream is asked for every POLL_SECONDS. That is a `get` on one namespace, a right that a lab's own
RoleBinding can grant; a watch would need `watch` on all namespaces, and a thread that survives the engine's restarts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from weakref import WeakValueDictionary

from labkit.gateway.access import epoch_of, lab_lives
from labkit.gateway.cast import Cast
from labkit.gateway.engine import Engine
from labkit.gateway.machines import Denied
from labkit.gateway.routes import PanePath
from labkit.model import PaneType
from labkit.tickets import Ticket

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
_AT_ONCE = 4


class Traffic(StrEnum):
    """What passes beside the panes' streams."""

    FILES = "files"


_WATCHED = (PaneType.CONSOLE, PaneType.TERMINAL, PaneType.EXEC)


@dataclass(frozen=True)
class Limits:
    """What one learner, and one lab, may have at once: open streams, and bytes a second (0: no limit)."""

    streams: int = 64
    rate: float = 0.0


class Pace:
    """Bytes a second, shared by all streams of a learner or of a lab: a second's worth may come at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._level = 0.0
        self._at = time.monotonic()

    def take(self, size: int) -> float:
        """Count bytes that have passed; how many seconds nothing more should be read."""
        self._level += size
        if self._level < self._rate:
            return 0.0
        now = time.monotonic()
        self._level = max(0.0, self._level - (now - self._at) * self._rate)
        self._at = now
        return max(0.0, self._level / self._rate - 1.0)


class Tunnel:
    """One stream, from the moment in which it may be opened. `close` may be called more than once."""

    def __init__(self, pane: PanePath, ticket: Ticket, kind: PaneType | Traffic, paces: tuple[Pace, ...]) -> None:
        self.pane = pane
        self.ticket = ticket
        self.kind = kind
        self.close: Callable[[], None] = lambda: None
        self.up = self.down = 0
        self.asked = time.monotonic()
        self.first: float | None = None
        """Seconds from the request to the machine's first byte."""
        self.cast = Cast() if kind in _WATCHED and ticket.mode == "control" else None
        self._paces = paces

    def sent_up(self, size: int) -> float:
        """Count bytes from the browser; how many seconds nothing more should be read from it."""
        self.up += size
        return max([pace.take(size) for pace in self._paces]) if self._paces else 0.0

    def sent_down(self, data: bytes) -> float:
        """The same for bytes to the browser, which those who watch see too."""
        if self.first is None:
            self.first = time.monotonic() - self.asked
        self.down += len(data)
        if self.cast is not None:
            self.cast.feed(data)
        return max([pace.take(len(data)) for pace in self._paces]) if self._paces else 0.0


class Tunnels:
    """All streams of this process. `on_end` is told of each one that has ended."""

    def __init__(self, limits: Limits, on_end: Callable[[Tunnel], None] = lambda tunnel: None) -> None:
        self._limits = limits
        self._open: dict[Tunnel, None] = {}  # a set that keeps its order
        self._on_end = on_end
        self._paces: WeakValueDictionary[tuple[str, str], Pace] = WeakValueDictionary()

    def enter(self, pane: PanePath, ticket: Ticket, kind: PaneType | Traffic) -> Tunnel:
        """Count a stream in, before anything is opened for it. Raises Denied (429)."""
        counts = Counter(t.ticket.learner for t in self._open), Counter(t.pane.lab for t in self._open)
        for whose, count in (("You have", counts[0][ticket.learner]), ("This lab has", counts[1][pane.lab])):
            if count >= self._limits.streams:
                raise Denied(429, "streams", f"{whose} {count} open panes, which is the most: close one and try again.")
        tunnel = Tunnel(pane, ticket, kind, self._paces_of(pane.lab, ticket.learner))
        self._open[tunnel] = None
        return tunnel

    def _paces_of(self, lab: str, learner: str) -> tuple[Pace, ...]:
        if not self._limits.rate:
            return ()
        keys = ("lab", lab), ("learner", learner)
        return tuple(self._paces.setdefault(key, Pace(self._limits.rate)) for key in keys)

    def leave(self, tunnel: Tunnel) -> None:
        """Count a stream out."""
        if tunnel in self._open:
            del self._open[tunnel]
            if tunnel.cast is not None:
                tunnel.cast.close()
            self._on_end(tunnel)

    def of(self, pane: PanePath) -> list[Tunnel]:
        """The streams of this pane that may control it, the newest last."""
        return [tunnel for tunnel in self._open if tunnel.pane == pane and tunnel.ticket.mode == "control"]

    def all(self) -> list[Tunnel]:
        """Every stream."""
        return list(self._open)

    def labs(self) -> set[str]:
        """The labs with open streams."""
        return {tunnel.pane.lab for tunnel in self._open}

    def close_all(self) -> None:
        """End every stream."""
        for tunnel in self.all():
            tunnel.close()

    def close_ended(self, lab: str, *, alive: bool, epoch: int) -> int:
        """End the lab's streams that it no longer honours; how many those were."""
        ended = [t for t in self._open if t.pane.lab == lab and (not alive or t.ticket.epoch < epoch)]
        for tunnel in ended:
            tunnel.close()
        return len(ended)


async def watch(tunnels: Tunnels, engine: Engine) -> None:
    """Look after the open streams' labs, until cancelled."""
    gate = asyncio.Semaphore(_AT_ONCE)
    while True:
        await asyncio.sleep(POLL_SECONDS)
        await asyncio.gather(*(_look_after(lab, tunnels, engine, gate) for lab in tunnels.labs()))


async def _look_after(lab: str, tunnels: Tunnels, engine: Engine, gate: asyncio.Semaphore) -> None:
    async with gate:
        try:
            namespace = await engine.namespace(lab)
            alive, epoch = lab_lives(namespace, lab), epoch_of(namespace or {})
        except Denied as error:
            # An engine that is away has cut its streams itself; one that is late must not cost a learner his.
            alive, epoch = error.status >= 500, 0
    if count := tunnels.close_ended(lab, alive=alive, epoch=epoch):
        log.info("closed %d streams of lab %s: it has ended, or its tickets were withdrawn", count, lab)
