"""What is served: the documents by which clients find groups, versions and kinds, made from the table. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from labkit.local.api import openapi, schemas
from labkit.local.api.kinds import STATUS_VERBS, Kind
from labkit.local.objects import Obj

VERSION: Obj = {
    "major": schemas.VERSION.split(".")[0],
    "minor": schemas.VERSION.split(".")[1],
    "gitVersion": f"v{schemas.VERSION}.0+labkit",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "linux/amd64",
}
_PATHS = ["/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
SUBRESOURCES = "subresources.kubevirt.io"
SUBRESOURCE_VERSIONS = ("v1", "v1alpha3")


class Discovery:
    """The documents; ``subresources`` are those of KubeVirt (``virtualmachineinstances/console`` …)."""

    def __init__(self, kinds: Iterable[Kind], subresources: Iterable[str]) -> None:
        self._kinds = tuple(kinds)
        self._subresources = tuple(subresources)
        self._groups: dict[str, list[str]] = {"": [], SUBRESOURCES: list(SUBRESOURCE_VERSIONS)}
        for kind in self._kinds:
            found = self._groups.setdefault(kind.group, [])
            found += [kind.version] if kind.version not in found else []
        self._encoded: dict[str, bytes] = {}

    def encoded(self, path: str) -> bytes | None:
        """The document at a path as JSON, made once; or None."""
        if path not in self._encoded:
            if (document := self.document(path)) is None:
                return None
            self._encoded[path] = json.dumps(document).encode()
        return self._encoded[path]

    def document(self, path: str) -> Obj | None:
        """The document at a path, or None. Discovery in one piece is not served: clients fall back to these."""
        match path.strip("/").split("/"):
            case [""]:
                return {"paths": _PATHS}
            case ["version"]:
                return VERSION
            case ["api"]:
                return {"kind": "APIVersions", "versions": self._groups[""], "serverAddressByClientCIDRs": []}
            case ["apis"]:
                groups = [self._group(name) for name in sorted(self._groups) if name]
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
            case ["apis", group] if group in self._groups:
                return {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}
            case ["api", version]:
                return self._resource_list("", version)
            case ["apis", group, version]:
                return self._resource_list(group, version)
            case ["openapi", "v2"]:
                return openapi.v2(self._kinds)
            case ["openapi", "v3"]:
                return openapi.v3_index(self._kinds)
            case ["openapi", "v3", *rest]:
                return openapi.v3(self._kinds, "/".join(rest))
        return None

    def _group(self, name: str) -> Obj:
        offered = [{"groupVersion": f"{name}/{version}", "version": version} for version in self._groups[name]]
        return {"name": name, "versions": offered, "preferredVersion": offered[0]}

    def _resource_list(self, group: str, version: str) -> Obj | None:
        if version not in self._groups.get(group, ()):
            return None
        group_version = f"{group}/{version}" if group else version
        resources = [entry for kind in self._kinds if kind.api_version == group_version for entry in _entries(kind)]
        if group == SUBRESOURCES:
            resources = [_entry(name, "", True, ()) for name in self._subresources]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}


def _entries(kind: Kind) -> list[Obj]:
    own = _entry(kind.plural, kind.kind, kind.namespaced, kind.verbs) | {"singularName": kind.singular}
    names = {"shortNames": kind.short_names, "categories": kind.categories}
    own |= {key: list(value) for key, value in names.items() if value}
    status = (("status", kind.kind, STATUS_VERBS),) if kind.status_route else ()
    below = (*status, *kind.subresources)
    return [own, *(_entry(f"{kind.plural}/{name}", shown, kind.namespaced, verbs) for name, shown, verbs in below)]


def _entry(name: str, kind: str, namespaced: bool, verbs: Iterable[str]) -> dict[str, Any]:
    return {"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": list(verbs)}
