"""Schemas of kinds as OpenAPI v3 nodes (``type``, ``properties``, ``items``, ``$ref``, ``x-kubernetes-…``).

Kubernetes' own are read, once, from the package kubernetes-validate; it is not imported, since that takes seconds.
Kinds that Kubernetes does not define have a tree of fields, written as plain data. Pure but for that one file.

A tree is a dict of field names (``name!`` for one that must be there), ``{"*": tree}`` for a map with free keys,
``[tree]`` for a list, or a leaf: one of ``string integer boolean quantity object any``, ``a|b`` for one of several
words, ``~`` and a pattern for a string, ``1:64`` for an integer between bounds, the dotted name of one of Kubernetes'
own definitions, or ``NOT_BUILT`` for a field that the API has but this engine does not carry out.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from labkit.local.api.bounds import BOUNDS
from labkit.local.api.kinds import Kind, Tree

Node = dict[str, Any]

NOT_BUILT = "not built"
METADATA: Tree = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
VERSION = "1.36"
"""The version of Kubernetes whose definitions these are."""
REFS = "#/components/schemas/"
ANYTHING: Node = {"x-kubernetes-preserve-unknown-fields": True}
QUANTITY: Node = {"x-kubernetes-int-or-string": True, "format": "quantity"}
REFUSED: Node = {"description": "Not carried out by the embedded engine, which refuses it.", **ANYTHING}
_SERVED = (
    "io.k8s.api.authentication.v1.", "io.k8s.api.authorization.v1.", "io.k8s.api.coordination.v1.",
    "io.k8s.api.core.v1.", "io.k8s.api.networking.v1.", "io.k8s.api.rbac.v1.", "io.k8s.apimachinery.",
)  # fmt: skip
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"


def not_built(*names: str) -> dict[str, Tree]:
    """Fields that exist in Kubernetes or KubeVirt and are refused here by name."""
    return dict.fromkeys(names, NOT_BUILT)


@cache
def definitions() -> dict[str, Node]:
    """Kubernetes' own definitions by name, of the groups that are served."""
    path = f"kubernetes_validate/kubernetes-json-schema/v{VERSION}.0-local/_definitions.json"
    file = Path(str(distribution("kubernetes-validate").locate_file(path)))
    found = json.loads(file.read_text())["$defs"]
    nodes = {name: _converted(node) for name, node in found.items() if name.startswith(_SERVED)}
    for place, bound in BOUNDS.items():
        definition, _, name = place.removesuffix("[]").rpartition(".")
        node = nodes[f"io.k8s.{definition}"]["properties"][name]
        (node["items"] if place.endswith("[]") else node).update(bound)
    nodes[_QUANTITY] = {"description": "A number with a unit, such as 512Mi or 100m.", **QUANTITY}
    nodes[_INT_OR_STRING] = {"description": "A number or a name.", "x-kubernetes-int-or-string": True}
    return nodes


@cache
def node_of(kind: Kind) -> Node:
    """The schema of a kind's objects."""
    if kind.fields is None:
        return next(node for node in definitions().values() if _defines(node, kind))
    tree = {"apiVersion": "string", "kind": "string", "metadata": METADATA, "status": "any", **kind.fields}
    about = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    return {**_tree_node(tree), "x-kubernetes-group-version-kind": [about]}


def resolve(node: Node) -> Node:
    """The node itself, or what its ``$ref`` points at."""
    return definitions()[node["$ref"].removeprefix(REFS)] if "$ref" in node else node


def _defines(node: Node, kind: Kind) -> bool:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind} in node.get(
        "x-kubernetes-group-version-kind", []
    )


def _converted(node: Any) -> Any:
    """From that package's JSON schema (``type: [string, null]``, an ``enum`` of a single word) to OpenAPI."""
    if isinstance(node, list):
        return [_converted(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _converted(value) for key, value in node.items() if key != "enum" or not isinstance(value, list)}
    if isinstance(kept.get("type"), list):
        kept["type"] = kept["type"][0]
    if isinstance(kept.get("$ref"), str):
        kept["$ref"] = REFS + kept["$ref"].rpartition("/")[2]
    return kept


def _tree_node(tree: Tree) -> Node:
    if isinstance(tree, dict):
        if "*" in tree:
            return {"type": "object", "additionalProperties": _tree_node(tree["*"])}
        properties = {name.removesuffix("!"): _tree_node(below) for name, below in tree.items()}
        required = [name[:-1] for name in tree if name.endswith("!")]
        return {"type": "object", "properties": properties} | ({"required": required} if required else {})
    if isinstance(tree, list):
        return {"type": "array", "items": _tree_node(tree[0])}
    if tree.startswith("~"):
        return {"type": "string", "pattern": tree[1:]}
    if "|" in tree:
        return {"type": "string", "enum": [word for word in tree.split("|") if word]}
    if ":" in tree:
        least, most = tree.split(":")
        return {"type": "integer", "minimum": int(least), "maximum": int(most)}
    special = {"any": ANYTHING, NOT_BUILT: REFUSED, "quantity": QUANTITY}
    if tree in special:
        return special[tree]
    return {"$ref": REFS + tree} if "." in tree else {"type": tree}
