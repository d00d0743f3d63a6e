"""A lab's finished objects against the policy's rules. Pure; every refusal is a sentence that names its rule.

What is not known here cannot be allowed by mistake: a kind of object, of volume or of source that no table below has
is refused.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_network
from typing import Any

from labkit.documents import Wrong
from labkit.policy.rules import BUNDLED, Cap, Policy
from labkit.templates import Disk, Image, Machine, Mount, Template, scalars

Object = Mapping[str, Any]
Refusal = tuple[str, str]
"""A rule's name, and what it does not allow."""

VOLUMES = {
    *("containerDisk", "dataVolume", "ephemeral", "persistentVolumeClaim", "emptyDisk", "emptyDir"),
    *("cloudInitNoCloud", "cloudInitConfigDrive", "configMap", "secret", "name"),
}
HARMLESS = {
    "Namespace",
    "Secret",
    "ConfigMap",
    "Service",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "RoleBinding",
}
"""Kinds that labkit makes by itself, and that no author's word reaches."""
MULTUS = "k8s.v1.cni.cncf.io/networks"
UP = re.compile(r"(^|/)(\.|%2e){1,2}(/|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Rules:
    """The policy, and the references under which the engine knows labkit's own images."""

    policy: Policy
    bundled: Collection[str]

    def own(self, reference: str) -> bool:
        return BUNDLED in self.policy.images and reference in self.bundled

    def image(self, reference: str) -> bool:
        return self.own(reference) or allowed(reference, self.policy.images)

    def source(self, kind: str, place: str) -> bool:
        return (kind == "registry" and self.own(place)) or allowed(place, self.policy.sources)


def refusals(policy: Policy, template: Template, objects: Iterable[Object], *, bundled: Collection[str]) -> list[str]:
    """Why a lab made of `objects` may not be started: a sentence for each thing, none where it may.

    `bundled` are the references under which the engine knows labkit's own images.
    """
    rules, objects = Rules(policy, bundled), list(objects)
    found = [*_egress(policy, template), *_overrides(policy, template)]
    sizes = []
    for body in objects:
        name = f"{body['kind']} {body['metadata']['name']}"
        sizes.append(_size(policy, body))
        wrong = [*_judged(rules, body), *(("machine", text) for text in exceeded(policy.machine, sizes[-1]))]
        found += [(rule, f"{name}: {text}") for rule, text in wrong]
    found += [("lab", f"the lab: {text}") for text in exceeded(policy.lab, *sizes)]
    return [f"{text}: not allowed by the rule '{rule}' of {policy.name}" for rule, text in dict.fromkeys(found)]


def crowded(policy: Policy, wanted: Cap, learner: Iterable[Cap], everybody: Iterable[Cap]) -> list[str]:
    """Why a lab of the size `wanted` has no room beside its learner's other labs, and those of everybody else."""
    found = [("learner", f"this learner's labs: {text}") for text in exceeded(policy.learner, wanted, *learner)]
    found += [("total", f"all labs: {text}") for text in exceeded(policy.total, wanted, *everybody)]
    return [f"{text}: not allowed by the rule '{rule}' of {policy.name}" for rule, text in found]


def exceeded(cap: Cap, *sizes: Cap) -> list[str]:
    """What of the sum of `sizes` is more than `cap` has."""
    found = []
    for name in (field.name for field in fields(Cap)):
        most, wanted = getattr(cap, name), sum(getattr(size, name) or 0 for size in sizes)
        if most is not None and wanted > most:
            found.append(f"{name}: {_shown(name, wanted)} asked for, {_shown(name, most)} at most")
    return found


def _shown(name: str, number: float) -> str:
    return f"{number / (1 << 20):g}Mi" if name in ("memory", "disk") else f"{number:g}"


def size_of(policy: Policy, template: Template) -> Cap:
    """What a lab of `template` takes, as its author wrote it."""
    cpu = memory = 0.0
    disk = sum(volume.size_bytes or 0 for volume in template.volumes)
    for machine in template.machines:
        typed = policy.instancetypes.get(machine.instancetype or "", Cap())
        cpu += machine.cpu or typed.cpu or 0
        memory += machine.memory_bytes or typed.memory or 0
        disk += _disks(machine)
    return Cap(1, len(template.machines), cpu, memory, disk)


def _disks(machine: Machine) -> int:
    images: list[Image] = [machine.image, *(disk.image for disk in machine.disks if disk.image)]
    given: list[Image | Disk | Mount] = [*images, *machine.disks, *machine.volumes]
    return sum(thing.size_bytes or 0 for thing in given)


def _egress(policy: Policy, template: Template) -> Iterator[Refusal]:
    network = template.network
    words = network.cidrs if network.egress == "cidrs" else (network.egress,)
    allowed_nets = [ip_network(text) for text in policy.egress if "/" in text]
    for word in words:
        net = ip_network(word) if "/" in word else None
        inside = any(net.version == other.version and net.subnet_of(other) for other in allowed_nets) if net else False  # type: ignore[arg-type]
        if word not in policy.egress and not inside:
            yield "egress", f"egress {word}"


def _overrides(policy: Policy, template: Template) -> Iterator[Refusal]:
    for machine in template.machines:
        for path in _paths(machine.overrides):
            if not any(rule in ("*", path) or path.startswith(f"{rule}.") for rule in policy.overrides):
                yield "overrides", f"machine {machine.name}: overrides of {path}"


def _paths(value: Any, path: str = "") -> Iterator[str]:
    """The paths of all fields that `value` sets; the name by which an item of a list is found sets nothing."""
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            yield from _paths(below, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        for item in value:
            named = isinstance(item, Mapping) and len(item) > 1
            yield from _paths({key: v for key, v in item.items() if key != "name"} if named else item, path)
    elif path:
        yield path


def _judged(rules: Rules, body: Object) -> Iterator[Refusal]:
    kind = body["kind"]
    if kind in JUDGES:
        yield from JUDGES[kind](rules, body)
    elif kind not in HARMLESS:
        yield "kinds", "labs are not made of such objects"


def _machine(rules: Rules, body: Object) -> Iterator[Refusal]:
    whole = body["spec"]
    spec = whole["template"]["spec"] if body["kind"] == "VirtualMachine" else whole
    name = whole.get("instancetype", {}).get("name")
    if name is not None and name not in rules.policy.instancetypes:
        yield "instancetypes", f"instancetype {name}"
    for image in _images(spec):
        if not rules.image(image):
            yield "images", f"image {image}"
    for volume in spec.get("volumes", ()):
        for kind in set(volume) - VOLUMES:
            yield "volumes", f"a volume of the kind {kind}"
    for network in _networks(body, spec):
        if not allowed(network, rules.policy.networks):
            yield "networks", f"network {network}"


def _images(value: Any) -> Iterator[str]:
    """Everything called `image` in a spec: of containers, container disks, kernels, whatever there will be."""
    if isinstance(value, Mapping):
        for key, below in value.items():
            if key == "image" and isinstance(below, str):
                yield below
            else:
                yield from _images(below)
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _images(below)


def _networks(body: Object, spec: Object) -> Iterator[str]:
    for network in spec.get("networks", ()):
        if "multus" in network:
            yield str(network["multus"].get("networkName"))
    written = (body["metadata"].get("annotations") or {}).get(MULTUS, "").strip()
    if written.startswith("["):
        yield from (f"{item.get('namespace', '')}/{item.get('name', '')}" for item in json.loads(written))
    elif written:
        yield from (part.strip().partition("@")[0] for part in written.split(","))


def _volume(rules: Rules, body: Object) -> Iterator[Refusal]:
    spec = body["spec"]
    claim = spec.get("storage") or spec.get("pvc") or spec
    for kind, source in (spec.get("source") or {}).items():
        read = SOURCES.get(kind)
        if kind != "blank" and not (read and rules.source(kind, read(source))):
            yield "dataVolumes", f"a disk from {read(source) if read else kind}"
    if claim.get("storageClassName") not in (None, *rules.policy.classes):
        yield "storageClasses", f"storage class {claim['storageClassName']}"


def allowed(text: str, patterns: Collection[str]) -> bool:
    """Whether one of `patterns` is about `text`; a path that goes up again is nobody's."""
    if UP.search(text):
        return False
    return any(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) for pattern in patterns)


def _size(policy: Policy, body: Object) -> Cap:
    measure = SIZES.get(body["kind"])
    return measure(policy, body) if measure else Cap()


def _vm_size(policy: Policy, body: Object) -> Cap:
    spec = body["spec"]["template"]["spec"]
    domain = spec["domain"]
    typed = policy.instancetypes.get(body["spec"].get("instancetype", {}).get("name", ""), Cap())
    cpu = [_cpu(value) for value in _asked(domain, "cpu")] + [typed.cpu or 0.0]
    if "cpu" in domain:
        cpu.append(math.prod(int(domain["cpu"].get(part, 1)) for part in ("cores", "sockets", "threads")))
    guest = domain.get("memory", {}).get("guest")
    memory = [_bytes(value) for value in (guest, *_asked(domain, "memory"))] + [typed.memory or 0]
    disk = sum(_bytes(volume["emptyDisk"].get("capacity")) for volume in spec["volumes"] if "emptyDisk" in volume)
    return Cap(machines=1, cpu=max(cpu), memory=max(memory), disk=disk)


def _pod_size(policy: Policy, body: Object) -> Cap:
    spec = body["spec"]
    containers = [*spec["containers"], *spec.get("initContainers", ())]
    limits = [container.get("resources", {}).get("limits", {}) for container in containers]
    folders = [volume["emptyDir"] for volume in spec.get("volumes", ()) if "emptyDir" in volume]
    return Cap(
        machines=1,
        cpu=sum(_cpu(limit.get("cpu", "?")) for limit in limits),
        memory=sum(_bytes(limit.get("memory", "?")) for limit in limits),
        disk=sum(_bytes(folder.get("sizeLimit", "?")) for folder in folders),
    )


def _claim_size(policy: Policy, body: Object) -> Cap:
    claim = body["spec"].get("storage") or body["spec"].get("pvc") or body["spec"]
    return Cap(disk=_bytes(claim.get("resources", {}).get("requests", {}).get("storage")))


def _asked(domain: Object, what: str) -> list[Any]:
    resources = domain.get("resources", {})
    return [resources.get(part, {}).get(what) for part in ("requests", "limits")]


def _cpu(value: Any) -> float:
    return _read(value, scalars.cores)


def _bytes(value: Any) -> float:
    return _read(value, scalars.amount)


def _read(value: Any, convert: Callable[[str], float]) -> float:
    """A size; endless where it cannot be read, so that no cap lets it pass. Nothing is nothing."""
    try:
        return 0 if value is None else convert(str(value))
    except Wrong:
        return math.inf


JUDGES: Mapping[str, Callable[[Rules, Object], Iterator[Refusal]]] = {
    "VirtualMachine": _machine,
    "Pod": _machine,
    "DataVolume": _volume,
    "PersistentVolumeClaim": _volume,
}
SIZES: Mapping[str, Callable[[Policy, Object], Cap]] = {
    "VirtualMachine": _vm_size,
    "Pod": _pod_size,
    "DataVolume": _claim_size,
    "PersistentVolumeClaim": _claim_size,
}
SOURCES: Mapping[str, Callable[[Object], str]] = {
    "http": lambda source: str(source.get("url")),
    "registry": lambda source: str(source.get("url")).removeprefix("docker://"),
    "pvc": lambda source: f"pvc:{source.get('namespace')}/{source.get('name')}",
}
"""Where a DataVolume is filled from, as the rule's patterns write it."""
