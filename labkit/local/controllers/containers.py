"""Pods of containers: namespaces, images, processes, restarts, probes, and their end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
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
from labkit.local.network.segments import NetworkError, Segments
from labkit.local.objects import (
    Obj,
    deleting,
    get_path,
    name_of,
    namespace_of,
    parse_time,
    timestamp,
    uid_of,
    without_finalizer,
)
from labkit.local.paths import EnginePaths
from labkit.local.pods import bundle, status
from labkit.local.pods.images import Images
from labkit.local.pods.live import Facts, Live
from labkit.local.pods.runtime import FIRST_ID, IDS, Runtime, RuntimeTrouble, missing
from labkit.local.pods.spec import FINALIZER, PROBES, containers_of, stands_for_machine
from labkit.local.processes import Detached
from labkit.local.store import Change, Store

log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0
_READ_LIMIT = 262_144


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
        self._holders: dict[str, Detached] = {}
        self._live: dict[tuple[str, str], Live] = {}
        self._starts = Starts(store, recorder, self._images)
        self.queue = WorkQueue("pod", self.reconcile)
        store.listen(self._on_change)
        segments.rebuilt = self._on_network

    async def start(self) -> None:
        """Remove what belongs to no pod, then look at every pod once: those that run are taken over."""
        pods = [pod for pod in self._store.all("pods") if not stands_for_machine(pod)]
        living = {self._paths.machine(uid_of(pod)).runtime.name for pod in self._store.all("pods")}
        for pause in self._paths.runtime.glob("m*/pause.log"):
            if pause.parent.name not in living:
                await Runtime(self._paths.machine(pause.parent.name[1:])).clear()
        used = {item["imageID"] for pod in pods for item in status.records_of(pod).values()}
        await asyncio.to_thread(self._images.sweep, used)
        for pod in pods:
            self.queue.add((namespace_of(pod), name_of(pod)))

    async def close(self) -> None:
        """Let go of all containers; they run on."""
        await self.queue.close()
        for live in self._live.values():
            live.forget()

    def _on_change(self, change: Change) -> None:
        if change.kind == "pods" and not stands_for_machine(change.obj):
            if deleting(change.obj):
                self._starts.stop(uid_of(change.obj))
            self.queue.add((namespace_of(change.obj), name_of(change.obj)))

    def _on_network(self, space: str) -> None:
        """A network was made anew: its pods have to be connected again."""
        for pod in self._store.all("pods", space):
            if found := self._holders.pop(uid_of(pod), None):
                found.forget()
                self.queue.add((space, name_of(pod)))

    # One pod

    async def reconcile(self, key: Key) -> float | None:
        """One pod. Nothing is started or ended for a change that a crash would take back."""
        await self._store.settled()
        pod = self._store.get("pods", *key)
        if pod is None or stands_for_machine(pod):
            return None
        if deleting(pod):
            return await self._end(pod)
        if get_path(pod, "status.phase") in FINAL:
            await self._clear(pod)
            return None
        try:
            holder = await self._held(pod)
        except (NetworkError, NetworkFull, RuntimeTrouble, bundle.ConfigError, OSError) as error:
            self._recorder.record(pod, "FailedCreatePodSandBox", str(error), warning=True)
            self._write(pod, status.records_of(pod))
            return _RETRY_SECONDS
        records, delays = status.records_of(pod), []
        inits = [item["name"] for item in pod["spec"].get("initContainers", ())]
        for container in containers_of(pod["spec"]):
            name = container["name"]
            records[name], wait = await self._advance(pod, holder, container, records[name], init=name in inits)
            delays.append(wait)
            over = deleting(self._write(pod, records))
            if over or (name in inits and get_path(records[name], "state.terminated.exitCode") != 0):
                break
        return min((wait for wait in delays if wait is not None), default=None)

    def _runtime(self, pod: Obj) -> Runtime:
        return Runtime(self._paths.machine(uid_of(pod)))

    def _network(self, pod: Obj) -> str:
        return uid_of(self._store.require("namespaces", "", namespace_of(pod)))

    def _address(self, pod: Obj) -> str:
        return self._segments.address(self._network(pod), uid_of(pod)) or ""

    async def _held(self, pod: Obj) -> Detached:
        """The process with the pod's namespaces, connected to the network; made if need be. Raises what is caught."""
        uid, network = uid_of(pod), self._network(pod)
        if (found := self._holders.get(uid)) and found.running:
            return found
        if lacking := missing():
            raise RuntimeTrouble(f"containers need {', '.join(lacking)}: 'labkit doctor' says more")
        await self._segments.attach(network, uid)
        await self._networks.settle(namespace_of(pod))
        runtime = self._runtime(pod)
        plug = partial(self._segments.plug, network, uid, mac=mac_of(uid))
        if found := runtime.holder():
            try:
                await plug(found.pid, fresh=False)
            except NetworkError as error:
                # An ordinary user's network that was made anew has no rights over what the old one had.
                log.info("pod %s/%s is begun anew: %s", namespace_of(pod), name_of(pod), error)
                found = None
        if found is None:
            await runtime.clear()
            await asyncio.to_thread(self._fill, pod, runtime)
            found = await runtime.hold(bundle.hostname(pod), await self._segments.rights(network))
            await plug(found.pid, fresh=True)
        self._holders[uid] = found
        return found

    def _fill(self, pod: Obj, runtime: Runtime) -> None:
        address = self._address(pod)
        etc = bundle.etc_files(pod, address, gateway_of(address), search_domains(namespace_of(pod)))
        runtime.write_volume(bundle.ETC, etc)
        for volume in pod["spec"].get("volumes", ()):
            runtime.write_volume(
                volume["name"], bundle.volume_files(volume, partial(self._starts.lookup, namespace_of(pod)))
            )

    def _write(self, pod: Obj, records: Mapping[str, Obj]) -> Obj:
        address = self._address(pod)

        def mutate(obj: Obj) -> None:
            obj["status"] = status.pod_status(obj, records, address, timestamp())

        return self._store.update("pods", namespace_of(pod), name_of(pod), mutate)

    # One container

    async def _advance(
        self, pod: Obj, holder: Detached, container: Obj, record: Obj, *, init: bool
    ) -> tuple[Obj, float | None]:
        """A container's record as it is now, after what can be done for it; the seconds to look again."""
        policy = pod["spec"]["restartPolicy"]
        policy = "OnFailure" if init and policy == "Always" else policy
        runtime, count = self._runtime(pod), record["restartCount"]
        if "running" in record["state"]:
            live = self._watched(pod, runtime, container, count)
            if live is not None:
                await self._kill_unhealthy(pod, runtime, container, count, live)
                return _seen(record, live), live.killed - asyncio.get_running_loop().time() if live.killed else None
            record = status.ended(record, runtime.exit(f"{container['name']}-{count}"))
        if "terminated" in record["state"]:
            if not status.restarts(policy, record):
                return record, None
            record |= {"lastState": record["state"]}
            record = status.waiting(record, "CrashLoopBackOff")
        again = get_path(record, "lastState.terminated")
        if again:
            ran = parse_time(again["finishedAt"]) - parse_time(again["startedAt"])
            wait = status.delay(count, ran.total_seconds())
            left = (parse_time(again["finishedAt"]) + timedelta(seconds=wait) - datetime.now(UTC)).total_seconds()
            if left > 0:
                why = f"back-off {wait:g}s restarting failed container={container['name']} pod={name_of(pod)}"
                self._recorder.record(
                    pod, "BackOff", f"Back-off restarting failed container {container['name']}", warning=True
                )
                return status.waiting(record, "CrashLoopBackOff", why), left
        count += bool(again)
        address = self._address(pod)
        record, again_in = await self._starts.start(pod, container, record, address, runtime, holder.pid, count)
        live = self._watched(pod, runtime, container, count) if "running" in record["state"] else None
        return _seen(record, live) if live else record, again_in

    def _watched(self, pod: Obj, runtime: Runtime, container: Obj, count: int) -> Live | None:
        """A running container, looked after from the first call on; None once it has ended."""
        key, name = (uid_of(pod), container["name"]), f"{container['name']}-{count}"
        live = self._live.get(key)
        if live is not None and live.watcher.running:
            return live
        if live is not None:
            self._live.pop(key).forget()
        if runtime.exit(name) or (watcher := runtime.watcher(name)) is None:
            return None
        again = partial(self.queue.add, (namespace_of(pod), name_of(pod)))
        line = partial(runtime.exec_line, self._holders[uid_of(pod)].pid, name)
        facts = Facts(started="startupProbe" not in container, ready="readinessProbe" not in container)
        live = self._live[key] = Live(watcher, line, again, facts)
        live.keep(_tell_end(watcher, again))
        tell = partial(self._recorder.record, pod, "Unhealthy", warning=True)
        live.keep(_probe(live, container, partial(self._dial, pod, container), tell))
        return live

    async def _dial(
        self, pod: Obj, container: Obj, port: int | str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        named = {item.get("name"): item["containerPort"] for item in container.get("ports", ())}
        return await self.dial(pod, named[port] if isinstance(port, str) else port, probe=True)

    async def dial(
        self, pod: Obj, port: int, *, probe: bool = False
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to a pod's port, made inside its network. Raises NetworkError or OSError."""
        address = get_path(pod, "status.podIP")
        if not address:
            raise NetworkError("the pod has no address")
        connection = await self._segments.dial(self._network(pod), address, port, probe=probe)
        return await asyncio.open_connection(sock=connection, limit=_READ_LIMIT)

    async def _kill_unhealthy(self, pod: Obj, runtime: Runtime, container: Obj, count: int, live: Live) -> None:
        if not live.facts.ended:
            return
        now, name = asyncio.get_running_loop().time(), f"{container['name']}-{count}"
        if not live.killed:
            why = f"Container {container['name']} failed liveness probe, will be restarted"
            self._recorder.record(pod, "Killing", why)
            live.killed = now + pod["spec"]["terminationGracePeriodSeconds"]
            await runtime.signal(name, "TERM")
        if now >= live.killed:
            await runtime.signal(name, "KILL")
            live.killed = now + _RETRY_SECONDS

    # What others ask of it

    def exec_line(self, pod: Obj, container: str, command: list[str], *, tty: bool) -> list[str] | None:
        """The command line that runs a command in a container; None where it does not run."""
        live = self._live.get((uid_of(pod), container))
        return live.line(command, tty=tty) if live and live.watcher.running else None

    def log(self, pod: Obj, container: str, *, previous: bool) -> tuple[Path, Callable[[], bool]]:
        """A container's log, and whether there may come more."""
        record, live = status.records_of(pod)[container], self._live.get((uid_of(pod), container))
        past = previous and "running" in record["state"]
        file = self._runtime(pod).log(f"{container}-{record['restartCount'] - past}")
        return file, lambda: not past and live is not None and live.watcher.running

    # Down

    async def _end(self, pod: Obj) -> float | None:
        """SIGTERM to all containers, and the end of all once they are gone or the grace period is over."""
        runtime, running = self._runtime(pod), []
        for container in containers_of(pod["spec"]):
            count = status.records_of(pod)[container["name"]]["restartCount"]
            if live := self._watched(pod, runtime, container, count):
                running.append((f"{container['name']}-{count}", live))
        left = grace_left(pod, datetime.now(UTC))
        if running and left > 0:
            for name, live in running:
                if live.facts.ended != "told":
                    live.facts.ended = "told"
                    self._recorder.record(pod, "Killing", f"Stopping container {name.rpartition('-')[0]}")
                    await runtime.signal(name, "TERM")
            return left
        await self._clear(pod)
        remove_tree(self._paths.machine(uid_of(pod)).state)
        self._store.update("pods", namespace_of(pod), name_of(pod), without_finalizer(FINALIZER))
        return None

    async def _clear(self, pod: Obj) -> None:
        """No process, no mount, no file but the logs, no address is left of a pod."""
        uid = uid_of(pod)
        for key in [key for key in self._live if key[0] == uid]:
            self._live.pop(key).forget()
        await self._runtime(pod).clear()
        self._holders.pop(uid, None)
        self._starts.forget(uid)
        await self._segments.detach(self._network(pod), uid)


def _seen(record: Obj, live: Live) -> Obj:
    return record | {"ready": live.facts.ready and live.facts.started, "started": live.facts.started}


async def _probe(live: Live, container: Obj, dial: probes.Dial, tell: probes.Tell) -> None:
    first, *others = ((kind, container[kind]) if kind in container else None for kind in PROBES)
    if first:
        await probes.watch(live, *first, dial, tell)
    await asyncio.gather(*(probes.watch(live, *probe, dial, tell) for probe in others if probe))


async def _tell_end(watcher: Detached, tell: Callable[[], None]) -> None:
    await watcher.wait()
    tell()
