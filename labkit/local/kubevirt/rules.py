"""What a VirtualMachineInstance's spec must be like beyond its fields (``fields.py``): rules between them. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from typing import Any

from labkit.local.api.bounds import required
from labkit.local.api.status import Cause
from labkit.local.objects import Obj, get_path, quantity

HANDLERS = ("exec", "guestAgentPing", "httpGet", "tcpSocket")
"""What a probe can do."""
PROBES = ("readinessProbe", "livenessProbe")
_INLINE_LIMIT = 2048
_SLOTS = 20
_TWICE = "FieldValueDuplicate"
_DISKS, _INTERFACES = "domain.devices.disks[]", "domain.devices.interfaces[]"
_MEMORY = ("memory.guest", "resources.requests.memory", "resources.limits.memory")
"""Where a machine's memory may stand, the first that says something counts."""


def _mebibyte(size: Any) -> bool:
    return quantity(size) >= 2**20


_ROOM = "'{}': must be greater than or equal to 1Mi."
_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    (_DISKS, lambda disk: not ("disk" in disk and "cdrom" in disk), "can have only a single target type defined"),
    ("networks", lambda nets: len(nets) < 2, "more than one interface is connected to a pod network"),
    ("volumes", lambda volumes: len(volumes) <= _SLOTS, f"the embedded engine attaches up to {_SLOTS} volumes"),
    ("volumes[]", lambda volume: len(volume.keys() - {"name"}) == 1, "must have exactly one source type set"),
    ("volumes[].emptyDisk.capacity", _mebibyte, _ROOM),
    *((f"domain.{path}", _mebibyte, _ROOM) for path in _MEMORY),
    *(
        (probe, lambda given: len(given.keys() & {*HANDLERS}) == 1, f"must have exactly one of {', '.join(HANDLERS)}")
        for probe in PROBES
    ),
)
"""Path, what the value there must be, the fault ({} is the value)."""
_SAME = "{} and {} must not have the same Name."
_UNIQUE = (
    ((f"{_DISKS}.name",), _SAME),
    (("volumes[].name",), _SAME),
    (("networks[].name",), _SAME),
    ((f"{_INTERFACES}.name",), "Only one interface can be connected to one specific network"),
    ((f"{_DISKS}.bootOrder", f"{_INTERFACES}.bootOrder"), "Boot order for {} already set for a different device."),
)
_REFERS = (
    (f"{_DISKS}.name", "volumes[].name"),
    (f"{_INTERFACES}.name", "networks[].name"),
    ("networks[].name", f"{_INTERFACES}.name"),
)
_LIMITED = (
    *((f"resources.requests.{what}", f"resources.limits.{what}") for what in ("cpu", "memory")),
    ("memory.guest", "resources.limits.memory"),
)


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


def faults(spec: Obj, at: str) -> list[Cause]:
    """Everything that is wrong with a spec of the right fields."""
    found = [
        Cause(field, message.format(value))
        for path, holds, message in _RULES
        for field, value in at_path(spec, path, at)
        if not holds(value)
    ]
    for paths, message in _UNIQUE:
        seen: dict[Any, str] = {}
        for field, value in (item for path in paths for item in at_path(spec, path, at)):
            if (first := seen.setdefault(value, field)) != field:
                found.append(Cause(field, message.format(field, first), _TWICE))
    for path, target in _REFERS:
        known = [value for _, value in at_path(spec, target, at)]
        missing = [item for item in at_path(spec, path, at) if item[1] not in known]
        found += [Cause(field, f"{field} '{value}' not found.") for field, value in missing]
    domain, home = spec["domain"], f"{at}.domain"
    for path, bound in _LIMITED:
        value, limit = get_path(domain, path), get_path(domain, bound)
        if value is not None and limit is not None and quantity(value) > quantity(limit):
            found.append(Cause(f"{home}.{path}", f"'{value}' is greater than {home}.{bound} '{limit}'"))
    if requested_memory(domain) is None:
        found.append(required(f"{home}.memory.guest", "no memory requested"))
    for field, source in at_path(spec, "volumes[].cloudInitNoCloud", at):
        found += _cloud_init(source, field)
    return found


def requested_memory(domain: Obj) -> Any:
    """The memory that a machine asks for."""
    return next((found for path in _MEMORY if (found := get_path(domain, path)) is not None), None)


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
