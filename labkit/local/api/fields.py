"""Which fields a kind has: unknown ones are found (and pruned), wrong types are refused. Pure.

A tree of fields is written as plain data: a dict of field names, ``{"*": tree}`` for a map with free keys,
``[tree]`` for a list, one of ``string integer boolean quantity object any`` for a leaf, and ``NOT_BUILT`` for a
field that the API has but this engine does not carry out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Tree = Any
NOT_BUILT = "not built"

METADATA: Tree = {
    "name": "string",
    "generateName": "string",
    "namespace": "string",
    "labels": {"*": "string"},
    "annotations": {"*": "string"},
    "finalizers": ["string"],
    "ownerReferences": [
        {
            "apiVersion": "string",
            "kind": "string",
            "name": "string",
            "uid": "string",
            "controller": "boolean",
            "blockOwnerDeletion": "boolean",
        }
    ],
    "uid": "string",
    "resourceVersion": "string",
    "generation": "integer",
    "creationTimestamp": "any",
    "deletionTimestamp": "any",
    "deletionGracePeriodSeconds": "integer",
    "selfLink": "string",
    "managedFields": "any",
}
SELECTOR: Tree = {
    "matchLabels": {"*": "string"},
    "matchExpressions": [{"key": "string", "operator": "string", "values": ["string"]}],
}

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "quantity": (str, int, float),
    "object": (dict,),
}


def not_built(*names: str) -> dict[str, Tree]:
    """Fields that exist in Kubernetes or KubeVirt and are refused here by name."""
    return dict.fromkeys(names, NOT_BUILT)


@dataclass
class Findings:
    """What a walk found: paths of unknown and of refused fields, and one sentence per wrong type."""

    unknown: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def check(tree: Tree, value: Any) -> tuple[Any, Findings]:
    """Compare an object with its tree: the object without unknown fields, and the findings."""
    findings = Findings()
    return _walk(tree, value, "", findings), findings


def _walk(tree: Tree, value: Any, path: str, findings: Findings) -> Any:
    if tree == NOT_BUILT:
        # Unset, false and empty mean the same as leaving the field out; an empty object often does not.
        if value not in (None, False, "", []):
            findings.refused.append(path)
        return value
    if value is None or tree == "any":
        return value
    if isinstance(tree, str):
        return _leaf(tree, value, path, findings)
    if isinstance(tree, list):
        if not isinstance(value, list):
            return _mistyped("array", value, path, findings)
        return [_walk(tree[0], item, f"{path}[{n}]", findings) for n, item in enumerate(value)]
    if not isinstance(value, dict):
        return _mistyped("object", value, path, findings)
    kept = {}
    for key, item in value.items():
        step = f"{path}.{key}" if path else key
        below = tree.get(key, tree.get("*"))
        if below is None:
            findings.unknown.append(step)
        else:
            kept[key] = _walk(below, item, step, findings)
    return kept


def _leaf(tree: str, value: Any, path: str, findings: Findings) -> Any:
    fits = isinstance(value, _TYPES[tree]) and (tree == "boolean" or not isinstance(value, bool))
    return value if fits else _mistyped(tree, value, path, findings)


def _mistyped(wanted: str, value: Any, path: str, findings: Findings) -> Any:
    findings.wrong.append(f"{path}: must be of type {wanted}: {value!r}")
    return value
