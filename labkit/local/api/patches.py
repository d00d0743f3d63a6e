"""PATCH: JSON patch (RFC 6902), JSON merge patch (RFC 7386), and Kubernetes' strategic merge patch. Pure.

The document given is never changed. The directives of a strategic merge patch are those of Kubernetes'
community/contributors/devel/sig-api-machinery/strategic-merge-patch.md; which lists are merged by which key is said
by the kind's schema.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import jsonpatch
from jsonpointer import JsonPointerException, resolve_pointer

from labkit.local.api.bodies import plain
from labkit.local.api.status import ApiError, bad_request, too_much, unsupported_media_type

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_ORDER, _DELETE, _RETAIN = "$setElementOrder/", "$deleteFromPrimitiveList/", "$retainKeys"
_LARGEST = 3 * 2**20

Node = dict[str, Any]
Resolve = Callable[[Node], Node]


def apply_patch(document: Any, patch: Any, media_type: str, node: Node | None, resolve: Resolve) -> Any:
    """The patched document. Without a ``node`` there is no strategic merge, as for custom kinds.

    ApiError 415 naming the accepted types for any other, 400 or 422 for a bad patch.
    """
    check_form(media_type, node)
    if media_type == JSON:
        return _operations(document, patch)
    if not isinstance(patch, dict):
        raise bad_request("a merge patch is an object")
    if media_type == MERGE or node is None:
        return _merge(document, patch)
    try:
        return _strategic(document, patch, node, resolve)
    except (TypeError, KeyError, AttributeError) as error:
        raise bad_request(f"the strategic merge patch does not fit the object: {error}") from error


def check_form(media_type: str, node: Node | None) -> None:
    """Refuse a form of patch that a kind does not take; a kind without a ``node`` takes no strategic merge."""
    accepted = (JSON, MERGE, *((STRATEGIC,) if node is not None else ()), APPLY)
    if media_type not in accepted:
        raise unsupported_media_type(media_type or "none given", accepted)


def _merge(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged


def _operations(document: Any, operations: Any) -> Any:
    if not isinstance(operations, list) or not all(isinstance(item, dict) for item in operations):
        raise bad_request("a JSON patch is a list of operations")
    document, copied = copy.deepcopy(document), 0
    for n, item in enumerate(operations, 1):
        try:
            if item.get("op") == "copy":
                # A copy can double a document, again and again.
                copied += len(json.dumps(resolve_pointer(document, item["from"])))
            if copied > _LARGEST:
                raise too_much(_LARGEST)
            document = jsonpatch.apply_patch(document, [item], in_place=True)
        except (
            jsonpatch.JsonPatchException,
            JsonPointerException,
            TypeError,
            LookupError,
            ValueError,
            RecursionError,
        ) as error:
            # The library's words would show the document, which may be a Secret.
            what = f"operation {n} ({item.get('op')} {item.get('path')}) cannot be carried out: {type(error).__name__}"
            raise unprocessable(what) from error
    try:
        return plain(document)
    except ValueError as error:
        raise unprocessable(str(error)) from error


def unprocessable(why: str) -> ApiError:
    """422 for a patch that cannot be carried out."""
    return ApiError(422, "Invalid", f"the server rejected our request due to an error in our request: {why}")


def _strategic(target: Any, patch: Node, node: Node, resolve: Resolve) -> Any:
    """A map of a strategic merge patch, on the map that is there (or on nothing)."""
    directive = patch.get("$patch", "merge")
    if directive not in ("merge", "replace", "delete"):
        raise bad_request(f"$patch: '{directive}' is not merge, replace or delete")
    if directive == "delete":
        return {}
    if directive == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    merged = dict(target) if isinstance(target, dict) else {}
    if _RETAIN in patch:
        merged = {key: value for key, value in merged.items() if key in patch[_RETAIN]}
    node = resolve(node)
    for key, value in patch.items():
        field = key.removeprefix(_DELETE).removeprefix(_ORDER)
        below = node.get("properties", {}).get(field) or node.get("additionalProperties") or {}
        strategies = below.get("x-kubernetes-patch-strategy", "").split(",")
        if key.startswith(_DELETE):
            merged[field] = [item for item in merged.get(field) or [] if item not in value]
        elif key.startswith(_ORDER):
            if field in merged and field not in patch and f"{_DELETE}{field}" not in patch:
                merged[field] = _ordered(merged[field], value, below)
        elif key in ("$patch", _RETAIN):
            continue
        elif value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _strategic(None if "replace" in strategies else merged.get(key), value, below, resolve)
        elif isinstance(value, list) and "merge" in strategies:
            was = merged.get(key) or []
            merged[key] = _ordered(_items(was, value, below, resolve), patch.get(_ORDER + key) or [], below)
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _items(target: list[Any], patch: list[Any], node: Node, resolve: Resolve) -> list[Any]:
    """A list that is merged: maps by their merge key, anything else as a set."""
    name = node.get("x-kubernetes-patch-merge-key")
    if name is None:
        return target + [item for n, item in enumerate(patch) if item not in target and item not in patch[:n]]
    changes = [item for item in patch if item != {"$patch": "replace"}]
    merged = list(target) if len(changes) == len(patch) else []
    for item in changes:
        if name not in item:
            raise bad_request(f"an item of a list that is merged lacks its key '{name}': {item}")
        place = next((n for n, found in enumerate(merged) if found.get(name) == item[name]), len(merged))
        if item.get("$patch") == "delete":
            del merged[place : place + 1]
        else:
            old = merged[place] if place < len(merged) else None
            merged[place : place + 1] = [_strategic(old, item, node["items"], resolve)]
    return merged


def _ordered(items: list[Any], order: list[Any], node: Node) -> list[Any]:
    """``items`` in the order given; those that it does not name keep their places."""
    name = node.get("x-kubernetes-patch-merge-key")

    def key(item: Any) -> Any:
        return item.get(name) if name else item

    wanted = [key(item) for item in order]
    named = iter(sorted((item for item in items if key(item) in wanted), key=lambda item: wanted.index(key(item))))
    return [next(named) if key(item) in wanted else item for item in items]
