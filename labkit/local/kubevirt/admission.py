"""Defaults and rules of VirtualMachineInstances and VirtualMachines, as KubeVirt's own webhooks have them. Pure."""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections import Counter
from typing import Any

from labkit.local.api.kinds import Admission
from labkit.local.api.status import ApiError, Cause, invalid
from labkit.local.objects import Obj, get_path, name_of, quantity, timestamp

GROUP = "kubevirt.io"
RUN_STRATEGIES = ("Always", "Halted", "Manual", "RerunOnFailure", "Once")
INLINE_LIMIT = 2048
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_MAC = re.compile(r"([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}")
_BUSES = ("virtio", "sata")
_SLOTS = 20


def admit_vmi(admission: Admission) -> None:
    """Default a new VMI; refuse any later change of its spec."""
    new, old = admission.new, admission.old
    if old is not None:
        if new.get("spec") != old.get("spec"):
            raise ApiError(422, "Invalid", "update of VMI object is restricted")
        return
    _refuse(new, _vmi_causes(new.get("spec"), "spec"), "VirtualMachineInstance")
    set_defaults(new["spec"])
    born = {"phase": "Pending", "phaseTransitionTimestamp": timestamp()}
    new["status"] = {"phase": "Pending", "phaseTransitionTimestamps": [born]}


def admit_vm(admission: Admission) -> None:
    """Check a VirtualMachine and the template in it."""
    new = admission.new
    spec = new.get("spec") or {}
    causes = []
    if ("running" in spec) == ("runStrategy" in spec):
        both = "Running and RunStrategy are mutually exclusive. Set only one"
        fault = both if "running" in spec else "RunStrategy must be specified"
        causes.append(Cause("spec.running", fault))
    if spec.get("runStrategy", "Always") not in RUN_STRATEGIES:
        fault = f"'{spec['runStrategy']}' is not served; one of {', '.join(RUN_STRATEGIES)}"
        causes.append(Cause("spec.runStrategy", fault, "FieldValueNotSupported"))
    if not isinstance(spec.get("template"), dict):
        causes.append(Cause("spec.template", "missing virtual machine template.", "FieldValueRequired"))
    else:
        causes += _vmi_causes(spec["template"].get("spec"), "spec.template.spec")
    _refuse(new, causes, "VirtualMachine")
    new.setdefault("status", {"printableStatus": "Stopped", "ready": False, "created": False})


def run_strategy(vm: Obj) -> str:
    """The effective run strategy of a VM; ``running`` is its older spelling."""
    spec = vm["spec"]
    if "runStrategy" in spec:
        return str(spec["runStrategy"])
    return "Always" if spec["running"] else "Halted"


def set_defaults(spec: Obj) -> None:
    """Fill in what KubeVirt's mutating webhook fills in, where this engine reads it."""
    domain = spec["domain"]
    spec.setdefault("architecture", "amd64")
    spec.setdefault("evictionStrategy", "None")
    spec.setdefault("terminationGracePeriodSeconds", 30)
    domain.setdefault("machine", {}).setdefault("type", "q35")
    domain.setdefault("firmware", {}).setdefault("uuid", str(uuid.uuid4()))
    cpu = domain.setdefault("cpu", {})
    for part in ("sockets", "cores", "threads"):
        cpu.setdefault(part, 1)
    cpu.setdefault("model", "host-model")
    domain.setdefault("memory", {}).setdefault("guest", _requested_memory(domain))
    devices = domain["devices"]
    if "interfaces" not in devices and "networks" not in spec and devices.get("autoattachPodInterface", True):
        devices["interfaces"] = [{"name": "default", "bridge": {}}]
        spec["networks"] = [{"name": "default", "pod": {}}]
    disks = devices.setdefault("disks", [])
    named = {disk["name"] for disk in disks}
    disks += [{"name": volume["name"]} for volume in spec.get("volumes", []) if volume["name"] not in named]
    for disk in disks:
        if "cdrom" in disk:
            disk["cdrom"].setdefault("bus", "sata")
        else:
            disk.setdefault("disk", {}).setdefault("bus", "sata")
    for volume in spec.get("volumes", []):
        if "containerDisk" in volume:
            volume["containerDisk"].setdefault("imagePullPolicy", "IfNotPresent")


def _refuse(obj: Obj, causes: list[Cause], kind: str) -> None:
    if causes:
        raise invalid(kind, GROUP, name_of(obj), causes)


def _requested_memory(domain: Obj) -> Any:
    limit = get_path(domain, "resources.limits.memory")
    return get_path(domain, "memory.guest") or get_path(domain, "resources.requests.memory") or limit


def _vmi_causes(spec: Any, at: str) -> list[Cause]:
    if not isinstance(spec, dict) or not isinstance(get_path(spec, "domain.devices"), dict):
        return [Cause(f"{at}.domain.devices", "Required value", "FieldValueRequired")]
    faults = _domain_causes(spec["domain"], f"{at}.domain")
    faults += _disk_causes(spec, at) + _volume_causes(spec, at) + _network_causes(spec, at)
    for label in ("hostname", "subdomain"):
        if label in spec and not _LABEL.fullmatch(spec[label]):
            faults.append(Cause(f"{at}.{label}", f"'{spec[label]}' is not a DNS label"))
    if spec.get("architecture", "amd64") != "amd64":
        faults.append(Cause(f"{at}.architecture", "the embedded engine runs amd64 machines only"))
    if spec.get("startStrategy", "Paused") != "Paused":
        faults.append(Cause(f"{at}.startStrategy", "only 'Paused' can be set", "FieldValueNotSupported"))
    if spec.get("evictionStrategy", "None") not in ("None", "External"):
        faults.append(Cause(f"{at}.evictionStrategy", "the embedded engine has one node: only 'None' can be set"))
    if not 0 <= spec.get("terminationGracePeriodSeconds", 0) <= 3600:
        faults.append(Cause(f"{at}.terminationGracePeriodSeconds", "must be from 0 to 3600"))
    return faults


def _domain_causes(domain: Obj, at: str) -> list[Cause]:
    faults = []
    memory = _requested_memory(domain)
    if memory is None:
        faults.append(Cause(f"{at}.memory.guest", "no memory requested", "FieldValueRequired"))
    else:
        try:
            if quantity(memory) < 2**20:
                faults.append(Cause(f"{at}.memory.guest", f"{memory} is less than 1Mi"))
        except ValueError as error:
            faults.append(Cause(f"{at}.memory.guest", str(error)))
    machine = get_path(domain, "machine.type", "q35")
    if machine != "q35" and not machine.startswith("pc-q35-"):
        faults.append(Cause(f"{at}.machine.type", f"'{machine}' is not supported; q35 is", "FieldValueNotSupported"))
    cpu = domain.get("cpu") or {}
    for part in ("sockets", "cores", "threads"):
        if not 1 <= cpu.get(part, 1) <= 64:
            faults.append(Cause(f"{at}.cpu.{part}", "must be from 1 to 64"))
    if cpu.get("model", "host-model") not in ("host-model", "host-passthrough"):
        faults.append(Cause(f"{at}.cpu.model", "the embedded engine has host-model and host-passthrough only"))
    if get_path(domain, "features.acpi.enabled") is False:
        faults.append(Cause(f"{at}.features.acpi.enabled", "the embedded engine cannot turn ACPI off"))
    for n, item in enumerate(get_path(domain, "devices.inputs", [])):
        if item.get("type") != "tablet" or item.get("bus", "usb") not in ("usb", "virtio"):
            faults.append(Cause(f"{at}.devices.inputs[{n}]", "type must be tablet, bus usb or virtio"))
    return faults


def _disk_causes(spec: Obj, at: str) -> list[Cause]:
    faults = []
    disks = get_path(spec, "domain.devices.disks", [])
    volumes = {volume.get("name") for volume in spec.get("volumes") or []}
    at = f"{at}.domain.devices.disks"
    for n, disk in enumerate(disks):
        if disk.get("name") not in volumes:
            faults.append(Cause(f"{at}[{n}].name", f"{at}[{n}].Name '{disk.get('name')}' not found."))
        if "disk" in disk and "cdrom" in disk:
            faults.append(Cause(f"{at}[{n}]", "only one of disk and cdrom can be set"))
        bus = get_path(disk, "cdrom.bus") or get_path(disk, "disk.bus", "sata")
        if bus not in _BUSES or ("cdrom" in disk and bus == "virtio"):
            known = "sata" if "cdrom" in disk else ", ".join(_BUSES)
            fault = f"bus '{bus}' is not supported by the embedded engine; {known}"
            faults.append(Cause(f"{at}[{n}].bus", fault, "FieldValueNotSupported"))
        if not re.fullmatch(r"[A-Za-z0-9_.+-]{0,256}", disk.get("serial", "")):
            faults.append(Cause(f"{at}[{n}].serial", "must be up to 256 of A-Z a-z 0-9 _ . + -"))
        if disk.get("bootOrder", 1) < 1:
            faults.append(Cause(f"{at}[{n}].bootOrder", "must be greater than 0"))
    orders = [disk["bootOrder"] for disk in disks if "bootOrder" in disk]
    return faults + _duplicates(orders, at, "bootOrder") + _duplicates([d.get("name") for d in disks], at, "name")


def _volume_causes(spec: Obj, at: str) -> list[Cause]:
    faults = []
    volumes = spec.get("volumes") or []
    at = f"{at}.volumes"
    for n, volume in enumerate(volumes):
        here = f"{at}[{n}]"
        if not _NAME.fullmatch(volume.get("name") or ""):
            faults.append(Cause(f"{here}.name", f"'{volume.get('name')}' is not a volume name"))
        sources = [key for key, value in volume.items() if key != "name" and value is not None]
        if len(sources) != 1:
            faults.append(Cause(here, "must have exactly one volume source"))
        if "cloudInitNoCloud" in volume:
            faults += _cloud_init_causes(volume["cloudInitNoCloud"] or {}, f"{here}.cloudInitNoCloud")
        if "emptyDisk" in volume:
            faults += _capacity_causes(volume["emptyDisk"] or {}, f"{here}.emptyDisk.capacity")
    if len(volumes) > _SLOTS:
        faults.append(Cause(at, f"the embedded engine attaches up to {_SLOTS} volumes"))
    return faults + _duplicates([volume.get("name") for volume in volumes], at, "name")


def _capacity_causes(disk: Obj, at: str) -> list[Cause]:
    try:
        return [] if quantity(disk.get("capacity")) >= 2**20 else [Cause(at, "must be at least 1Mi")]
    except ValueError as error:
        return [Cause(at, str(error))]


def _cloud_init_causes(source: Obj, at: str) -> list[Cause]:
    faults = []
    for kind, plain, coded, secret in (
        ("userdata", "userData", "userDataBase64", "secretRef"),
        ("networkdata", "networkData", "networkDataBase64", "networkDataSecretRef"),
    ):
        given = [key for key in (plain, coded, secret) if source.get(key)]
        if len(given) > 1:
            faults.append(Cause(at, f"must have only one {kind} source set."))
        text = source.get(plain) or ""
        try:
            size = len(text.encode()) or len(base64.b64decode(source.get(coded) or "", validate=True))
        except binascii.Error:
            faults.append(Cause(f"{at}.{coded}", "is not a valid base64 value"))
            continue
        if size > INLINE_LIMIT:
            here = f"{at}.{plain if text else coded}"
            faults.append(
                Cause(here, f"{here} exceeds {INLINE_LIMIT} byte limit. Should use {secret} for larger data.")
            )
    if not any(source.values()):
        faults.append(Cause(at, "must have at least one userdatasource set."))
    return faults


def _network_causes(spec: Obj, at: str) -> list[Cause]:
    faults = []
    interfaces = get_path(spec, "domain.devices.interfaces", [])
    networks = spec.get("networks") or []
    here = f"{at}.domain.devices.interfaces"
    if len(networks) > 1:
        faults.append(Cause(f"{at}.networks", "the embedded engine has the pod network only: one network"))
    for n, network in enumerate(networks):
        if "pod" not in network:
            faults.append(Cause(f"{at}.networks[{n}]", "should have a network type"))
    if sorted(str(i.get("name")) for i in interfaces) != sorted(str(i.get("name")) for i in networks):
        faults.append(Cause(here, "interfaces and networks must match one to one by name"))
    for n, interface in enumerate(interfaces):
        if "bridge" not in interface:
            faults.append(Cause(f"{here}[{n}]", "the embedded engine has the binding 'bridge' only: set bridge: {}"))
        if interface.get("model", "virtio") not in ("virtio", "e1000e"):
            faults.append(Cause(f"{here}[{n}].model", "must be virtio or e1000e", "FieldValueNotSupported"))
        mac = interface.get("macAddress", "52:54:00:00:00:01")
        if not _MAC.fullmatch(mac) or mac == "02:00:00:00:00:00" or int(mac[:2], 16) & 1:
            faults.append(Cause(f"{here}[{n}].macAddress", f"'{mac}' is not a machine's MAC address"))
    return faults


def _duplicates(values: list[Any], at: str, what: str) -> list[Cause]:
    twice = [value for value, count in Counter(values).items() if count > 1]
    return [Cause(at, f"{what} '{value}' is used twice", "FieldValueDuplicate") for value in twice]
