"""Compares an object with its schema: unknown fields are found and left out, wrong types and gaps are said. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from labkit.local.api.schemas import REFUSED, Node, resolve
from labkit.local.objects import quantity

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


@dataclass
class Findings:
    """What a walk found: paths of unknown, refused and missing fields, and one sentence per wrong value."""

    unknown: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def check(node: Node, value: Any, refused: Collection[str] = ()) -> tuple[Any, Findings]:
    """The object without unknown fields, and the findings. ``refused`` are paths (no indices) not carried out here."""
    findings = Findings()
    return _walk(node, value, "", findings, refused), findings


def _walk(node: Node, value: Any, path: str, findings: Findings, refused: Collection[str]) -> Any:
    if node is REFUSED or (refused and re.sub(r"\[\d+\]", "", path) in refused):
        # Unset, false and empty mean the same as leaving the field out; an empty object often does not.
        if value not in (None, False, "", []):
            findings.refused.append(path)
        return value
    node = resolve(node)
    if value is None or "x-kubernetes-preserve-unknown-fields" in node:
        return value
    if fault := _fault(node, value):
        findings.wrong.append(f"{path}: {fault}")
        return value
    if isinstance(value, list):
        return [_walk(node["items"], item, f"{path}[{n}]", findings, refused) for n, item in enumerate(value)]
    if not isinstance(value, dict) or not ("properties" in node or "additionalProperties" in node):
        return value
    prefix = f"{path}." if path else ""
    findings.missing += [prefix + name for name in node.get("required", ()) if value.get(name) is None]
    kept, known = {}, node.get("properties", {})
    for key, item in value.items():
        below = known.get(key, node.get("additionalProperties"))
        if below is None:
            findings.unknown.append(prefix + key)
        else:
            kept[key] = _walk(below, item, prefix + key, findings, refused)
    return kept


def _fault(node: Node, value: Any) -> str:
    if node.get("format") == "quantity":
        try:
            quantity(value)
        except ValueError as error:
            return str(error)
        return ""
    mixed = "x-kubernetes-int-or-string" in node
    wanted = (str, int) if mixed else _TYPES.get(node.get("type", ""), (object,))
    if isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool) or object in wanted):
        return ""
    return f"must be of type {'integer or string' if mixed else node['type']}: {value!r}"
