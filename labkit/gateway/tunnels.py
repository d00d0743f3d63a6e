"""The streams that are open now, and their early end: when a lab ends or its tickets are withdrawn.

Each lab with an open stream is asked for every POLL_SECONDS. That is a `get` on one namespace, a right that a lab's own
RoleBinding can grant; a watch would need `watch` on all namespaces, and a thread that survives the engine's restarts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from labkit.gateway.access import epoch_of, lab_lives
from labkit.gateway.engine import Engine
from labkit.gateway.machines import Denied
from labkit.gateway.routes import PanePath
from labkit.tickets import Ticket

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
_AT_ONCE = 4


@dataclass(eq=False)
class Tunnel:
    """One open stream. `close` may be called more than once."""

    pane: PanePath
    ticket: Ticket
    close: Callable[[], None] = field(repr=False)


class Tunnels:
    """All open streams of this process."""

    def __init__(self) -> None:
        self._open: set[Tunnel] = set()

    def add(self, tunnel: Tunnel) -> None:
        """Count a stream in."""
        self._open.add(tunnel)

    def discard(self, tunnel: Tunnel) -> None:
        """Count a stream out."""
        self._open.discard(tunnel)

    def count(self, pane: PanePath) -> int:
        """How many streams of this pane are open."""
        return sum(tunnel.pane == pane for tunnel in self._open)

    def labs(self) -> set[str]:
        """The labs with open streams."""
        return {tunnel.pane.lab for tunnel in self._open}

    def close_all(self) -> None:
        """End every stream."""
        for tunnel in tuple(self._open):
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
