"""What is seen of machines, written down: on the VMI, on its pod, as events and in its log."""

from __future__ import annotations

from collections.abc import Mapping

from labkit.local import logs
from labkit.local.controllers.events import Recorder
from labkit.local.controllers.virtualmachines import VMI
from labkit.local.kubevirt.vmi_status import ACCELERATION, Observed, Problem, pod_spec, pod_status, vmi_status
from labkit.local.network.names import mac_of
from labkit.local.network.segments import Segments
from labkit.local.objects import Obj, name_of, namespace_of, timestamp, uid_of
from labkit.local.paths import EnginePaths
from labkit.local.qemu import machine, plan
from labkit.local.store import Store
from labkit.local.warm.warm import START


class Reports:
    """Reports on machines; ``running`` has those in reach by VMI uid."""

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        segments: Segments,
        paths: EnginePaths,
        acceleration: str,
        running: Mapping[str, machine.Machine],
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._segments = segments
        self._paths = paths
        self._acceleration = acceleration
        self._running = running

    def event(self, vmi: Obj, reason: str, message: str, *, warning: bool = False) -> None:
        """Note something about a machine: as an event, and in its log while there is one."""
        self._recorder.record(vmi, reason, message, warning=warning)
        log_file = self._paths.machine(uid_of(vmi)).qemu_log
        if log_file.parent.exists():
            logs.append(log_file, f"labkit: {reason}: {message}\n".encode())

    def observe(self, vmi: Obj, phase: str, problem: Problem | None = None) -> Obj:
        """Write down what is seen of a machine, on the VMI and on its pod; the VMI as it is now."""
        space, name, now = namespace_of(vmi), name_of(vmi), timestamp()
        running = self._running.get(uid_of(vmi))
        facts = running.facts if running else machine.Facts()
        network = self._store.get("namespaces", "", space)
        address = self._segments.address(uid_of(network), uid_of(vmi)) if network else None
        seen = Observed(
            phase=phase,
            acceleration=self._acceleration,
            paused=facts.paused or (machine.PUT_AWAY if running is None and self.put_away(vmi) else ""),
            ready=facts.ready,
            agent=facts.agent,
            os_info=facts.os_info if facts.agent else {},
            address=address or "",
            mac=plan.mac_address(vmi, mac_of(uid_of(vmi))),
            problem=problem,
        )
        pod_name = name_of(pod_spec(vmi))
        pod = self._store.get("pods", space, pod_name)
        if pod is not None:
            self._store.update("pods", space, pod_name, lambda old: old.update(status=pod_status(vmi, old, seen, now)))
        pod_uid = uid_of(pod) if pod else ""
        return self._store.update(VMI, space, name, lambda old: old.update(status=vmi_status(old, seen, pod_uid, now)))

    def put_away(self, vmi: Obj) -> bool:
        """Whether a machine is a file at the moment."""
        return self._paths.machine(uid_of(vmi)).memory.exists()

    def mark(self, vmi: Obj, start: str) -> Obj:
        """Say on a VMI how its machine is started."""
        mark = {ACCELERATION: self._acceleration, START: start}
        key = namespace_of(vmi), name_of(vmi)
        self._store.update(VMI, *key, lambda new: new["metadata"].setdefault("annotations", {}).update(mark))
        return self.observe(vmi, "Scheduled")

    def unhealthy(self, vmi: Obj, fault: str) -> None:
        """Note on its pod that a probe of a machine was not answered."""
        pod = self._store.get("pods", namespace_of(vmi), name_of(pod_spec(vmi)))
        self._recorder.record(pod or vmi, "Unhealthy", fault, warning=True)
