"""Plain helpers over Kubernetes objects as dictionaries: metadata, owners, times, quantities, conditions. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

Obj = dict[str, Any]

_SUFFIXES = {
    "n": 1e-9, "u": 1e-6, "m": 0.001, "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15, "E": 10**18,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?)([numkMGTPE]|[KMGTPE]i)?")


def name_of(obj: Obj) -> str:
    """``metadata.name``."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: Obj) -> str:
    """``metadata.namespace``, or an empty string for a cluster object."""
    return str(obj["metadata"].get("namespace", ""))


def uid_of(obj: Obj) -> str:
    """``metadata.uid``."""
    return str(obj["metadata"]["uid"])


def deleting(obj: Obj) -> bool:
    """Whether the object has been marked for deletion."""
    return "deletionTimestamp" in obj["metadata"]


def get_path(obj: Any, dotted: str, default: Any = None) -> Any:
    """The value at ``a.b.c``, or ``default`` where a step is missing."""
    for step in dotted.split("."):
        if not isinstance(obj, dict) or obj.get(step) is None:
            return default
        obj = obj[step]
    return obj


def timestamp(when: datetime | None = None) -> str:
    """A time in Kubernetes' form: UTC, whole seconds."""
    return (when or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """The reverse of :func:`timestamp`; fractions of a second are accepted."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def moment(text: str) -> datetime:
    """The same for a client's words; ValueError where they are no time, or one that depends on where one is."""
    if (found := parse_time(text)).tzinfo is None:
        raise ValueError(f"'{text}' has no time zone")
    return found


def quantity(value: Any) -> float:
    """The number behind a Kubernetes quantity such as ``512Mi``, ``2`` or ``100m``.

    Raises ValueError for anything else.
    """
    match = _QUANTITY.fullmatch(str(value))
    if not match or not math.isfinite(amount := float(match[1]) * _SUFFIXES[match[2] or ""]):
        raise ValueError(f"'{value}' is not a quantity such as 512Mi")
    return amount


def owner_reference(owner: Obj) -> Obj:
    """The controlling ownerReference that points at ``owner``."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_uid(obj: Obj) -> str | None:
    """The uid of the object's controlling owner, if it has one."""
    refs: list[Obj] = obj["metadata"].get("ownerReferences", [])
    return next((str(ref["uid"]) for ref in refs if ref.get("controller")), None)


def owners_of(obj: Obj) -> list[str]:
    """The uids of all owners."""
    return [str(ref["uid"]) for ref in obj["metadata"].get("ownerReferences") or []]


def without_finalizer(name: str) -> Callable[[Obj], None]:
    """A change that takes off one finalizer."""

    def mutate(obj: Obj) -> None:
        obj["metadata"]["finalizers"] = [held for held in obj["metadata"].get("finalizers", []) if held != name]

    return mutate


def condition(kind: str, status: bool, reason: str = "", message: str = "") -> Obj:
    """A condition without its times; :func:`merge_conditions` keeps or sets them."""
    found = {"type": kind, "status": "True" if status else "False"}
    return found | ({"reason": reason} if reason else {}) | ({"message": message} if message else {})


def merge_conditions(old: Iterable[Obj], new: Iterable[Obj], now: str) -> list[Obj]:
    """``new`` with ``lastTransitionTime`` kept from ``old`` where the status did not change."""
    before = {item["type"]: item for item in old}
    merged = []
    for item in new:
        kept = before.get(item["type"])
        same = kept is not None and kept["status"] == item["status"]
        since = kept["lastTransitionTime"] if same and kept and "lastTransitionTime" in kept else now
        merged.append({"lastProbeTime": None, "lastTransitionTime": since} | item)
    return merged


def has_condition(obj: Obj, kind: str, status: str = "True") -> bool:
    """Whether ``status.conditions`` holds ``kind`` with that status."""
    return any(item["type"] == kind and item["status"] == status for item in get_path(obj, "status.conditions", []))
