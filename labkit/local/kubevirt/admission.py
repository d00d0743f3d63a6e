"""Defaults and refusals of VirtualMachineInstances and VirtualMachines, as KubeVirt's own webhooks have them. Pure."""

from __future__ import annotations

import re
import uuid

from labkit.local.api.admission import refuse
from labkit.local.api.kinds import Admission
from labkit.local.api.status import ApiError, Cause
from labkit.local.kubevirt.rules import PROBES, faults, requested_memory
from labkit.local.objects import Obj, get_path, timestamp
from labkit.local.storage.rules import template_causes

GROUP = "kubevirt.io"
DEPRECATED_RUNNING = "spec.running is deprecated, please use spec.runStrategy instead."
_HOTPLUG_FACTOR = 4
"""How far a machine may grow while it runs, by default: maxSockets."""
_PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def admit_vmi(admission: Admission) -> None:
    """Default a new VMI; refuse any later change of its spec."""
    new, old = admission.new, admission.old
    spec = new["spec"]
    if old is None or spec != old["spec"]:
        refuse(admission, faults(spec, "spec"))
        # What was defaulted once is not asked for again: a manifest that is applied again changes nothing.
        set_defaults(spec, old["spec"] if old else None)
    if old is None:
        born = {"phase": "Pending", "phaseTransitionTimestamp": timestamp()}
        new["status"] = {"phase": "Pending", "phaseTransitionTimestamps": [born]}
    elif spec != old["spec"]:
        raise ApiError(422, "Invalid", "update of VMI object is restricted")


def admit_vm(admission: Admission) -> None:
    """Check a VirtualMachine and the template in it."""
    new = admission.new
    spec = new["spec"]
    causes = []
    if "running" in spec:
        admission.warnings.append(DEPRECATED_RUNNING)
    if ("running" in spec) == ("runStrategy" in spec):
        both = "Running and RunStrategy are mutually exclusive. Set only one"
        causes.append(Cause("spec.running", both if "running" in spec else "RunStrategy must be specified"))
    causes += faults(spec["template"]["spec"], "spec.template.spec") + template_causes(admission)
    refuse(admission, causes)
    new.setdefault("status", {"printableStatus": "Stopped", "ready": False, "created": False})


def run_strategy(vm: Obj) -> str:
    """The effective run strategy of a VM; ``running`` is its older spelling."""
    spec = vm["spec"]
    if "runStrategy" in spec:
        return str(spec["runStrategy"])
    return "Always" if spec["running"] else "Halted"


def set_strategy(spec: Obj, strategy: str) -> None:
    """Make a VM's spec say Always or Halted, in the spelling that it has."""
    if "runStrategy" in spec:
        spec["runStrategy"] = strategy
    else:
        spec["running"] = strategy == "Always"


def set_defaults(spec: Obj, old: Obj | None = None) -> None:
    """Fill in what KubeVirt's mutating webhook fills in; what is drawn by lot is taken from ``old`` where given."""
    domain = spec["domain"]
    spec.setdefault("architecture", "amd64")
    spec.setdefault("evictionStrategy", "None")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    domain.setdefault("machine", {}).setdefault("type", "q35")
    drawn = get_path(old, "domain.firmware.uuid") or str(uuid.uuid4())
    domain.setdefault("firmware", {}).setdefault("uuid", drawn)
    cpu = domain.setdefault("cpu", {})
    for part in ("sockets", "cores", "threads"):
        cpu[part] = cpu.get(part) or 1
    cpu.setdefault("model", "host-model")
    cpu.setdefault("maxSockets", cpu["sockets"] * _HOTPLUG_FACTOR)
    memory = domain.setdefault("memory", {})
    memory.setdefault("guest", requested_memory(domain))
    for probe in PROBES:
        for key, value in (_PROBE_DEFAULTS if probe in spec else {}).items():
            spec[probe][key] = spec[probe].get(key) or value
    _device_defaults(spec, domain["devices"])


def _device_defaults(spec: Obj, devices: Obj) -> None:
    if not devices.get("interfaces") and not spec.get("networks") and devices.get("autoattachPodInterface", True):
        devices["interfaces"] = [{"name": "default", "bridge": {}}]
        spec["networks"] = [{"name": "default", "pod": {}}]
    disks = devices.setdefault("disks", [])
    named = {disk["name"] for disk in disks}
    disks += [{"name": volume["name"]} for volume in spec.get("volumes", []) if volume["name"] not in named]
    for disk in disks:
        target = disk["cdrom"] if "cdrom" in disk else disk.setdefault("disk", {})
        target["bus"] = target.get("bus") or "sata"
    for volume in spec.get("volumes", []):
        if "containerDisk" in volume:
            image = str(volume["containerDisk"].get("image", ""))
            moves = image.endswith(":latest") or not re.search(r"[:@][^/]*$", image)
            volume["containerDisk"].setdefault("imagePullPolicy", "Always" if moves else "IfNotPresent")
