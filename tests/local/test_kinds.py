"""The rules of the core kinds: what is refused, with which words, and how kubectl shows what is stored."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from labkit.local.api.checking import check
from labkit.local.api.kinds import Admission
from labkit.local.api.schemas import node_of
from labkit.local.api.status import ApiError
from labkit.local.table import KINDS
from tests.local.conftest import post
from tests.support.engine import EngineProcess, headless_service

BY_KEY = {kind.key: kind for kind in KINDS}
POLICY = "networkpolicies.networking.k8s.io"


def faults(key: str, new: dict[str, Any], old: dict[str, Any] | None = None) -> list[tuple[str, str, str]]:
    """Field, reason and message of everything that is found wrong with an object that can be read."""
    kind = BY_KEY[key]
    about = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "x"}}
    sent, found = check(node_of(kind), about | new, kind.refused)
    assert not found.wrong
    causes = [{"field": c.field, "reason": c.reason, "message": c.message} for c in found.causes]
    try:
        if not causes:
            kind.admit(Admission(sent, old and about | old, lambda *_: None))
    except ApiError as error:
        causes = error.details["causes"]
    return [(cause["field"], cause["reason"], cause["message"]) for cause in causes]


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("type_", "data", "wrong"),
    [
        ("kubernetes.io/tls", {"tls.crt": ""}, ["data[tls.key]"]),
        ("kubernetes.io/tls", {"tls.crt": "", "tls.key": ""}, []),
        ("kubernetes.io/ssh-auth", {}, ["data[ssh-privatekey]"]),
        ("kubernetes.io/basic-auth", {}, ["data[username]", "data[password]"]),
        ("kubernetes.io/basic-auth", {"password": ""}, []),
        ("kubernetes.io/dockerconfigjson", {}, ["data[.dockerconfigjson]"]),
        ("kubernetes.io/service-account-token", {}, ["type"]),
        ("example.org/own", {}, []),
        ("Opaque", {"a b": ""}, ["data[a b]"]),
    ],
)
def test_a_secret_holds_what_its_type_demands(type_: str, data: dict, wrong: list[str]) -> None:
    assert [field for field, _, _ in faults("secrets", {"type": type_, "data": data})] == wrong


@pytest.mark.parametrize("key", ["secrets", "configmaps"])
def test_what_is_immutable_stays_as_it_is(key: str) -> None:
    old = {"data": {"a": coded("b")}, "immutable": True, "type": "Opaque"}
    assert faults(key, dict(old), old) == []
    changed = faults(key, {**old, "data": {"a": coded("c")}}, old)
    assert changed == [("data", "FieldValueForbidden", "Forbidden: field is immutable when `immutable` is set")]
    assert faults(key, {**old, "immutable": False}, old)[0][0] == "immutable"


def test_a_config_map_has_text_and_bytes_under_different_keys() -> None:
    assert [field for field, _, _ in faults("configmaps", {"data": {"a": "x"}, "binaryData": {"a": "AA=="}})] == [
        "data[a]"
    ]
    for key, part in (("configmaps", "binaryData"), ("secrets", "data")):
        assert "a" in check(node_of(BY_KEY[key]), {part: {"a": "?"}})[1].wrong[0]


@pytest.mark.parametrize(
    ("ports", "wrong"),
    [
        ([{"port": 0, "targetPort": 70000}], ["spec.ports[0].port", "spec.ports[0].targetPort"]),
        ([{"port": 80, "targetPort": "Http!"}], ["spec.ports[0].targetPort"]),
        ([{"port": 80, "protocol": "ICMP"}], ["spec.ports[0].protocol"]),
        ([{"port": 80}, {"port": 81}], ["spec.ports[0].name", "spec.ports[1].name"]),
        ([{"port": 80, "name": "a"}, {"port": 81, "name": "a"}], ["spec.ports[1].name"]),
        ([{"port": 80, "name": "a"}, {"port": 80, "name": "b"}], ["spec.ports[1]"]),
        ([{"port": 53, "name": "a"}, {"port": 53, "name": "b", "protocol": "UDP"}], []),
    ],
)
def test_a_services_ports_make_sense(ports: list[dict], wrong: list[str]) -> None:
    assert [field for field, _, _ in faults("services", {"spec": {"clusterIP": "None", "ports": ports}})] == wrong


@pytest.mark.parametrize(
    ("spec", "wrong"),
    [
        ({"policyTypes": ["Inward"]}, ["spec.policyTypes[0]"]),
        ({"ingress": [{"from": [{}]}]}, ["spec.ingress[0].from[0]"]),
        ({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}]}, ["spec.ingress[0].from[0].ipBlock.cidr"]),
        ({"ingress": [{"from": [{"ipBlock": {"cidr": "10.0.0.1"}}]}]}, ["spec.ingress[0].from[0].ipBlock.cidr"]),
        (
            {
                "ingress": [
                    {"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16", "10.0.0.0/8", "x"]}}]}
                ]
            },
            [f"spec.ingress[0].from[0].ipBlock.except[{n}]" for n in range(3)],
        ),
        (
            {"egress": [{"ports": [{"port": 0}, {"port": 90, "endPort": 80}, {"port": "web", "endPort": 80}]}]},
            ["spec.egress[0].ports[0].port", "spec.egress[0].ports[1].endPort", "spec.egress[0].ports[2].endPort"],
        ),
        (
            {"ingress": [{"from": [{"podSelector": {}, "ipBlock": {"cidr": "10.0.0.0/8"}}]}], "policyTypes": [""]},
            ["spec.policyTypes[0]", "spec.ingress[0].from[0].ipBlock"],
        ),
        (
            {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In"}, {"key": "a", "operator": "Is"}]}},
            ["spec.podSelector.matchExpressions[0].values", "spec.podSelector.matchExpressions[1].operator"],
        ),
    ],
)
def test_a_faulty_network_policy_is_refused_with_all_its_faults(spec: dict, wrong: list[str]) -> None:
    found = faults(POLICY, {"spec": {"podSelector": {}, **spec}})
    assert sorted(field for field, _, _ in found) == sorted(wrong)


def test_a_limit_range_whose_bounds_cross_is_refused_and_defaults_follow_from_bounds() -> None:
    crossed = {"spec": {"limits": [{"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}}]}}
    assert "spec.limits[0].min[cpu]" in [field for field, _, _ in faults("limitranges", crossed)]
    item: dict[str, Any] = {"type": "Container", "max": {"cpu": "2"}}
    new = {"metadata": {"name": "x"}, "spec": {"limits": [item]}}
    BY_KEY["limitranges"].admit(Admission(new, None, lambda *_: None))
    assert (item["default"], item["defaultRequest"]) == ({"cpu": "2"}, {"cpu": "2"})


@pytest.mark.parametrize(
    ("plural", "obj", "header"),
    [
        ("configmaps", {"kind": "ConfigMap", "data": {"a": "b"}}, ["NAME", "DATA", "AGE"]),
        ("serviceaccounts", {"kind": "ServiceAccount"}, ["NAME", "SECRETS", "AGE"]),
        ("limitranges", {"kind": "LimitRange", "spec": {"limits": []}}, ["NAME", "CREATED", "AT"]),
        ("resourcequotas", {"kind": "ResourceQuota", "spec": {"hard": {}}}, ["NAME", "REQUEST", "LIMIT", "AGE"]),
        ("secrets", {"kind": "Secret"}, ["NAME", "TYPE", "DATA", "AGE"]),
    ],
)
def test_kubectl_lists_and_describes_a_kind(
    engine: EngineProcess, space: str, plural: str, obj: dict, header: list[str]
) -> None:
    made = {"apiVersion": "v1", "metadata": {"name": "one", "namespace": space}, **obj}
    assert "created" in engine.kubectl("apply", "-f", "-", stdin=json.dumps(made))
    table = engine.kubectl("get", plural, "-n", space).splitlines()
    assert table[0].split() == header
    assert "one" in [row.split()[0] for row in table[1:]]
    assert engine.kubectl("describe", plural, "one", "-n", space).startswith("Name:")


def test_numbers_in_a_table_are_numbers(engine: EngineProcess, space: str) -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    table = json.loads(engine.request("GET", f"/api/v1/namespaces/{space}/configmaps", Accept=accept)[1])
    assert {c["name"]: c["type"] for c in table["columnDefinitions"]}["Data"] == "integer"


def test_kubectl_get_all_shows_services_and_machines(engine: EngineProcess, space: str) -> None:
    post(engine, space, headless_service("web", space))
    assert "service/web" in engine.kubectl("get", "all", "-n", space, "-o", "wide")
