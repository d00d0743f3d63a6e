"""Compares an object with its schema: unknown fields are found and left out, faulty values and gaps are said. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from labkit.local.api.bodies import LONGEST
from labkit.local.api.bounds import RULES, out_of_bounds, required
from labkit.local.api.schemas import REFS, REFUSED, Node, resolve
from labkit.local.api.status import Cause
from labkit.local.objects import moment, quantity

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}
_READERS: dict[str, Callable[[Any], object]] = {
    "quantity": quantity,
    "byte": partial(base64.b64decode, validate=True),
    "date-time": moment,
}
"""What reads a value of a format; it raises ValueError, TypeError or AttributeError for any other."""
_NOT_BUILT = "the embedded engine does not implement this field"


@dataclass
class Findings:
    """What a walk found: unknown fields, a sentence for each value that cannot be read, causes of a refusal."""

    unknown: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)


def check(node: Node, value: Any, refused: Collection[str] = ()) -> tuple[Any, Findings]:
    """The object without unknown fields, and the findings. ``refused`` are paths (no indices) not carried out here."""
    findings = Findings()
    return _walk(node, value, "", findings, refused), findings


def _walk(node: Node, value: Any, path: str, findings: Findings, refused: Collection[str]) -> Any:
    if node is REFUSED or (refused and re.sub(r"\[\d+\]", "", path) in refused):
        # Unset, false and empty mean the same as leaving the field out; an empty object often does not.
        if value not in (None, False, "", []):
            findings.causes.append(Cause(path, _NOT_BUILT, "FieldValueNotSupported"))
        return value
    bounds, node = node, resolve(node)
    if value is None or "x-kubernetes-preserve-unknown-fields" in node:
        return value
    if fault := _unreadable(node, value):
        findings.wrong.append(f"{path}: {fault}")
        return value
    if isinstance(value, list):
        if len(value) > LONGEST or None in value:
            findings.wrong.append(f"{path}: a list may hold up to {LONGEST} items, and no null")
            return value
        return [_walk(node["items"], item, f"{path}[{n}]", findings, refused) for n, item in enumerate(value)]
    if not isinstance(value, dict):
        findings.causes += out_of_bounds(bounds, value, path)
        return value
    if not ("properties" in node or "additionalProperties" in node):
        return value
    prefix = f"{path}." if path else ""
    missing = (prefix + name for name in node.get("required", ()) if value.get(name) is None)
    findings.causes += map(required, missing)
    kept, known = {}, node.get("properties", {})
    for key, item in value.items():
        below = known.get(key, node.get("additionalProperties"))
        if below is None:
            findings.unknown.append(prefix + key)
        elif item is not None:  # null is the same as nothing
            kept[key] = _walk(below, item, prefix + key, findings, refused)
    rule = RULES.get(bounds.get("$ref", "").removeprefix(f"{REFS}io.k8s."))
    for cause in rule(kept) if rule and not findings.wrong else ():
        findings.causes.append(replace(cause, field=(prefix + cause.field).removesuffix(".")))
    return kept


def _unreadable(node: Node, value: Any) -> str:
    mixed = "x-kubernetes-int-or-string" in node
    if reads := _READERS.get(node.get("format", "")):
        try:
            reads(value)
        except (ValueError, TypeError, AttributeError) as error:
            return str(error)  # Without the value, which may be a secret.
        return ""
    wanted = (str, int) if mixed else _TYPES.get(node.get("type", ""), (object,))
    if isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool) or object in wanted):
        return ""
    return f"must be of type {'integer or string' if mixed else node['type']}: {value!r}"
