"""The status of a VirtualMachineInstance and its pod, worked out from what was observed. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from labkit.local.objects import (
    Obj,
    condition,
    deleting,
    get_path,
    merge_conditions,
    name_of,
    namespace_of,
    owner_reference,
    parse_time,
    quantity,
    uid_of,
)

FINAL = ("Succeeded", "Failed")
NODE = "labkit"
ACCELERATION = "labkit/acceleration"
_WHY_PAUSED = {
    "PausedByUser": "VMI was paused by user",
    "PausedIOError": "a disk could not be written: no space",
    "PausedToDisk": "its memory is a file and it has no process; unpause lets it go on (labkit's embedded engine only)",
}


@dataclass(frozen=True)
class Problem:
    """Why a machine does not come up: the condition it shows as, Kubernetes' word for it, one sentence."""

    condition: str
    reason: str
    message: str
    phase: str = "Scheduling"


@dataclass(frozen=True)
class Observed:
    """All that a VMI's status depends on beside its spec."""

    phase: str
    acceleration: str = ""
    paused: str = ""
    """Why the machine is paused, or nothing."""
    ready: bool = True
    agent: bool = False
    os_info: dict[str, str] = field(default_factory=dict)
    address: str = ""
    mac: str = ""
    problem: Problem | None = None


def vmi_status(vmi: Obj, seen: Observed, pod_uid: str, now: str) -> Obj:
    """The whole new ``status``."""
    old = vmi.get("status", {})
    status: Obj = {
        "phase": seen.phase,
        "phaseTransitionTimestamps": _transitions(old, seen.phase, now),
        "conditions": merge_conditions(old.get("conditions", []), _conditions(vmi, seen), now),
        "guestOSInfo": seen.os_info,
        "activePods": {pod_uid: NODE} if pod_uid and seen.phase not in FINAL else {},
        "machine": {"type": "pc-q35-7.2"},
        "runtimeUser": 0,
    }
    if seen.phase in ("Scheduled", "Running", *FINAL):
        status["nodeName"] = NODE
    if seen.phase == "Running":
        guest = get_path(vmi, "spec.domain.memory.guest")
        status["memory"] = {"guestAtBoot": guest, "guestCurrent": guest, "guestRequested": guest}
        cpu = vmi["spec"]["domain"]["cpu"]
        status["currentCPUTopology"] = {part: cpu[part] for part in ("cores", "sockets", "threads")}
        if seen.address:
            status["interfaces"] = [_interface(vmi, seen)]
    return status


def _interface(vmi: Obj, seen: Observed) -> Obj:
    return {
        "name": vmi["spec"]["domain"]["devices"]["interfaces"][0]["name"],
        "ipAddress": seen.address,
        "ipAddresses": [seen.address],
        "mac": seen.mac,
        "infoSource": "domain",
        "linkState": "up",
        "queueCount": 1,
    }


def _transitions(old: Obj, phase: str, now: str) -> list[Obj]:
    known: list[Obj] = old.get("phaseTransitionTimestamps", [])
    if known and known[-1]["phase"] == phase:
        return known
    return [*known, {"phase": phase, "phaseTransitionTimestamp": now}]


def _conditions(vmi: Obj, seen: Observed) -> list[Obj]:
    found = [_ready(vmi, seen)]
    if seen.problem:
        found.append(condition(seen.problem.condition, False, seen.problem.reason, seen.problem.message))
    if seen.phase == "Running":
        migratable = "the embedded engine has one node"
        found.append(condition("LiveMigratable", False, "DisksNotLiveMigratable", migratable))
        if seen.paused:
            found.append(condition("Paused", True, seen.paused, _WHY_PAUSED[seen.paused]))
        if seen.agent:
            found.append(condition("AgentConnected", True))
        if seen.acceleration == "tcg":
            why = "no usable hardware virtualisation: the machine is emulated and slow"
            found.append(condition("SoftwareEmulation", True, "NoHardwareVirtualisation", why))
    return found


def _ready(vmi: Obj, seen: Observed) -> Obj:
    if deleting(vmi):
        return condition("Ready", False, "PodTerminating", "virt-launcher pod is terminating")
    if seen.phase == "Running" and not seen.paused:
        unready = condition("Ready", False, "ContainersNotReady", "containers with unready status: [compute]")
        return condition("Ready", True) if seen.ready else unready
    if seen.phase == "Running":
        return condition("Ready", False, "ReadinessGatesNotReady", "the virtual machine is paused")
    if seen.phase == "Pending":
        return condition("Ready", False, "PodNotExists", "virt-launcher pod has not yet been scheduled")
    return condition("Ready", False, "GuestNotRunning", "Guest VM is not reported as running")


def grace_left(vmi: Obj, now: datetime) -> float:
    """Seconds that the guest of a VMI that is being deleted still has to power off."""
    meta = vmi["metadata"]
    grace = meta.get("deletionGracePeriodSeconds", vmi["spec"].get("terminationGracePeriodSeconds", 30))
    # Whoever deletes an object may name any number.
    return (parse_time(meta["deletionTimestamp"]) + timedelta(seconds=min(grace, 2**31)) - now).total_seconds()


def containers_of(vmi: Obj) -> list[str]:
    """The containers of a VMI's pod: the machine, and what keeps the output of its serial console."""
    devices = vmi["spec"]["domain"]["devices"]
    logged = all(devices.get(key) is not False for key in ("autoattachSerialConsole", "logSerialConsole"))
    return ["compute", "guest-console-log"] if logged else ["compute"]


def pod_spec(vmi: Obj) -> Obj:
    """The launcher-like pod of a VMI, without its status: there is no such process, it makes look-ups work."""
    labels = dict(vmi["metadata"].get("labels", {}))
    labels |= {
        "kubevirt.io": "virt-launcher",
        "kubevirt.io/created-by": uid_of(vmi),
        "vm.kubevirt.io/name": name_of(vmi),
        "vmi.kubevirt.io/id": name_of(vmi)[:63],
    }
    resources = launcher_resources(vmi)
    # As on KubeVirt, an interface's ports are the pod's: NetworkPolicies may call them by name.
    ports = [
        {"protocol": "TCP"} | {key if key != "port" else "containerPort": value for key, value in port.items()}
        for interface in get_path(vmi, "spec.domain.devices.interfaces", [])
        for port in interface.get("ports", [])
    ]
    spec: Obj = {
        "nodeName": NODE,
        "containers": [{"name": name, "image": "qemu", "resources": resources[name]} for name in containers_of(vmi)],
        "restartPolicy": "Never",
        "hostname": get_path(vmi, "spec.hostname") or name_of(vmi).split(".")[0][:63],
    }
    spec["containers"][0]["ports"] = ports
    if "subdomain" in vmi["spec"]:
        spec["subdomain"] = vmi["spec"]["subdomain"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"virt-launcher-{name_of(vmi)[:200]}-{uid_of(vmi).replace('-', '')[:5]}",
            "namespace": namespace_of(vmi),
            "labels": labels,
            "annotations": {
                "kubevirt.io/domain": name_of(vmi),
                "kubectl.kubernetes.io/default-container": "compute",
            },
            "ownerReferences": [owner_reference(vmi)],
        },
        "spec": spec,
    }


def launcher_resources(vmi: Obj) -> Obj:
    """What each container of a machine's pod asks for.

    ``compute``: the guest's memory with KubeVirt's estimate of its own need, and a tenth of a processor for each of the
    guest's unless the machine says otherwise.
    """
    domain = vmi["spec"]["domain"]
    asked, limits = (dict(get_path(domain, f"resources.{part}", {})) for part in ("requests", "limits"))
    guest = domain["memory"]["guest"]
    processors = math.prod(domain["cpu"][part] for part in ("sockets", "cores", "threads"))
    screen = get_path(domain, "devices.autoattachGraphicsDevice", True)
    # Launcher, libvirt and QEMU; an I/O thread; each processor; the screen; page tables.
    own = (240 + 8 + 8 * processors + 32 * screen) * 2**20 + quantity(guest) / 512
    for amounts, default in ((asked, guest), (limits, None)):
        if memory := amounts.get("memory", default):
            amounts["memory"] = f"{math.ceil((quantity(memory) + own) / 2**20)}Mi"
    requests = {"cpu": limits.get("cpu", f"{processors * 100}m"), **asked}
    return {
        "compute": {"requests": requests} | ({"limits": limits} if limits else {}),
        "guest-console-log": {"requests": {"cpu": "5m", "memory": "35Mi"}, "limits": {"cpu": "15m", "memory": "60Mi"}},
    }


def pod_status(vmi: Obj, pod: Obj, seen: Observed, now: str) -> Obj:
    """The pod's status that goes with what was observed of the machine."""
    running = seen.phase == "Running"
    ready = running and not seen.paused and seen.ready and not deleting(vmi)
    phase = seen.phase if seen.phase in FINAL else "Running" if running else "Pending"
    held = {"compute": seen.ready and running}
    conditions = [
        condition("Ready", ready),
        condition("ContainersReady", running and seen.ready),
        condition("PodScheduled", True),
    ]
    state = {"running": {"startedAt": pod["metadata"]["creationTimestamp"]}} if running else {}
    status: Obj = {
        "phase": phase,
        "conditions": merge_conditions(get_path(pod, "status.conditions", []), conditions, now),
        "containerStatuses": [
            {"name": name, "image": "qemu", "imageID": "", "ready": held.get(name, running), "restartCount": 0}
            | {"state": state}
            for name in containers_of(vmi)
        ],
    }
    if running and seen.address:
        status |= {"podIP": seen.address, "podIPs": [{"ip": seen.address}]}
    return status
