"""ResourceQuotas and LimitRanges: what an object uses, and what they say to it. Pure.

Names, rules and words are those of Kubernetes' admission plugins ResourceQuota and LimitRanger.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator

from labkit.local.api.admission import refuse
from labkit.local.api.kinds import Admission, Kind
from labkit.local.api.status import Cause
from labkit.local.objects import Obj, get_path, name_of, quantity

Usage = Counter[str]
"""Thousandths by the name that a quota has for what is used, such as ``count/secrets`` and ``requests.cpu``."""
_COMPUTE = ("cpu", "memory")
_DEMANDED = {f"{part}.{name}": (part, name) for part in ("requests", "limits") for name in _COMPUTE}
_DEMANDED |= {name: ("requests", name) for name in _COMPUTE}
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
    name, hard = name_of(quota), quota["spec"].get("hard") or {}
    if new and "pods" in more:
        missing = {
            demanded: [
                c["name"] for c in obj["spec"]["containers"] if short not in get_path(c, f"resources.{part}", {})
            ]
            for demanded, (part, short) in sorted(_DEMANDED.items())
            if demanded in hard
        }
        if any(missing.values()):
            said = "; ".join(f"{demanded} for: {','.join(names)}" for demanded, names in missing.items() if names)
            return f"failed quota: {name}: must specify {said}"
    touched = sorted(more.keys() & hard.keys())
    unknown = [item for item in touched if item not in get_path(quota, "status.hard", {})]
    if unknown:
        return f"status unknown for quota: {name}, resources: {','.join(unknown)}"
    over = [item for item in touched if used[item] + more[item] > _milli(hard[item])]
    if over:
        amounts = {"requested": more, "used": used}
        said = ", ".join(
            f"{word}: {','.join(f'{item}={show(item, found[item])}' for item in over)}"
            for word, found in amounts.items()
        )
        return f"exceeded quota: {name}, {said}, limited: {','.join(f'{item}={hard[item]}' for item in over)}"
    return None


def admit_quota(admission: Admission) -> None:
    """Only resources that are counted here can be limited."""
    new = admission.new
    known = {*_DEMANDED, "requests.storage", "services.nodeports", "services.loadbalancers"}
    causes = []
    for name, amount in get_path(new, "spec.hard", {}).items():
        plain = name.rpartition(_CLASSES)[2] if _CLASSES in name else name
        if plain not in known and not name.startswith("count/") and not plain.isalpha():
            causes.append(
                Cause(f"spec.hard[{name}]", "the embedded engine does not count it", "FieldValueNotSupported")
            )
        elif quantity(amount) < 0:
            causes.append(Cause(f"spec.hard[{name}]", f'Invalid value: "{amount}": must be greater than or equal to 0'))
    refuse(admission, causes)
    new.setdefault("status", {})


# Limit ranges


def admit_limit_range(admission: Admission) -> None:
    """Known types only; a container's defaults follow from its bounds."""
    new = admission.new
    causes = []
    for n, item in enumerate(get_path(new, "spec.limits", [])):
        if item["type"] == "Container":
            item["default"] = {**item.get("max", {}), **item.get("default", {})}
            item["defaultRequest"] = {**item.get("min", {}), **item["default"], **item.get("defaultRequest", {})}
        for low, high in (("min", "max"), ("min", "default"), ("defaultRequest", "default"), ("default", "max")):
            for name in item.get(low, {}).keys() & item.get(high, {}).keys():
                if quantity(item[low][name]) > quantity(item[high][name]):
                    why = f"{low} value {item[low][name]} is greater than {high} value {item[high][name]}"
                    causes.append(
                        Cause(f"spec.limits[{n}].{low}[{name}]", f'Invalid value: "{item[low][name]}": {why}')
                    )
    refuse(admission, causes)


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
    type_ = item["type"]
    lower, upper = ("requests", "limits"), ("limits", "requests")
    for name, bound in item.get("min", {}).items():
        text, least = f"minimum {name} usage per {type_} is {bound}", quantity(bound)
        yield from _outside(text, given, name, lower, lambda value, least=least: value < least)  # type: ignore[misc]
    for name, bound in item.get("max", {}).items():
        text, most = f"maximum {name} usage per {type_} is {bound}", quantity(bound)
        order = lower[:1] if type_ == "PersistentVolumeClaim" else upper
        yield from _outside(text, given, name, order, lambda value, most=most: value > most)  # type: ignore[misc]
    for name, bound in item.get("maxLimitRequestRatio", {}).items():
        request, limit = (quantity(given.get(part, {}).get(name, 0)) for part in lower)
        text = f"{name} max limit to request ratio per {type_} is {bound}"
        if not request or not limit:
            yield f"{text}, but no {'limit' if request else 'request'} is specified or it is 0"
        elif limit / request > quantity(bound):
            yield f"{text}, but provided ratio is {limit / request:f}"


def _outside(text: str, given: Obj, name: str, order: tuple[str, ...], bad: Callable[[float], bool]) -> Iterator[str]:
    """The faults of one bound: the first of ``order`` (requests, limits) must be given, each must be within."""
    for part in order:
        value = given.get(part, {}).get(name)
        if value is None and part == order[0]:
            yield f"{text}.  No {part[:-1]} is specified"
        elif value is not None and bad(quantity(value)):
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
