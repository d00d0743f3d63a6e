"""What the gateway asks of the engine: one lab's namespace, one machine (VM or container). All `get`, in threads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from labkit.cluster.client import Cluster
from labkit.cluster.streams import StreamTarget
from labkit.errors import ClusterError, ClusterUnavailable, SetupError
from labkit.gateway.machines import Denied
from labkit.manifests.names import namespace_of

log = logging.getLogger(__name__)

_SECONDS = 10.0
RECENT_SECONDS = 2.0
T = TypeVar("T")


class Engine:
    """The engine as the gateway sees it. Every method raises Denied (503, 502) where it gives no answer."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._seen: dict[tuple[str, str], tuple[float, asyncio.Future[Any]]] = {}

    async def namespace(self, lab: str) -> dict[str, Any] | None:
        """The lab's namespace, or None."""
        return await _asked(lambda: self._cluster.get("Namespace", None, namespace_of(lab)))

    async def machine(self, lab: str, machine: str) -> dict[str, Any] | None:
        """The running machine (a VirtualMachineInstance, or a container's Pod), or None."""
        where = namespace_of(lab)
        return await _asked(
            lambda: (
                self._cluster.get("VirtualMachineInstance", where, machine) or self._cluster.get("Pod", where, machine)
            )
        )

    async def recent(self, lab: str, machine: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """Namespace and machine as they were at most RECENT_SECONDS ago: a web page asks for many things at once."""
        now, key = time.monotonic(), (lab, machine)
        self._seen = {kept: found for kept, found in self._seen.items() if found[0] > now - RECENT_SECONDS}
        if key not in self._seen:
            self._seen[key] = now, asyncio.ensure_future(self._both(lab, machine))
        return await asyncio.shield(self._seen[key][1])

    async def _both(self, lab: str, machine: str) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        return await self.namespace(lab), await self.machine(lab, machine)

    async def port(self, lab: str, machine: str, port: int, *, container: bool) -> StreamTarget:
        """Where to open a TCP port of a machine."""
        if not container:
            return await self.target(lab, machine, f"portforward/{port}")
        return await _asked(lambda: self._cluster.pod_port_target(namespace_of(lab), machine, port))

    async def shell(self, lab: str, machine: str, command: Sequence[str]) -> StreamTarget:
        """Where to open a command with a terminal in a container."""
        return await _asked(lambda: self._cluster.exec_target(namespace_of(lab), machine, command))

    async def target(self, lab: str, machine: str, subresource: str) -> StreamTarget:
        """Where to open a stream, with a token that is good now (renewing one may run a program, so: in a thread)."""
        return await _asked(lambda: self._cluster.stream_target(namespace_of(lab), machine, subresource))

    async def screenshot(self, lab: str, machine: str) -> bytes:
        """A machine's screen as a PNG. Watching by it never cuts off who holds the screen."""
        return await _asked(lambda: self._cluster.screenshot(namespace_of(lab), machine))

    async def answers(self) -> None:
        """Return if the engine answers at all."""
        await _asked(self._cluster.version)


async def _asked(question: Callable[[], T]) -> T:
    try:
        async with asyncio.timeout(_SECONDS):
            return await asyncio.to_thread(question)
    except (ClusterUnavailable, TimeoutError, SetupError) as error:
        log.warning("the engine does not answer: %s", error)
        raise Denied(
            503, "engine", "The engine that runs the machines does not answer; trying again may help."
        ) from error
    except ClusterError as error:
        log.error("the engine refused the gateway: %s", error)
        raise Denied(502, "engine", "The engine refused the gateway; the operator's log says why.") from error
