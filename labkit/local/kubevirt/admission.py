"""Defaults and refusals of VirtualMachineInstances and VirtualMachines, as KubeVirt's own webhooks have them. Pure."""

from __future__ import annotations

import re
import uuid
from typing import Any

from labkit.local.api.kinds import Admission
from labkit.local.api.status import ApiError, Cause, bad_request, invalid
from labkit.local.kubevirt.rules import faults, negative, requested_memory
from labkit.local.objects import Obj, get_path, name_of, quantity, timestamp
from labkit.local.storage.rules import template_causes

GROUP = "kubevirt.io"
RUN_STRATEGIES = ("Always", "Halted", "Manual", "RerunOnFailure", "Once")
DEPRECATED_RUNNING = "spec.running is deprecated, please use spec.runStrategy instead."
_RESERVED = tuple(
    f"kubevirt.io/{name}"
    for name in ("created-by", "migrationJobUID", "nodeName", "migrationTargetNodeName", "schedulable")
)
_HOTPLUG_FACTOR = 4
"""How far a machine may grow while it runs, by default: maxSockets and maxGuest."""
_SMALLEST_HOTPLUG, _HOTPLUG_BLOCK = 2**30, 2**21
_PROBE_DEFAULTS = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def admit_vmi(admission: Admission) -> None:
    """Default a new VMI; refuse any later change of its spec, and of labels that are KubeVirt's own."""
    new, old = admission.new, admission.old
    spec = new["spec"] = _without_nulls(new.get("spec"))
    if old is None or spec != old["spec"]:
        _check(new, faults(spec, "spec"), spec, "spec")
        # What was defaulted once is not asked for again: a manifest that is applied again changes nothing.
        set_defaults(spec, old["spec"] if old else None)
    labels = new["metadata"].get("labels") or {}
    before = (old["metadata"].get("labels") or {}) if old else {}
    _check(new, _reserved({key: value for key, value in labels.items() if before.get(key) != value}, "metadata"))
    if old is None:
        born = {"phase": "Pending", "phaseTransitionTimestamp": timestamp()}
        new["status"] = {"phase": "Pending", "phaseTransitionTimestamps": [born]}
    elif spec != old["spec"]:
        raise ApiError(422, "Invalid", "update of VMI object is restricted")


def admit_vm(admission: Admission) -> None:
    """Check a VirtualMachine and the template in it."""
    new = admission.new
    spec = new["spec"] = _without_nulls(new.get("spec") or {})
    causes = []
    if "running" in spec:
        admission.warnings.append(DEPRECATED_RUNNING)
    if ("running" in spec) == ("runStrategy" in spec):
        both = "Running and RunStrategy are mutually exclusive. Set only one"
        causes.append(Cause("spec.running", both if "running" in spec else "RunStrategy must be specified"))
    if (strategy := spec.get("runStrategy", "Always")) not in RUN_STRATEGIES:
        known = f"one of {', '.join(RUN_STRATEGIES)}"
        waits = "the embedded engine migrates nothing" if strategy == "WaitAsReceiver" else "it is not known"
        causes.append(Cause("spec.runStrategy", f"Invalid RunStrategy ({strategy}): {waits}; {known}"))
    template = spec.get("template")
    if not isinstance(template, dict):
        _check(new, [*causes, Cause("spec.template", "missing virtual machine template.", "FieldValueRequired")])
        return
    causes += _reserved(get_path(template, "metadata.labels", {}), "spec.template.metadata")
    causes += faults(template.get("spec"), "spec.template.spec") + template_causes(admission)
    _check(new, causes, template.get("spec"), "spec.template.spec")
    new.setdefault("status", {"printableStatus": "Stopped", "ready": False, "created": False})


def run_strategy(vm: Obj) -> str:
    """The effective run strategy of a VM; ``running`` is its older spelling."""
    spec = vm["spec"]
    if "runStrategy" in spec:
        return str(spec["runStrategy"])
    return "Always" if spec["running"] else "Halted"


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
    guest = str(memory.setdefault("guest", requested_memory(domain)))
    if quantity(guest) >= _SMALLEST_HOTPLUG and quantity(guest) % _HOTPLUG_BLOCK == 0:
        memory.setdefault("maxGuest", _times(guest, _HOTPLUG_FACTOR))
    for probe in ("readinessProbe", "livenessProbe"):
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


def _check(obj: Obj, causes: list[Cause], spec: Any = None, at: str = "") -> None:
    """Refuse an object with everything that is wrong with it; a negative count cannot even be read, which is 400."""
    if field := negative(spec, at):
        raise bad_request(f"{field}: a negative number cannot be read as an unsigned one")
    if causes:
        raise invalid(obj["kind"], GROUP, name_of(obj), causes)


def _reserved(labels: Obj, at: str) -> list[Cause]:
    text = "creation of the following reserved kubevirt.io/ labels on a VMI object is prohibited: "
    held = [label for label in labels if label in _RESERVED]
    return [Cause(f"{at}.labels", text + ", ".join(held), "FieldValueNotSupported")] if held else []


def _times(value: str, factor: int) -> str:
    number = re.fullmatch(r"([0-9]+)([A-Za-z]*)", value)
    return f"{int(number[1]) * factor}{number[2]}" if number else str(int(quantity(value) * factor))


def _without_nulls(value: Any) -> Any:
    """A copy in which a null means, as everywhere in Kubernetes, that nothing was said."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value
