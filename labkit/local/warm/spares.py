"""Spares: clones that have been woken as somebody of their own and are parked, until a machine like them is wanted.

Machines of one set (a lab's) are parked together on one network, which the namespace takes over that wants the first of
them. A spare's uid, and with it its MAC address, its address and its folders, becomes that of the VMI it is taken for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import psutil

from labkit.local import processes
from labkit.local.files import remove_tree
from labkit.local.network.filter import compile_filter
from labkit.local.network.names import Member, NetworkFull, mac_of, place
from labkit.local.network.segments import NetworkError, Segments
from labkit.local.objects import Obj, get_path, uid_of
from labkit.local.paths import EnginePaths
from labkit.local.qemu import agent, images, plan
from labkit.local.qemu.machine import Machine, MachineError, mark
from labkit.local.warm import keys, waking
from labkit.local.warm.nests import NAMESPACE, Nest, Spare, nobody
from labkit.local.warm.shelf import Template
from labkit.local.warm.wanted import Wanted
from labkit.local.warm.warm import ROOM, Warm

log = logging.getLogger(__name__)

TROUBLE = (images.ImageError, NetworkError, NetworkFull, MachineError, agent.AgentError, OSError)
_QUIET_SECONDS = 3.0
"""Between a machine's start and the parking of the next spare: those who wait come first."""
_AGAIN_SECONDS = 15.0
_LEFT_OVER_SECONDS = 60.0
"""After which spares of a set end that the set's namespace has not wanted."""
_RECENT_SECONDS = 1800.0
_CLOSED: Obj = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


class Starter(Protocol):
    """What parking needs of the launcher."""

    async def prepare(self, vmi: Obj, template: Template | None, seeds: Mapping[str, Mapping[str, bytes]]) -> None: ...

    async def run(self, vmi: Obj, network: str, template: Template | None) -> processes.Detached: ...


class Spares:
    """All spares.

    ``most`` is the number of sets that are parked by themselves, after recent demand; ``memory`` (bytes) is the most
    that the guests of all spares may have.
    """

    def __init__(
        self, paths: EnginePaths, segments: Segments, starter: Starter, warm: Warm, most: int, memory: int
    ) -> None:
        self._paths = paths
        self._segments = segments
        self._starter = starter
        self._warm = warm
        self._most = most
        self._memory = memory
        self._by_hand = Wanted(paths.spares)
        self._demand: list[tuple[float, str, Obj]] = []
        self._nests: list[Nest] = []
        self._last_start = 0.0
        self._keeper: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def start(self) -> None:
        """Begin to park, with what was to be kept before the engine was started."""
        if self._warm.on:
            self._by_hand.open()
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """End every spare that nobody has taken: the next engine would not know it."""
        if self._keeper:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        for nest in list(self._nests):
            await self._end(nest)

    def keep(self, name: str, machines: Sequence[Obj], number: int) -> None:
        """Have a number of sets of these (VMIs) parked from now on; 0: none any more. Raises TooMuch, OSError."""
        if self._by_hand.put(name, machines, number):
            self._changed.set()

    def wait(self) -> None:
        """A machine is being started: nothing is parked meanwhile, nor for a moment afterwards."""
        self._last_start = time.monotonic()

    def note(self, vmi: Obj, space: str) -> None:
        """A machine was started, in the namespace with that uid: others wait, and it counts as demand."""
        self.wait()
        now = self._last_start
        self._demand = [item for item in self._demand if now - item[0] < _RECENT_SECONDS]
        if self._most and not keys.unfit(vmi):
            self._demand.append((now, space, vmi))
        self._changed.set()

    def uid_for(self, vmi: Obj, space: str) -> str:
        """The uid of a spare for a new machine of a namespace (uid), which takes it by that; or nothing."""
        if not self._nests or any("macAddress" in item for item in get_path(vmi, "spec.domain.devices.interfaces", [])):
            return ""
        try:
            key = "" if keys.unfit(vmi) else self._warm.key(vmi)
        except images.ImageError:
            return ""
        there = space if self._segments.has_network(space) else ""
        for nest in [nest for nest in self._nests if nest.space == there]:
            for spare in nest.spares:
                if spare.key == key and not spare.taken:
                    if not nest.space:
                        self._segments.adopt(space, nest.uid)
                        nest.space, nest.since = space, time.monotonic()
                    spare.taken = True
                    return uid_of(spare.vmi)
        return ""

    def holds(self, uid: str) -> bool:
        """Whether a uid is that of a spare which still is to be taken."""
        return any(uid_of(spare.vmi) == uid for nest in self._nests for spare in nest.spares)

    def take(self, uid: str) -> Spare | None:
        """The spare that has become a VMI, if it lives."""
        for nest in self._nests:
            for spare in nest.spares:
                if uid_of(spare.vmi) == uid:
                    nest.spares.remove(spare)
                    return None if spare.machine.facts.ended else spare
        return None

    async def shrink(self) -> None:
        """End the spares that nobody has taken: their memory is wanted."""
        for nest in [nest for nest in self._nests if not nest.space]:
            await self._end(nest)

    def told(self) -> list[dict[str, object]]:
        """The sets that are parked: name, machines, MiB of guest memory."""
        return [
            {
                "set": nest.name,
                "machines": len(nest.spares),
                "memory": nest.memory // 2**20,
                "taken": bool(nest.space),
            }
            for nest in self._nests
        ]

    # Inside

    async def _keep(self) -> None:
        while True:
            self._changed.clear()
            waited = _QUIET_SECONDS - (time.monotonic() - self._last_start)
            try:
                for nest in self._superfluous():
                    await self._end(nest)
                name, machines = self._missing()
                if machines and waited <= 0:
                    await self._park(name, machines)
                    continue
            except TROUBLE as error:
                log.warning("no spares: %s", error)
                waited = _AGAIN_SECONDS
            open_ends = self._demand or any(nest.space for nest in self._nests) or self._by_hand.sets
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(waited, 1.0) if open_ends else None):
                    await self._changed.wait()

    def _superfluous(self) -> list[Nest]:
        """What nobody has wanted of sets that were taken, and sets that are no longer to be kept."""
        kept = {(name, self._kinds(machines)): number for name, machines, number in self._sets()}
        found = []
        for nest in self._nests:
            if nest.space:
                over = not nest.spares or time.monotonic() - nest.since > _LEFT_OVER_SECONDS
            else:
                left = kept.get((nest.name, nest.kinds), 0)
                over, kept[nest.name, nest.kinds] = left <= 0, left - 1
            if over:
                found.append(nest)
        return found

    def _missing(self) -> tuple[str, list[Obj]]:
        """The next set that is to be parked, if there is memory and every template for it."""
        used = sum(nest.memory for nest in self._nests)
        for name, machines, number in self._sets():
            parked = sum(nest.name == name and not nest.space for nest in self._nests)
            size = sum(map(plan.memory_bytes, machines))
            if parked >= number or used + size > self._memory or psutil.virtual_memory().available < size + ROOM:
                continue
            for vmi in machines:
                self._warm.want(vmi)
            if all(map(self._warm.template, machines)):
                return name, machines
        return "", []

    def _sets(self) -> Iterator[tuple[str, list[Obj], int]]:
        """What is to be parked, and how often; without sets whose images are not there (any more)."""
        for name, (machines, number) in (self._by_demand() | self._by_hand.sets).items():
            with contextlib.suppress(images.ImageError):
                self._kinds(machines)
                yield name, machines, number

    def _by_demand(self) -> dict[str, tuple[list[Obj], int]]:
        started: dict[str, dict[str, Obj]] = {}
        for _, space, vmi in self._demand:
            started.setdefault(space, {})[vmi["metadata"]["name"]] = vmi
        named = [(self._kinds([*found.values()]), [*found.values()]) for found in started.values()]
        sets, asked = dict(named), Counter(name for name, _ in named)
        left, chosen = self._most, {}
        for name, times in asked.most_common():
            chosen[name] = sets[name], min(times, left)
            left -= chosen[name][1]
        return chosen

    def _kinds(self, machines: Sequence[Obj]) -> str:
        return "+".join(sorted(map(self._warm.key, machines)))

    async def _park(self, name: str, machines: Sequence[Obj]) -> None:
        nest = Nest(str(uuid.uuid4()), name, self._kinds(machines))
        fresh = [nobody(vmi) for vmi in machines]
        try:
            members = []
            for vmi in fresh:
                await self._segments.attach(nest.uid, uid_of(vmi))
                address = self._segments.address(nest.uid, uid_of(vmi)) or ""
                members.append(Member(self._segments.port(uid_of(vmi)), mac_of(uid_of(vmi)), address))
            await self._segments.configure(
                nest.uid, NAMESPACE, members, {}, lambda own: compile_filter(own, {}, members, [_CLOSED], [])
            )
            for vmi, member in zip(fresh, members, strict=True):
                nest.spares.append(await self._wake(nest.uid, vmi, member.address))
            self._nests.append(nest)
        except BaseException:
            await self._end(nest, fresh)
            raise

    async def _wake(self, network: str, vmi: Obj, address: str) -> Spare:
        template = self._warm.template(vmi)
        if template is None:
            raise MachineError("its template is gone")
        paths = self._paths.machine(uid_of(vmi))
        volumes = [volume["name"] for volume in vmi["spec"]["volumes"] if "cloudInitNoCloud" in volume]
        meta = json.dumps({"instance-id": f"spare.{uid_of(vmi)}", "local-hostname": vmi["metadata"]["name"]})
        seed = {"meta-data": meta.encode(), "user-data": b""}
        await self._starter.prepare(vmi, template, dict.fromkeys(volumes, seed))
        found = Machine(paths, await self._starter.run(vmi, network, template), lambda: None)
        try:
            await found.connect(
                serial=plan.wants(vmi, "autoattachSerialConsole"), keep_log=plan.wants(vmi, "logSerialConsole")
            )
            line = await waking.wake(found, template, place(address, NAMESPACE) if plan.wants_network(vmi) else [])
            try:
                with contextlib.suppress(agent.AgentError):  # An image may have nothing to wait for.
                    await line.tell("settle")
                await found.execute("stop")
            except BaseException:
                line.close()
                raise
        except BaseException:
            await found.close()
            raise
        return Spare(vmi, self._warm.key(vmi), found, line)

    async def _end(self, nest: Nest, machines: Sequence[Obj] = ()) -> None:
        """End what is left of a set: nothing of it stays but what was taken."""
        if nest in self._nests:
            self._nests.remove(nest)
        for spare in nest.spares:
            spare.line.close()
            await spare.machine.kill()
        for vmi in machines or [spare.vmi for spare in nest.spares]:
            paths = self._paths.machine(uid_of(vmi))
            await processes.end_all(mark(paths))
            for folder in (paths.runtime, paths.state):
                await asyncio.to_thread(remove_tree, folder)
            await self._segments.detach(nest.space or nest.uid, uid_of(vmi))
