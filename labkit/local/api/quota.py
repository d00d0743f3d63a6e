"""ResourceQuotas and LimitRanges: what an object uses, and what they say to it. Pure.

Names, rules and words are those of Kubernetes' admission plugins ResourceQuota and LimitRanger.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from labkit.local.api.admission import refuse
from labkit.local.api.bounds import invalid
from labkit.local.api.kinds import Admission, Kind
from labkit.local.objects import Obj, get_path, name_of, quantity

Usage = Counter[str]
"""Thousandths by the name that a quota has for what is used, such as ``count/secrets`` and ``requests.cpu``."""
_COMPUTE = ("cpu", "memory")
_DEMANDED = {f"{part}.{name}": (part, name) for part in ("requests", "limits") for name in _COMPUTE}
_DEMANDED |= {name: ("requests", name) for name in _COMPUTE}
_COUNTED = (
    *_DEMANDED, "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "requests.storage",
    "resourcequotas", "secrets", "services", "services.loadbalancers", "services.nodeports",
)  # fmt: skip
_CLASSES = ".storageclass.storage.k8s.io/"


def usage(kind: Kind, obj: Obj) -> Usage:
    """What an object uses. A pod that has ended uses nothing but its place among the objects."""
    found: Usage = Counter({f"count/{kind.key}": 1000})
    if kind.key == "pods" and get_path(obj, "status.phase") not in ("Succeeded", "Failed"):
        found["pods"] = 1000
        total = _pod_total(obj)
        found |= {name: total[part].get(short, 0) for name, (part, short) in _DEMANDED.items()}
    elif not kind.group and kind.key != "pods":
        found[kind.key] = 1000
    if kind.key == "persistentvolumeclaims":
        found["requests.storage"] = _milli(get_path(obj, "spec.resources.requests.storage", 0))
        for name in (kind.key, "requests.storage"):
            found[f"{get_path(obj, 'spec.storageClassName', '')}{_CLASSES}{name}"] = found[name]
    return found


def show(name: str, amount: int) -> str:
    """Thousandths of a resource as a quantity, in units of 1024 for bytes."""
    if amount % 1000:
        return f"{amount}m"
    size = 1024 if name.endswith(("memory", "storage")) else 1000
    units = ("", "Ki", "Mi", "Gi", "Ti") if size == 1024 else ("", "k", "M", "G", "T")
    power = max((n for n in range(5) if amount and amount // 1000 % size**n == 0), default=0)
    return f"{amount // 1000 // size**power}{units[power]}"


def _milli(amount: str | float) -> int:
    return math.ceil(round(quantity(amount) * 1000, 3))


def refusal(quota: Obj, obj: Obj, more: Usage, used: Usage, *, new: bool) -> str | None:
    """Why a quota forbids an object that would use ``more``, in Kubernetes' words, or None."""
    name, hard = name_of(quota), quota["spec"]["hard"]
    if new and "pods" in more:
        lacking = {
            what: [c["name"] for c in obj["spec"]["containers"] if short not in get_path(c, f"resources.{part}", {})]
            for what, (part, short) in sorted(_DEMANDED.items())
        }
        said = "; ".join(f"{what} for: {','.join(names)}" for what, names in lacking.items() if names and what in hard)
        if said:
            return f"failed quota: {name}: must specify {said}"
    touched = sorted(more.keys() & hard.keys())
    unknown = [item for item in touched if item not in get_path(quota, "status.hard", {})]
    if unknown:
        return f"status unknown for quota: {name}, resources: {','.join(unknown)}"
    over = [item for item in touched if used[item] + more[item] > _milli(hard[item])]
    if not over:
        return None
    asked, had = (",".join(f"{item}={show(item, amounts[item])}" for item in over) for amounts in (more, used))
    most = ",".join(f"{item}={hard[item]}" for item in over)
    return f"exceeded quota: {name}, requested: {asked}, used: {had}, limited: {most}"


def admit_quota(admission: Admission) -> None:
    """Only resources that are counted here can be limited."""
    faults = []
    for name, amount in admission.new.setdefault("spec", {}).setdefault("hard", {}).items():
        if name.rpartition(_CLASSES)[2] not in _COUNTED and not name.startswith("count/"):
            faults.append(invalid(f"spec.hard[{name}]", name, "the embedded engine does not count it"))
        elif quantity(amount) < 0:
            faults.append(invalid(f"spec.hard[{name}]", amount, "must be greater than or equal to 0"))
    refuse(admission, faults)


# Limit ranges


def admit_limit_range(admission: Admission) -> None:
    """A container's defaults follow from its bounds, and nothing is below what it must be above."""
    faults = []
    for n, item in enumerate(admission.new.setdefault("spec", {}).setdefault("limits", [])):
        if item["type"] == "Container":
            item["default"] = {**item.get("max", {}), **item.get("default", {})}
            item["defaultRequest"] = {**item.get("min", {}), **item["default"], **item.get("defaultRequest", {})}
        for low, high in (("min", "max"), ("min", "default"), ("defaultRequest", "default"), ("default", "max")):
            for name in item.get(low, {}).keys() & item.get(high, {}).keys():
                less, more = item[low][name], item[high][name]
                if quantity(less) > quantity(more):
                    why = f"{low} value {less} is greater than {high} value {more}"
                    faults.append(invalid(f"spec.limits[{n}].{low}[{name}]", less, why))
    refuse(admission, faults)


def apply_limits(kind: Kind, obj: Obj, ranges: list[Obj]) -> list[str]:
    """Give a new pod's containers what limit ranges default; what is outside the bounds of a pod or claim."""
    items = [item for found in ranges for item in found["spec"]["limits"]]
    if kind.key == "persistentvolumeclaims":
        bearers = [("PersistentVolumeClaim", obj["spec"].get("resources") or {})]
    elif kind.key == "pods":
        bearers = [("Container", container.setdefault("resources", {})) for container in obj["spec"]["containers"]]
        for _, given in bearers:
            given["requests"] = {**given.get("limits", {}), **given.get("requests", {})}
            for item in (item for item in items if item["type"] == "Container"):
                given["limits"] = {**item["default"], **given.get("limits", {})}
                given["requests"] = {**item["defaultRequest"], **given["requests"]}
        total = _pod_total(obj).items()
        bearers.append(
            ("Pod", {part: {name: show(name, value) for name, value in sums.items()} for part, sums in total})
        )
    else:
        return []
    bounded = ((item, given) for type_, given in bearers for item in items if item["type"] == type_)
    crossed = (fault for type_, given in bearers if type_ != "Pod" for fault in _crossed(given))
    return [*crossed, *(fault for item, given in bounded for fault in _faults(item, given))]


def _crossed(given: Obj) -> Iterator[str]:
    limits = given.get("limits", {})
    for name, asked in given.get("requests", {}).items():
        if name in limits and quantity(asked) > quantity(limits[name]):
            yield f'Invalid value: "{asked}": must be less than or equal to {name} limit of {limits[name]}'


def _faults(item: Obj, given: Obj) -> Iterator[str]:
    """What one row of a limit range says to what is given: ``requests`` and ``limits`` of a container, pod or claim."""
    type_ = item["type"]
    for key, word, sign, first in (("min", "minimum", -1, "requests"), ("max", "maximum", 1, "limits")):
        first = "requests" if type_ == "PersistentVolumeClaim" else first
        for name, bound in item.get(key, {}).items():
            text = f"{word} {name} usage per {type_} is {bound}"
            if name not in given.get(first, {}):
                yield f"{text}.  No {first[:-1]} is specified"
            for part in ("limits", "requests"):
                value = given.get(part, {}).get(name)
                if value is not None and sign * (quantity(value) - quantity(bound)) > 0:
                    yield f"{text}, but {part[:-1]} is {value}"


def _pod_total(pod: Obj) -> dict[str, Usage]:
    """Requests and limits of a pod: its containers' sum, or the largest of those that run before them."""
    total: dict[str, Usage] = {"requests": Counter(), "limits": Counter()}
    for part, sums in total.items():
        for container in pod["spec"]["containers"]:
            sums.update({name: _milli(value) for name, value in get_path(container, f"resources.{part}", {}).items()})
        for container in pod["spec"].get("initContainers", ()):
            sums |= Counter({n: _milli(value) for n, value in get_path(container, f"resources.{part}", {}).items()})
    return total
