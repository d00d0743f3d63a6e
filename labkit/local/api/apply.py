"""Server-side apply: who set which field, kept in ``metadata.managedFields``, and merging by it. Pure.

Forms and rules are those of Kubernetes' structured-merge-diff: a path is a tuple of steps ``f:NAME`` (a field),
``k:{"key":…}`` (an item of a list that is a map) and ``v:VALUE`` (an item of a list that is a set); ``fieldsV1`` is a
tree of such steps, in which ``.`` stands for the thing itself. What a list is, is said by the kind's schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from labkit.local.api.status import ApiError, bad_request
from labkit.local.objects import Obj

Node = dict[str, Any]
Resolve = Callable[[Node], Node]
Path = tuple[str, ...]
_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
_KEY_DEFAULTS = {"protocol": "TCP"}
"""Of the keys of lists that are maps; Kubernetes' published definitions leave defaults out."""


class Manager(NamedTuple):
    """Who sets fields, and how: ``operation`` is Apply or Update."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""


class _Claim(NamedTuple):
    paths: frozenset[Path]
    time: str


_Claims = dict[Manager, _Claim]


def tracked(old: Obj | None, new: Obj, manager: Manager, node: Node, resolve: Resolve, now: str) -> list[Obj]:
    """``managedFields`` after a create (``old`` is None) or an update by ``manager``."""
    claims = _claims(new["metadata"].get("managedFields", (old or {}).get("metadata", {}).get("managedFields")))
    before, after = _flat(old or {}, node, resolve), _flat(new, node, resolve)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    held = {who: claim.paths - changed for who, claim in claims.items()}
    held[manager] = (claims[manager].paths if manager in claims else frozenset()) | changed
    return _entries(claims, held, after, now)


def applied(live: Obj, config: Obj, manager: Manager, force: bool, node: Node, resolve: Resolve, now: str) -> Obj:
    """The live object (``{}`` for none) after an apply; ApiError 409 naming each field that another manager holds."""
    claims = _claims(live.get("metadata", {}).get("managedFields"))
    others = {who: claim.paths for who, claim in claims.items() if who != manager}
    wanted = frozenset(_flat(config, node, resolve))
    kept = _above(wanted.union(*others.values()))
    merged: Obj = json.loads(json.dumps(_merge(live, config, node, resolve)))
    # An item of a list before its parts: without its keys it would not be found.
    for path in sorted(claims[manager].paths - wanted if manager in claims else (), key=len):
        if path not in kept:
            _remove(merged, path)
    before, after = _flat(live, node, resolve), _flat(merged, node, resolve)
    changed = {path for path in wanted if path in before and before[path] != after.get(path)}
    conflicts = [(who, path) for who, paths in others.items() for path in sorted(paths & changed)]
    if conflicts and not force:
        raise _conflict(conflicts, claims)
    held = {who: paths - changed for who, paths in others.items()} | {manager: wanted}
    merged["metadata"]["managedFields"] = _entries(claims, held, after, now)
    return merged


def _flat(obj: Obj, node: Node, resolve: Resolve) -> dict[Path, Any]:
    """Everything in an object that can be held, by path; what identifies the object cannot."""
    found: dict[Path, Any] = {}

    def walk(value: Any, node: Node, path: Path) -> None:
        below = _children(value, node, resolve)
        if path and (below is None or path[-1].startswith("k:")):
            found[path] = value if below is None else None
        for step, item, under in below or ():
            walk(item, under, (*path, step))

    meta = {key: value for key, value in obj.get("metadata", {}).items() if key in _METADATA and value}
    walk({key: value for key, value in obj.items() if key not in ("apiVersion", "kind")} | {"metadata": meta}, node, ())
    found.pop(("f:metadata",), None)
    return found


def _children(value: Any, node: Node, resolve: Resolve) -> list[tuple[str, Any, Node]] | None:
    """The parts that can be held one by one, each with its step and schema; None for what is held as a whole."""
    node = resolve(node)
    if isinstance(value, dict) and value and node.get("x-kubernetes-map-type") != "atomic":
        rest = node.get("additionalProperties")
        known, other = node.get("properties", {}), rest if isinstance(rest, dict) else {}
        return [(f"f:{key}", item, known.get(key) or other) for key, item in value.items()]
    if isinstance(value, list) and value:
        if node.get("x-kubernetes-list-type") == "set":
            return [(f"v:{json.dumps(item)}", item, {}) for item in value]
        if node.get("x-kubernetes-list-type") == "map" and all(isinstance(item, dict) for item in value):
            names = sorted(node["x-kubernetes-list-map-keys"])
            steps = (f"k:{json.dumps(_keys(item, names), separators=(',', ':'))}" for item in value)
            return [(step, item, node["items"]) for step, item in zip(steps, value, strict=True)]
    return None


def _keys(item: Obj, names: Collection[str]) -> Obj:
    return {name: item.get(name, _KEY_DEFAULTS.get(name)) for name in names}


def _merge(live: Any, config: Any, node: Node, resolve: Resolve) -> Any:
    parts = _children(config, node, resolve)
    there = {step: item for step, item, _ in _children(live, node, resolve) or ()}
    if not config and there and isinstance(live, type(config)):
        return live
    if parts is None or not isinstance(live, type(config)):
        return config
    merged = there | {step: _merge(there.get(step), item, below, resolve) for step, item, below in parts}
    return {step[2:]: item for step, item in merged.items()} if isinstance(config, dict) else list(merged.values())


def _remove(holder: Any, path: Path) -> None:
    """Take away what is at a path, and what is empty then, in place."""
    form, text = path[0][:2], path[0][2:]
    places: list[Any]
    if form == "f:":
        places = [text] if isinstance(holder, dict) and text in holder else []
    elif not isinstance(holder, list):
        return
    elif form == "k:":
        keys = json.loads(text)
        places = [n for n, item in enumerate(holder) if isinstance(item, dict) and _keys(item, keys) == keys][:1]
    else:
        places = [n for n, item in enumerate(holder) if item == json.loads(text)][:1]
    for place in places:
        if path[1:]:
            _remove(holder[place], path[1:])
        if not path[1:] or holder[place] in ({}, []):
            del holder[place]


def _above(paths: Collection[Path]) -> set[Path]:
    """The paths, and every path that leads to one of them."""
    return {path[:depth] for path in paths for depth in range(1, len(path) + 1)}


def _claims(entries: Any) -> _Claims:
    try:
        return {
            Manager(entry["manager"], entry["operation"], entry["apiVersion"], entry.get("subresource", "")): _Claim(
                frozenset(_paths(entry.get("fieldsV1") or {})), entry.get("time") or ""
            )
            for entry in entries or ()
            if entry
        }
    except (TypeError, LookupError, ValueError, AttributeError) as error:
        raise bad_request(f"metadata.managedFields cannot be read: {error!r}") from error


def _paths(tree: Obj, path: Path = ()) -> Iterator[Path]:
    for step, below in tree.items():
        if step[:2] in ("k:", "v:"):
            json.loads(step[2:])
        if step == ".":
            yield path
        elif below:
            yield from _paths(below, (*path, step))
        else:
            yield (*path, step)


def _entries(old: _Claims, held: dict[Manager, frozenset[Path]], there: Collection[Path], now: str) -> list[Obj]:
    """``managedFields`` for what is held of what is there; a manager's time changes with what it holds."""
    entries = []
    for who, claimed in held.items():
        paths = claimed.intersection(there)
        tree: Obj = {}
        for path in sorted(paths):
            place = tree
            for depth, step in enumerate(path, 1):
                place = place.setdefault(step, {})
                if depth < len(path) and path[:depth] in paths:
                    place["."] = {}
        time = old[who].time if who in old and old[who].paths == paths else now
        entry: Obj = {"manager": who.name, "operation": who.operation, "apiVersion": who.api_version, "time": time}
        if who.subresource:
            entry["subresource"] = who.subresource
        if paths:
            entries.append(entry | {"fieldsType": "FieldsV1", "fieldsV1": tree})
    return entries


def _conflict(conflicts: list[tuple[Manager, Path]], claims: _Claims) -> ApiError:
    causes = []
    for who, path in conflicts:
        about = f' with subresource "{who.subresource}"' if who.subresource else ""
        about += f" using {who.api_version} at {claims[who].time}" if who.operation == "Update" else ""
        field = "".join(_shown(step) for step in path)
        about = f'conflict with "{who.name}"{about}'
        causes.append({"reason": "FieldManagerConflict", "message": about, "field": field})
    said = "; ".join(f"{cause['message']}: {cause['field']}" for cause in causes)
    count = f"{len(causes)} conflict{'s' if len(causes) > 1 else ''}"
    return ApiError(409, "Conflict", f"Apply failed with {count}: {said}", details={"causes": causes})


def _shown(step: str) -> str:
    if step.startswith("f:"):
        return f".{step[2:]}"
    if step.startswith("v:"):
        return f"[={step[2:]}]"
    return "[" + ",".join(f"{name}={json.dumps(value)}" for name, value in json.loads(step[2:]).items()) + "]"
