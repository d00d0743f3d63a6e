"""Tables, as kubectl prints them: a column is a name and how to read its cell. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from labkit.local.objects import Obj, get_path, name_of, parse_time


@dataclass(frozen=True)
class Column:
    """One column; a ``wide`` one is shown by ``kubectl get -o wide`` only."""

    name: str
    read: Callable[[Obj], Any]
    wide: bool = False
    type: str = "string"


def age(since: str | None, now: datetime | None = None) -> str:
    """How long ago, in kubectl's short form (``45s``, ``7m``, ``3h``, ``2d``)."""
    if not since:
        return "<unknown>"
    seconds = max(0, int(((now or datetime.now(UTC)) - parse_time(since)).total_seconds()))
    for unit, length, limit in (("s", 1, 120), ("m", 60, 120), ("h", 3600, 48)):
        if seconds < length * limit:
            return f"{seconds // length}{unit}"
    return f"{seconds // 86400}d"


def field(dotted: str) -> Callable[[Obj], Any]:
    """A reader of one field; a missing one is an empty cell."""
    return lambda obj: get_path(obj, dotted, "")


def count(*parts: str) -> Callable[[Obj], int]:
    """How many entries some fields have together."""
    return lambda obj: sum(len(get_path(obj, part, ())) for part in parts)


def quota_use(limits: bool) -> Callable[[Obj], str]:
    """What a quota has given of what, for limits or for all else."""

    def read(obj: Obj) -> str:
        hard, used = (get_path(obj, f"status.{part}", {}) for part in ("hard", "used"))
        return ", ".join(f"{k}: {used[k]}/{hard[k]}" for k in sorted(hard) if k.startswith("limits.") == limits)

    return read


def condition(kind: str) -> Callable[[Obj], str]:
    """A reader of a condition's status."""

    def read(obj: Obj) -> str:
        found = [item["status"] for item in get_path(obj, "status.conditions", []) if item["type"] == kind]
        return str(found[0]) if found else ""

    return read


NAME = Column("Name", name_of)
AGE = Column("Age", lambda obj: age(get_path(obj, "metadata.creationTimestamp")))


def table(columns: tuple[Column, ...], objects: list[Obj], metadata: Obj, include: str) -> Obj:
    """A ``meta.k8s.io/v1`` Table; ``include`` is the request's includeObject (None, Metadata or Object)."""
    shown = [
        {
            "name": c.name,
            "type": c.type,
            "format": "name" if c is NAME else "",
            "description": "",
            "priority": int(c.wide),
        }
        for c in columns
    ]
    rows = [{"cells": [column.read(obj) for column in columns], "object": _row(obj, include)} for obj in objects]
    about = {"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata}
    return {**about, "columnDefinitions": shown, "rows": rows}


def _row(obj: Obj, include: str) -> Obj | None:
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
    return {"None": None, "Object": obj}.get(include, partial)
