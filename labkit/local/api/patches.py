"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902). Pure: the document given is never changed."""

from __future__ import annotations

import copy
from typing import Any

from labkit.local.api.status import ApiError, bad_request, unsupported_media_type

MERGE = "application/merge-patch+json"
JSON = "application/json-patch+json"


def apply_patch(document: Any, patch: Any, media_type: str) -> Any:
    """The patched document; 415 naming the accepted types for any other, 400 or 422 for a bad patch."""
    if media_type == MERGE:
        if not isinstance(patch, dict):
            raise bad_request("a merge patch is an object")
        return _merge(document, patch)
    if media_type == JSON:
        if not isinstance(patch, list):
            raise bad_request("a JSON patch is a list of operations")
        return _operations(copy.deepcopy(document), patch)
    raise unsupported_media_type(media_type or "none given", (JSON, MERGE))


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


def _operations(document: Any, operations: list[Any]) -> Any:
    root = {"": document}
    for number, operation in enumerate(operations):
        try:
            _operate(root, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise ApiError(
                422, "Invalid", f"the server rejected our request: operation {number} {operation}: {error}"
            ) from error
    return root[""]


def _operate(root: dict[str, Any], operation: dict[str, Any]) -> None:
    verb, path = operation["op"], operation["path"]
    if verb in ("move", "copy"):
        value = copy.deepcopy(_read(root, operation["from"]))
        if verb == "move":
            _remove(root, operation["from"])
        _add(root, path, value)
    elif verb == "add":
        _add(root, path, operation["value"])
    elif verb == "remove":
        _remove(root, path)
    elif verb == "replace":
        _read(root, path)
        holder, key = _locate(root, path)
        holder[key] = operation["value"]
    elif verb == "test":
        if _read(root, path) != operation["value"]:
            raise ValueError(f"testing value {path} failed")
    else:
        raise ValueError(f"'{verb}' is not an operation")


def _locate(root: dict[str, Any], path: str) -> tuple[Any, Any]:
    """The container and the key that a pointer ends at."""
    if path and not path.startswith("/"):
        raise ValueError(f"'{path}' is not a JSON pointer")
    steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")]
    holder: Any = root
    for step in steps[:-1]:
        holder = holder[int(step) if isinstance(holder, list) else step]
    last = steps[-1]
    if isinstance(holder, list):
        return holder, len(holder) if last == "-" else int(last)
    return holder, last


def _read(root: dict[str, Any], path: str) -> Any:
    holder, key = _locate(root, path)
    return holder[key]


def _add(root: dict[str, Any], path: str, value: Any) -> None:
    holder, key = _locate(root, path)
    if isinstance(holder, list):
        if not 0 <= key <= len(holder):
            raise IndexError(f"{path} is outside the list")
        holder.insert(key, value)
    else:
        holder[key] = value


def _remove(root: dict[str, Any], path: str) -> None:
    holder, key = _locate(root, path)
    del holder[key]
