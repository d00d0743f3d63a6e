"""Discovery and schema documents, all made from the table of kinds. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from labkit.local.api.kinds import Kind
from labkit.local.objects import Obj

VERSION: Obj = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0+labkit",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
SUBRESOURCES = "subresources.kubevirt.io"
SUBRESOURCE_VERSIONS = ("v1", "v1alpha3")


def api_versions() -> Obj:
    """``/api``."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def group_list(kinds: Iterable[Kind]) -> Obj:
    """``/apis``."""
    groups = sorted({kind.group for kind in kinds if kind.group} | {SUBRESOURCES})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in groups]}


def group(kinds: Iterable[Kind], name: str) -> Obj | None:
    """``/apis/GROUP``, or None where it is not served."""
    if name != SUBRESOURCES and name not in {kind.group for kind in kinds}:
        return None
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name)}


def _group(name: str) -> Obj:
    versions = SUBRESOURCE_VERSIONS if name == SUBRESOURCES else ("v1",)
    offered = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": offered, "preferredVersion": offered[0]}


def resource_list(kinds: Iterable[Kind], group_name: str, version: str, subresources: Iterable[str]) -> Obj | None:
    """``/api/v1`` and ``/apis/GROUP/VERSION``; ``subresources`` are those of KubeVirt (``vmis/console`` …)."""
    group_version = f"{group_name}/{version}" if group_name else version
    resources: list[Obj] = []
    for kind in kinds:
        if (kind.group, kind.version) == (group_name, version):
            resources.append(_resource(kind))
            if kind.status_route:
                status = {"name": f"{kind.plural}/status", "singularName": "", "namespaced": kind.namespaced}
                resources.append(status | {"kind": kind.kind, "verbs": ["get", "patch", "update"]})
            for name, shown, verbs in kind.subresources:
                about = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
                resources.append(about | {"kind": shown, "verbs": list(verbs)})
    if group_name == SUBRESOURCES and version in SUBRESOURCE_VERSIONS:
        resources = [
            {"name": name, "singularName": "", "namespaced": True, "kind": "", "verbs": []} for name in subresources
        ]
    if not resources:
        return None
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _resource(kind: Kind) -> Obj:
    shown: dict[str, Any] = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        shown["shortNames"] = list(kind.short_names)
    if kind.categories:
        shown["categories"] = list(kind.categories)
    return shown


OPENAPI_V2: Obj = {
    "swagger": "2.0",
    "info": {"title": "labkit embedded engine", "version": VERSION["gitVersion"]},
    "paths": {},
    "definitions": {},
}
OPENAPI_V2_PROTOBUF = b"\x0a\x032.0"
"""The same, near enough, in protobuf: field 1 (swagger) is "2.0". Old kubectl reads no other form."""


def openapi_v3_index(kinds: Iterable[Kind]) -> Obj:
    """``/openapi/v3``: one document for each group and version."""
    prefixes = {_prefix(kind) for kind in kinds}
    return {"paths": {prefix: {"serverRelativeURL": f"/openapi/v3/{prefix}"} for prefix in sorted(prefixes)}}


def openapi_v3(kinds: Iterable[Kind], prefix: str) -> Obj | None:
    """One group's document: no schemas, only that its kinds check fields on the server (``fieldValidation``)."""
    parameter = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    paths = {}
    for kind in kinds:
        if _prefix(kind) != prefix or "patch" not in kind.verbs:
            continue
        space = "namespaces/{namespace}/" if kind.namespaced else ""
        about = {"group": kind.group, "version": kind.version, "kind": kind.kind}
        operation = {
            "parameters": [parameter],
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-group-version-kind": about,
        }
        paths[f"/{prefix}/{space}{kind.plural}/{{name}}"] = {"patch": operation}
    info = {"title": "labkit embedded engine", "version": VERSION["gitVersion"]}
    return {"openapi": "3.0.0", "info": info, "paths": paths} if paths else None


def _prefix(kind: Kind) -> str:
    return f"apis/{kind.api_version}" if kind.group else f"api/{kind.version}"
