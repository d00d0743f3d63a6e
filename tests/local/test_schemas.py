"""Schemas: what clients are told of the fields of each kind, and what becomes of fields that are wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from labkit.local.api.checking import check
from labkit.local.api.schemas import node_of, resolve
from labkit.local.table import KINDS
from tests.support.engine import EngineProcess

BY_KEY = {kind.key: kind for kind in KINDS}
POLICY = "networkpolicies.networking.k8s.io"
EMPTY = {"spec": {"domain": {"devices": {}}}}


def nodes(node: dict[str, Any], seen: set[str]) -> list[dict[str, Any]]:
    """A node and all below it, each definition once."""
    if "$ref" in node:
        if node["$ref"] in seen:
            return []
        seen.add(node["$ref"])
    node = resolve(node)
    below = [
        *node.get("properties", {}).values(),
        *(node[key] for key in ("items", "additionalProperties") if key in node),
    ]
    return [node, *(found for child in below for found in nodes(child, seen))]


@pytest.mark.parametrize("key", BY_KEY)
def test_every_kind_has_a_schema_that_leads_nowhere_wrong(key: str) -> None:
    node = node_of(BY_KEY[key])
    assert {"apiVersion", "kind", "metadata"} <= node["properties"].keys()
    for found in nodes(node, set()):
        assert isinstance(found.get("type", ""), str)
        assert ("items" in found) == (found.get("type") == "array")


def test_kubernetes_own_merge_keys_are_in_the_schema() -> None:
    spec = resolve(resolve(node_of(BY_KEY["services"]))["properties"]["spec"])
    ports = spec["properties"]["ports"]
    assert ports["x-kubernetes-patch-merge-key"] == "port"
    assert ports["x-kubernetes-list-map-keys"] == ["port", "protocol"]


@pytest.mark.parametrize(
    ("key", "obj", "part", "path"),
    [
        ("services", {"spec": {"portz": []}}, "unknown", "spec.portz"),
        ("services", {"spec": {"ports": [{"port": 80, "prt": 1}]}}, "unknown", "spec.ports[0].prt"),
        ("services", {"spec": {"ports": [{"name": "a"}]}}, "causes", "spec.ports[0].port"),
        ("services", {"spec": {"ports": [{"port": 80, "nodePort": 30000}]}}, "causes", "spec.ports[0].nodePort"),
        ("virtualmachines.kubevirt.io", {"spec": {"preference": {}, "template": EMPTY}}, "causes", "spec.preference"),
        ("secrets", {"metadata": {"labels": {"a": 1}}}, "wrong", "metadata.labels.a: must be of type string: 1"),
        (
            "services",
            {"spec": {"ports": [{"port": True}]}},
            "wrong",
            "spec.ports[0].port: must be of type integer: True",
        ),
        ("services", {"spec": {"ports": [{"port": 1, "targetPort": 1.5}]}}, "wrong", "integer or string: 1.5"),
        ("resourcequotas", {"spec": {"hard": {"pods": "many"}}}, "wrong", "'many' is not a quantity"),
    ],
)
def test_a_fault_is_found_with_its_path(key: str, obj: dict, part: str, path: str) -> None:
    _, found = check(node_of(BY_KEY[key]), obj, BY_KEY[key].refused)
    assert path in str(getattr(found, part)[0])
    others = {"unknown", "causes", "wrong"} - {part}
    assert not any(getattr(found, other) for other in others)


def test_what_is_not_known_is_left_out_and_all_else_is_kept() -> None:
    sent = {
        "spec": {
            "clusterIP": "None",
            "x": 1,
            "ports": [{"port": 80, "targetPort": "http", "y": 2}],
            "selector": {"a": "b"},
        }
    }
    kept, _ = check(node_of(BY_KEY["services"]), sent)
    assert kept == {
        "spec": {"clusterIP": "None", "ports": [{"port": 80, "targetPort": "http"}], "selector": {"a": "b"}}
    }


def test_a_document_of_schemas_is_named_by_its_content_and_sent_once(engine: EngineProcess) -> None:
    index = json.loads(engine.request("GET", "/openapi/v3")[1])["paths"]
    assert {"api/v1", "apis/kubevirt.io/v1", "apis/networking.k8s.io/v1"} <= index.keys()
    path = index["api/v1"]["serverRelativeURL"]
    code, body = engine.request("GET", path)
    assert code == 200
    assert "io.k8s.api.core.v1.Secret" in json.loads(body)["components"]["schemas"]
    tag = path.partition("hash=")[2]
    assert engine.request("GET", path, **{"If-None-Match": f'"{tag}"'})[0] == 304


def test_health_is_told_in_one_word_or_more(engine: EngineProcess) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        assert engine.request("GET", path) == (200, b"ok")
        assert engine.request("GET", f"{path}?verbose")[1].decode().endswith(f"{path[1:]} check passed\n")
