"""What a VirtualMachineInstance's spec must be like, as tables: KubeVirt's own rules and this engine's limits. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Any

from labkit.local.api.status import Cause
from labkit.local.objects import Obj, get_path, quantity

HANDLERS = ("exec", "guestAgentPing", "httpGet", "tcpSocket")
"""What a probe can do."""
PROBES = ("readinessProbe", "livenessProbe")
_DIALLED = ("httpGet", "tcpSocket")
_TIMES = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_OTHER_BINDINGS = ("masquerade", "slirp", "passt", "macvtap")
"""Refused each with a sentence of its own."""
_INLINE_LIMIT = 2048
_SLOTS = 20
_REQUIRED, _UNKNOWN, _TWICE = "FieldValueRequired", "FieldValueNotSupported", "FieldValueDuplicate"
_DISKS, _INTERFACES = "domain.devices.disks[]", "domain.devices.interfaces[]"
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_MAC = r"(?!02([:-]00){5})[0-9a-fA-F][02468aceACE]([:-][0-9a-fA-F]{2}){5}"

Check = Callable[[Any], bool]


def _like(pattern: str) -> Check:
    return lambda value: bool(re.fullmatch(pattern, str(value)))


def _one_of(*words: str) -> Check:
    return lambda value: value in words


def _between(low: int, high: int = 2**31) -> Check:
    return lambda value: low <= value <= high


def _has(*keys: str) -> Check:
    return lambda value: any(value.get(key) is not None for key in keys)


def _is_port(value: Any) -> bool:
    return isinstance(value, int) and 0 < value < 65536


_never = _one_of()
_CPUS = _one_of("host-model", "host-passthrough")
_MODELS = _one_of("", "virtio", "e1000e")
_EVICTIONS = _one_of("None", "External", "LiveMigrateIfPossible")
_HERE = "the embedded engine "
_RULES: tuple[tuple[str, Check, str, str], ...] = (
    ("hostname", _like(_LABEL), "'{}' is not a DNS label", ""),
    ("subdomain", _like(rf"{_LABEL}(\.{_LABEL})*"), "'{}' is not a DNS subdomain", ""),
    ("architecture", _one_of("amd64"), _HERE + "runs amd64 machines, not '{}'", _UNKNOWN),
    ("startStrategy", _one_of("Paused"), "'{}' is not known; only 'Paused' can be set", _UNKNOWN),
    ("evictionStrategy", _EVICTIONS, _HERE + "has one node: '{}' cannot be kept", _UNKNOWN),
    ("terminationGracePeriodSeconds", _between(0), "'{}': must be greater than or equal to 0", ""),
    ("domain.cpu.sockets", _between(0, 64), "'{}': must be from 1 to 64", ""),
    ("domain.cpu.cores", _between(0, 64), "'{}': must be from 1 to 64", ""),
    ("domain.cpu.threads", _between(0, 64), "'{}': must be from 1 to 64", ""),
    ("domain.cpu.model", _CPUS, _HERE + "has host-model and host-passthrough, not '{}'", _UNKNOWN),
    ("domain.machine.type", _like("|q35|pc-q35-.+"), "'{}' is not supported (allowed values: q35*, pc-q35*)", ""),
    ("domain.firmware.serial", _like("[A-Za-z0-9_.+-]{0,256}"), "must be up to 256 of A-Z a-z 0-9 _ . + -", ""),
    ("domain.firmware.uuid", _like("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"), "'{}' is not a UUID", ""),
    ("domain.devices.inputs[].type", _one_of("tablet"), "Input device can have only tablet type.", ""),
    ("domain.devices.inputs[].bus", _one_of("", "usb", "virtio"), "Input device can have only virtio or usb bus.", ""),
    (_DISKS, _has("name"), "name is required", _REQUIRED),
    (_DISKS, lambda disk: not ("disk" in disk and "cdrom" in disk), "can have only a single target type defined", ""),
    (f"{_DISKS}.disk.bus", _one_of("", "virtio", "sata"), _HERE + "has virtio and sata, not bus '{}'", _UNKNOWN),
    (f"{_DISKS}.cdrom.bus", _one_of("", "sata"), _HERE + "has sata for a CD-ROM, not bus '{}'", _UNKNOWN),
    (f"{_DISKS}.serial", _like("[A-Za-z0-9_.+-]{0,256}"), "must be up to 256 of A-Z a-z 0-9 _ . + -", ""),
    (f"{_DISKS}.bootOrder", _between(1), "must have a boot order > 0, if supplied", ""),
    (_INTERFACES, _has("name"), "name is required", _REQUIRED),
    (_INTERFACES, _has("bridge", *_OTHER_BINDINGS), _HERE + "has the binding 'bridge' only: set bridge: {{}}", ""),
    (f"{_INTERFACES}.masquerade", _never, _HERE + "has the binding 'bridge' only, not 'masquerade'", _UNKNOWN),
    (f"{_INTERFACES}.slirp", _never, "Slirp interface support has been discontinued since v1.3", ""),
    (f"{_INTERFACES}.passt", _never, "Passt network binding has been discontinued since v1.3", ""),
    (f"{_INTERFACES}.macvtap", _never, "Macvtap network binding has been discontinued since v1.3", ""),
    (f"{_INTERFACES}.name", _like("[A-Za-z0-9_-]*"), "'{}': only letters, digits, - and _ can be in a name", ""),
    (f"{_INTERFACES}.model", _MODELS, _HERE + "has virtio and e1000e, not model '{}'", _UNKNOWN),
    (f"{_INTERFACES}.macAddress", _like(f"|{_MAC}"), "'{}' is a malformed MAC address, or not a machine's own", ""),
    (f"{_INTERFACES}.bootOrder", _between(1), "must have a boot order > 0, if supplied", ""),
    ("networks", lambda nets: len(nets) < 2, "more than one interface is connected to a pod network", _TWICE),
    ("networks[]", _has("name"), "name is required", _REQUIRED),
    ("networks[]", _has("pod"), "should have a network type", _REQUIRED),
    ("volumes", lambda volumes: len(volumes) <= _SLOTS, f"{_HERE}attaches up to {_SLOTS} volumes", ""),
    ("volumes[]", lambda volume: len(volume.keys() - {"name"}) == 1, "must have exactly one source type set", ""),
    ("volumes[]", _has("name"), "name is required", _REQUIRED),
    ("volumes[].name", _like("[A-Za-z0-9_-]*"), "'{}': only letters, digits, - and _ can be in a name", ""),
    ("volumes[].emptyDisk", _has("capacity"), "capacity is required", _REQUIRED),
    ("volumes[].emptyDisk.capacity", lambda size: (_number(size) or 0) >= 2**20, "must be at least 1Mi", ""),
    ("volumes[].persistentVolumeClaim", _has("claimName"), "claimName is required", _REQUIRED),
    ("volumes[].ephemeral", _has("persistentVolumeClaim"), "persistentVolumeClaim is required", _REQUIRED),
    ("volumes[].ephemeral.persistentVolumeClaim", _has("claimName"), "claimName is required", _REQUIRED),
    ("volumes[].dataVolume", _has("name"), "DataVolume 'name' must be set", _REQUIRED),
    ("volumes[].hostDisk", _never, "HostDisk feature gate is not enabled", ""),
    ("volumes[].downwardMetrics", _never, "DownwardMetrics feature gate is not enabled", ""),
    ("domain.devices.downwardMetrics", _never, "DownwardMetrics feature gate is not enabled", ""),
    ("domain.devices.autoattachVSOCK", lambda on: not on, "VSOCK feature gate is not enabled", ""),
    *(row for probe in PROBES for row in (
        (probe, _has(*HANDLERS), f"one of {', '.join(HANDLERS)} must be set", _REQUIRED),
        (probe, lambda given: len(given.keys() & set(HANDLERS)) < 2, "must have exactly one probe type set", ""),
        *((f"{probe}.{key}", _between(0), "'{}': must be greater than or equal to 0", "") for key in _TIMES),
        *((f"{probe}.{kind}.port", _is_port, "'{}' is not a port number from 1 to 65535", "") for kind in _DIALLED),
    )),
)  # fmt: skip
"""Path, what the value there must be, the fault ({} is the value), Kubernetes' word for it if not FieldValueInvalid."""
_SAME = "{} and {} must not have the same Name."
_UNIQUE = (
    ((f"{_DISKS}.name",), _SAME, ""),
    (("volumes[].name",), _SAME, ""),
    (("networks[].name",), _SAME, _TWICE),
    ((f"{_INTERFACES}.name",), "Only one interface can be connected to one specific network", _TWICE),
    ((f"{_DISKS}.bootOrder", f"{_INTERFACES}.bootOrder"), "Boot order for {} already set for a different device.", ""),
)
_REFERS = (
    (f"{_DISKS}.name", "volumes[].name", ""),
    (f"{_INTERFACES}.name", "networks[].name", ""),
    ("networks[].name", f"{_INTERFACES}.name", _REQUIRED),
)
_NATURAL = ("domain.cpu.sockets", "domain.cpu.cores", "domain.cpu.threads", "domain.cpu.maxSockets")


def at_path(obj: Any, path: str, at: str) -> Iterator[tuple[str, Any]]:
    """Field and value of everything that ``path`` means below ``obj``; ``[]`` stands for each item of a list."""
    step, _, rest = path.partition(".")
    key = step.removesuffix("[]")
    value = obj.get(key) if isinstance(obj, dict) else None
    if value is None:
        return
    items = [(f"{at}.{key}[{n}]", item) for n, item in enumerate(value)] if step != key else [(f"{at}.{key}", value)]
    for field, item in items:
        yield from at_path(item, rest, field) if rest else ((field, item),)


def negative(spec: Any, at: str) -> str:
    """The first field that cannot even be read, because an unsigned number is below zero; or nothing."""
    wrong = [field for path in _NATURAL for field, value in at_path(spec, path, at) if value < 0]
    return wrong[0] if wrong else ""


def faults(spec: Any, at: str) -> list[Cause]:
    """Everything that is wrong with a spec whose fields have the right types."""
    if not isinstance(spec, dict) or not isinstance(get_path(spec, "domain.devices"), dict):
        return [Cause(f"{at}.domain.devices", "Required value", _REQUIRED)]
    found = [
        _cause(field, message.format(value), reason)
        for path, holds, message, reason in _RULES
        for field, value in at_path(spec, path, at)
        if not holds(value)
    ]
    for paths, message, reason in _UNIQUE:
        seen: dict[Any, str] = {}
        for field, value in (item for path in paths for item in at_path(spec, path, at)):
            if (first := seen.setdefault(value, field)) != field:
                found.append(_cause(field, message.format(field, first), reason))
    for path, target, reason in _REFERS:
        known = [value for _, value in at_path(spec, target, at)]
        missing = [item for item in at_path(spec, path, at) if item[1] not in known]
        found += [_cause(field, f"{field} '{value}' not found.", reason) for field, value in missing]
    for field, source in at_path(spec, "volumes[].cloudInitNoCloud", at):
        found += _cloud_init(source, field)
    return found + _resources(spec["domain"], f"{at}.domain") + _probes(spec, at)


def _cause(field: str, message: str, reason: str) -> Cause:
    return Cause(field, message, reason or "FieldValueInvalid")


def _number(value: Any) -> float | None:
    try:
        return quantity(value)
    except ValueError:
        return None


def requested_memory(domain: Obj) -> Any:
    """The memory that a machine asks for, in the first of the three places where it may stand."""
    limit = get_path(domain, "resources.limits.memory")
    return get_path(domain, "memory.guest") or get_path(domain, "resources.requests.memory") or limit


def _resources(domain: Obj, at: str) -> list[Cause]:
    bounds = {f"resources.requests.{what}": f"resources.limits.{what}" for what in ("cpu", "memory")}
    bounds["memory.guest"] = "resources.limits.memory"
    given = {path: get_path(domain, path) for path in (*bounds, *bounds.values())}
    found = []
    for path, value in given.items():
        least, shown = (0, "0") if path.endswith("cpu") else (2**20, "1Mi")
        if value is None:
            continue
        if (number := _number(value)) is None:
            found.append(Cause(f"{at}.{path}", f"'{value}' is not a quantity such as 512Mi"))
        elif number < least:
            found.append(Cause(f"{at}.{path}", f"'{value}': must be greater than or equal to {shown}."))
    for path, bound in bounds.items():
        value, limit = _number(given[path]), _number(given[bound])
        if value is not None and limit and value > limit:
            found.append(Cause(f"{at}.{path}", f"'{given[path]}' is greater than {at}.{bound} '{given[bound]}'"))
    if requested_memory(domain) is None:
        found.append(Cause(f"{at}.memory.guest", "no memory requested", _REQUIRED))
    return found


def _cloud_init(source: Obj, at: str) -> list[Cause]:
    found = []
    for kind, plain, coded, secret in (
        ("userdata", "userData", "userDataBase64", "secretRef"),
        ("networkdata", "networkData", "networkDataBase64", "networkDataSecretRef"),
    ):
        if len([key for key in (plain, coded, secret) if source.get(key)]) > 1:
            found.append(Cause(at, f"{at} must have only one {kind} source set."))
        try:
            data = (source.get(plain) or "").encode() or base64.b64decode(source.get(coded) or "", validate=True)
        except binascii.Error:
            found.append(Cause(f"{at}.{coded}", f"{at}.{coded} is not a valid base64 value."))
            continue
        if len(data) > _INLINE_LIMIT:
            text = f"{at} {kind} exceeds {_INLINE_LIMIT} byte limit. Should use {secret} for larger data."
            found.append(Cause(at, text))
    if not any(source.values()):
        found.append(Cause(at, f"{at} must have at least one userdatasource or one networkdatasource set."))
    return found


def _probes(spec: Obj, at: str) -> list[Cause]:
    devices = spec["domain"]["devices"]
    unplugged = devices.get("interfaces") or devices.get("autoattachPodInterface") is False
    paths = (
        [] if spec.get("networks") or not unplugged else [f"{probe}.{kind}" for probe in PROBES for kind in _DIALLED]
    )
    only = "is only allowed if the Pod Network is attached"
    found = [Cause(field, only) for path in paths for field, _ in at_path(spec, path, at)]
    if spec.get("startStrategy") and spec.get("livenessProbe"):
        found.append(Cause(f"{at}.startStrategy", "a machine with a livenessProbe cannot be started paused"))
    return found
