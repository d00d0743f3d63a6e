"""The OpenAPI documents, made from the table of kinds and the schemas. Pure."""

from __future__ import annotations

import hashlib
import json
import re

from labkit.local.api.kinds import ALL_VERBS, Kind
from labkit.local.api.schemas import REFS, VERSION, Node, definitions, node_of
from labkit.local.objects import Obj

INFO: Obj = {"title": "labkit embedded engine", "version": f"v{VERSION}"}
V2_PROTOBUF = b"\x0a\x032.0"
"""A document without schemas in protobuf (field 1, swagger, is "2.0"), the form that kubectl asks for where it knows no
version 3: it then leaves all checking to the server."""
_REF = re.compile(re.escape(REFS) + r'([^"]+)')
_QUERY = ("dryRun", "fieldManager", "fieldValidation", "force", "labelSelector", "fieldSelector", "watch")
_METHODS = {"get": "get", "list": "get", "create": "post", "update": "put", "patch": "patch", "delete": "delete"}

Kinds = tuple[Kind, ...]


def prefix(kind: Kind) -> str:
    """``api/v1`` or ``apis/GROUP/VERSION``."""
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"


def v3_index(kinds: Kinds) -> Obj:
    """``/openapi/v3``: one document for each group and version, named with a hash of what is in it."""
    found = {name: digest(json.dumps(v3(kinds, name)).encode()) for name in sorted({prefix(kind) for kind in kinds})}
    return {"paths": {name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={value}"} for name, value in found.items()}}


def v3(kinds: Kinds, name: str) -> Obj | None:
    """The document of one group and version: schemas, and the paths with what can be asked of them."""
    chosen = tuple(kind for kind in kinds if prefix(kind) == name)
    if not chosen:
        return None
    return {"openapi": "3.0.0", "info": INFO, "paths": _paths(chosen), "components": {"schemas": _schemas(chosen)}}


def v2(kinds: Kinds) -> Obj:
    """``/openapi/v2``: one document for all."""
    schemas = json.loads(json.dumps(_schemas(kinds)).replace(REFS, "#/definitions/"))
    return {"swagger": "2.0", "info": INFO, "paths": _paths(kinds), "definitions": schemas}


def digest(body: bytes) -> str:
    """A short name for a document's content."""
    return hashlib.sha256(body).hexdigest().upper()


def _schemas(kinds: Kinds) -> dict[str, Node]:
    """The kinds' schemas and all that they refer to, by name."""
    named = {name: node for kind in kinds for name, node in [_named(kind)]}
    todo = list(named.values())
    while todo:
        for name in set(_REF.findall(json.dumps(todo.pop()))) - named.keys():
            named[name] = definitions()[name]
            todo.append(named[name])
    return named


def _named(kind: Kind) -> tuple[str, Node]:
    node = node_of(kind)
    if kind.fields is None:
        return next(name for name, known in definitions().items() if known is node), node
    return f"{'.'.join(reversed(kind.group.split('.')))}.{kind.version}.{kind.kind}", node


def _paths(kinds: Kinds) -> Obj:
    """The paths by which kubectl finds a resource's kind, and whether its fields are checked by the server."""
    paths: dict[str, Obj] = {}
    for kind in kinds:
        space = "namespaces/{namespace}/" if kind.namespaced else ""
        whole = f"/{prefix(kind)}/{space}{kind.plural}"
        for verb in (verb for verb in ALL_VERBS if verb in kind.verbs and verb in _METHODS):
            path = whole if verb in ("list", "create") else whole + "/{name}"
            paths.setdefault(path, {})[_METHODS[verb]] = {
                "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in _QUERY],
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-action": verb,
                "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
            }
    return paths
