"""Pods of containers: namespaces, images, processes, restarts, probes, and their end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from labkit.local.controllers import probes
from labkit.local.controllers.events import Recorder
from labkit.local.controllers.networks import Networks
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.controllers.starts import Starts
from labkit.local.files import remove_tree
from labkit.local.kubevirt.vmi_status import FINAL, grace_left
from labkit.local.network.names import NetworkFull, gateway_of, mac_of, search_domains
from labkit.local.network.segments import NetworkError, Segments, Streams
from labkit.local.objects import Obj, deleting, get_path, name_of, namespace_of, timestamp, uid_of, without_finalizer
from labkit.local.paths import EnginePaths
from labkit.local.pods import bundle, status
from labkit.local.pods.images import Images
from labkit.local.pods.live import Facts, Held, Live
from labkit.local.pods.runtime import FIRST_ID, IDS, Runtime, RuntimeTrouble, missing
from labkit.local.pods.spec import FINALIZER, PROBES, containers_of, stands_for_machine
from labkit.local.processes import Detached
from labkit.local.store import Change, Store

log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0


class Containers:
    """The controller."""

    def __init__(
        self, store: Store, recorder: Recorder, segments: Segments, networks: Networks, paths: EnginePaths
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._segments = segments
        self._networks = networks
        self._paths = paths
        self._images = Images(paths.engine / "images", paths.images, FIRST_ID, IDS)
        self._pods: dict[str, Held] = {}
        self._starts = Starts(store, recorder, self._images)
        self.queue = WorkQueue("pod", self.reconcile)
        store.listen(self._on_change)
        segments.rebuilt = self._on_network

    async def start(self) -> None:
        """Remove what belongs to no pod, then look at every pod once: those that run are taken over."""
        pods = [pod for pod in self._store.all("pods") if not stands_for_machine(pod)]
        living = {self._paths.machine(uid_of(pod)).runtime.name for pod in pods}
        for hold in self._paths.runtime.glob("m*/hold"):
            if hold.parent.name not in living:
                await Runtime(self._paths.machine(hold.parent.name[1:])).clear()
        used = {item["imageID"] for pod in pods for item in status.records_of(pod).values()}
        await asyncio.to_thread(self._images.sweep, used)
        for pod in pods:
            self.queue.add((namespace_of(pod), name_of(pod)))

    async def close(self) -> None:
        """Let go of all containers; they run on."""
        await self.queue.close()
        for held in self._pods.values():
            for live in held.lives.values():
                live.forget()

    def _on_change(self, change: Change) -> None:
        if change.kind != "pods" or stands_for_machine(change.obj):
            return
        held = self._pods.get(uid_of(change.obj))
        if held and held.pulling and deleting(change.obj):
            held.pulling.cancel()
        self.queue.add((namespace_of(change.obj), name_of(change.obj)))

    def _on_network(self, space: str) -> None:
        """A network was made anew: its pods have to be connected again."""
        for pod in self._store.all("pods", space):
            held = self._pods.get(uid_of(pod))
            if held and held.holder:
                held.holder.forget()
                held.holder = None
                self.queue.add((space, name_of(pod)))

    # One pod

    async def reconcile(self, key: Key) -> float | None:
        """One pod. Nothing is started or ended for a change that a crash would take back."""
        await self._store.settled()
        pod = self._store.get("pods", *key)
        if pod is None or stands_for_machine(pod):
            return None
        held = self._pods.setdefault(uid_of(pod), Held(Runtime(self._paths.machine(uid_of(pod)))))
        if deleting(pod):
            return await self._end(pod, held)
        if get_path(pod, "status.phase") in FINAL:
            await self._clear(pod, held)
            return None
        try:
            holder = held.holder = await self._hold(pod, held)
        except (NetworkError, NetworkFull, RuntimeTrouble, bundle.ConfigError, OSError) as error:
            self._recorder.record(pod, "FailedCreatePodSandBox", str(error), warning=True)
            self._write(pod, status.records_of(pod))
            return _RETRY_SECONDS
        records, waits = status.records_of(pod), []
        inits = [item["name"] for item in pod["spec"].get("initContainers", ())]
        for container in containers_of(pod["spec"]):
            name = container["name"]
            records[name], wait = await self._advance(pod, held, holder, container, records[name])
            waits.append(wait)
            over = deleting(self._write(pod, records))
            if over or (name in inits and get_path(records[name], "state.terminated.exitCode") != 0):
                break
        return min((wait for wait in waits if wait is not None), default=None)

    def _network(self, pod: Obj) -> str:
        return uid_of(self._store.require("namespaces", "", namespace_of(pod)))

    def _address(self, pod: Obj) -> str:
        return self._segments.address(self._network(pod), uid_of(pod)) or ""

    async def _hold(self, pod: Obj, held: Held) -> Detached:
        """The process with the pod's namespaces, connected to the network; made if need be. Raises what is caught."""
        if held.holder and held.holder.running:
            return held.holder
        if lacking := missing():
            raise RuntimeTrouble(f"containers need {', '.join(lacking)}: 'labkit doctor' says more")
        uid, network, runtime = uid_of(pod), self._network(pod), held.runtime
        await self._segments.attach(network, uid)
        await self._networks.settle(namespace_of(pod))
        rights = await self._segments.rights(network)
        plug = partial(self._segments.plug, network, uid, mac=mac_of(uid))
        if found := runtime.holder():
            try:
                await plug(found.pid, fresh=False)
                return found
            except NetworkError as error:
                # An ordinary user's network that was made anew has no rights over what the old one had.
                log.info("pod %s/%s is begun anew: %s", namespace_of(pod), name_of(pod), error)
        await runtime.clear()
        await asyncio.to_thread(self._fill, pod, runtime)
        found = await runtime.hold(bundle.hostname(pod), rights)
        await plug(found.pid, fresh=True)
        return found

    def _fill(self, pod: Obj, runtime: Runtime) -> None:
        address = self._address(pod)
        etc = bundle.etc_files(pod, address, gateway_of(address), search_domains(namespace_of(pod)))
        runtime.write_volume(bundle.ETC, etc)
        lookup = partial(self._starts.lookup, namespace_of(pod))
        for volume in pod["spec"].get("volumes", ()):
            runtime.write_volume(volume["name"], bundle.volume_files(volume, lookup))

    def _write(self, pod: Obj, records: Mapping[str, Obj]) -> Obj:
        address = self._address(pod)

        def mutate(obj: Obj) -> None:
            obj["status"] = status.pod_status(obj, records, address, timestamp())

        return self._store.update("pods", namespace_of(pod), name_of(pod), mutate)

    # One container

    async def _advance(
        self, pod: Obj, held: Held, holder: Detached, container: Obj, record: Obj
    ) -> tuple[Obj, float | None]:
        """A container's record as it is now, after what can be done for it; the seconds to look again."""
        name = container["name"]
        if "running" in record["state"]:
            if live := self._watched(pod, held, container, record):
                return live.shown(record), await self._kill_unhealthy(pod, held, live)
            record = status.ended(record, held.runtime.exit(f"{name}-{record['restartCount']}"))
        if "terminated" in record["state"]:
            if not status.restarts(pod["spec"], record):
                return record, None
            if status.ran_well(record):
                held.failures.pop(name, None)
            wait = held.put_off(name, at_once=True)
            why = f"back-off {wait:g}s restarting failed container={name} pod={name_of(pod)}"
            record = status.waiting(record | {"lastState": record["state"]}, "CrashLoopBackOff", why)
            if wait:
                self._recorder.record(pod, "BackOff", f"Back-off restarting failed container {name}", warning=True)
        if (left := held.left(name)) > 0:
            return record, left
        record, wait_again = await self._starts.start(pod, held, holder.pid, container, record, self._address(pod))
        live = self._watched(pod, held, container, record) if "running" in record["state"] else None
        return live.shown(record) if live else record, wait_again

    def _watched(self, pod: Obj, held: Held, container: Obj, record: Obj) -> Live | None:
        """A running container, looked after from the first call on; None once it has ended."""
        kind, name = container["name"], f"{container['name']}-{record['restartCount']}"
        live = held.lives.get(kind)
        if live and live.watcher.running:
            return live
        if live:
            held.lives.pop(kind).forget()
        if held.runtime.exit(name) or (watcher := held.runtime.watcher(name)) is None:
            return None
        again = partial(self.queue.add, (namespace_of(pod), name_of(pod)))
        line = partial(held.runtime.exec_line, watcher.pid, name)
        facts = Facts(started="startupProbe" not in container, ready="readinessProbe" not in container)
        live = held.lives[kind] = Live(name, watcher, line, again, facts)
        live.keep(_tell_end(watcher, again))
        tell = partial(self._recorder.record, pod, "Unhealthy", warning=True)
        live.keep(_probe(live, container, partial(self._dial, pod, container), tell))
        return live

    async def _dial(self, pod: Obj, container: Obj, port: int | str) -> Streams:
        ports = {item.get("name"): item["containerPort"] for item in container.get("ports", ())}
        number = ports.get(port) if isinstance(port, str) else port
        if number is None:
            raise NetworkError(f"container {container['name']} has no port '{port}'")
        return await self._segments.dial(self._network(pod), self._address(pod), number, probe=True)

    async def _kill_unhealthy(self, pod: Obj, held: Held, live: Live) -> float | None:
        if not live.facts.ended:
            return None
        if not live.told:
            why = f"Container {live.name.rpartition('-')[0]} failed liveness probe, will be restarted"
            self._recorder.record(pod, "Killing", why)
            await self._tell(held, live)
            return float(pod["spec"]["terminationGracePeriodSeconds"])
        await held.runtime.signal(live.name, "KILL")
        return _RETRY_SECONDS

    async def _tell(self, held: Held, live: Live) -> None:
        live.told = True
        await held.runtime.signal(live.name, "TERM")

    # What others ask of it

    async def dial(self, pod: Obj, port: int) -> Streams:
        """A connection to a port of any pod, made inside its network. Raises NetworkError or OSError."""
        return await self._segments.dial(self._network(pod), get_path(pod, "status.podIP"), port)

    def exec_line(self, pod: Obj, container: str, command: list[str], *, tty: bool) -> list[str] | None:
        """The command line that runs a command in a container; None where it does not run."""
        live = self._live(pod, container)
        return live.line(command, tty=tty) if live else None

    def log(self, pod: Obj, container: str, *, previous: bool) -> tuple[Path, Callable[[], bool]]:
        """A container's log, and whether there may come more."""
        record = status.records_of(pod)[container]
        past = previous and "running" in record["state"]
        file = Runtime(self._paths.machine(uid_of(pod))).log(f"{container}-{record['restartCount'] - past}")
        return file, lambda: not past and self._live(pod, container) is not None

    def _live(self, pod: Obj, container: str) -> Live | None:
        held = self._pods.get(uid_of(pod))
        live = held.lives.get(container) if held else None
        return live if live and live.watcher.running else None

    # Down

    async def _end(self, pod: Obj, held: Held) -> float | None:
        """SIGTERM to all containers, and the end of all once they are gone or the grace period is over."""
        records = status.records_of(pod)
        lives = [self._watched(pod, held, item, records[item["name"]]) for item in containers_of(pod["spec"])]
        left = grace_left(pod, datetime.now(UTC))
        if any(lives) and left > 0:
            for live in lives:
                if live and not live.told:
                    self._recorder.record(pod, "Killing", f"Stopping container {live.name.rpartition('-')[0]}")
                    await self._tell(held, live)
            return left
        await self._clear(pod, held)
        remove_tree(self._paths.machine(uid_of(pod)).state)
        self._store.update("pods", namespace_of(pod), name_of(pod), without_finalizer(FINALIZER))
        return None

    async def _clear(self, pod: Obj, held: Held) -> None:
        """No process, no mount, no file but the logs, no address is left of a pod."""
        for live in held.lives.values():
            live.forget()
        self._pods.pop(uid_of(pod), None)
        await held.runtime.clear()
        await self._segments.detach(self._network(pod), uid_of(pod))


async def _probe(live: Live, container: Obj, dial: probes.Dial, tell: probes.Tell) -> None:
    first, *others = ((kind, container[kind]) if kind in container else None for kind in PROBES)
    if first:
        await probes.watch(live, *first, dial, tell)
    await asyncio.gather(*(probes.watch(live, *probe, dial, tell) for probe in others if probe))


async def _tell_end(watcher: Detached, tell: Callable[[], None]) -> None:
    await watcher.wait()
    tell()
