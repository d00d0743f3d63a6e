"""NetworkPolicies and names without a network: what is accepted, what is compiled, who is found by which name."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.local.api.kinds import Admission
from labkit.local.api.status import ApiError
from labkit.local.network.filter import Filter, compile_filter
from labkit.local.network.names import Member, names
from labkit.local.network.policies import admit_network_policy
from tests.support.engine import headless_service

A = Member("pa", "02:00:00:00:00:0a", "10.77.0.10", {"app": "a"})
B = Member("pb", "02:00:00:00:00:0b", "10.77.0.11", {"app": "b"}, {("web", "TCP"): 8080})


def admitted(**spec: Any) -> dict[str, Any]:
    """A policy's spec with its defaults. Raises ApiError."""
    about = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}}
    policy = about | {"spec": spec}
    admit_network_policy(Admission(policy, None, lambda *_: None))
    return policy["spec"]


def compiled(*specs: dict[str, Any], own: tuple[str, ...] = ("192.0.2.10",)) -> Filter:
    """The filter of a network with the machines a and b."""
    return compile_filter("10.77.0.1", {"team": "red"}, [A, B], [admitted(**spec) for spec in specs], own)


def chain(found: Filter, name: str) -> list[str]:
    """The rules of one chain."""
    body = found.text.split(f"chain {name} {{")[1].split("}\n" if name[-1].isdigit() else "\n}")[0]
    return [line.strip() for line in body.strip().splitlines()]


REJECT = "reject with icmp admin-prohibited"


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ({"ports": [{"port": 5, "protocol": "SCTP"}]}, "spec.ingress[0].ports[0].protocol: the embedded engine knows"),
        ({"from": [{"podSelector": {}}] * 40, "ports": [{"port": 1}] * 40}, "up to 1000 pairs of a peer and a port"),
    ],
)
def test_a_rule_that_cannot_be_carried_out_is_refused_with_its_place(rule: dict, fault: str) -> None:
    with pytest.raises(ApiError) as refused:
        admitted(ingress=[rule])
    assert refused.value.code == 422
    assert fault in refused.value.message


def test_defaults_are_kubernetes_own() -> None:
    assert admitted() == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert admitted(egress=[{"ports": [{"port": 1}]}]) == {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "egress": [{"ports": [{"port": 1, "protocol": "TCP"}]}],
    }


@pytest.mark.parametrize(
    ("peer", "match"),
    [
        ({"podSelector": {}}, "ip saddr { 10.77.0.10, 10.77.0.11 } return"),
        ({"podSelector": {"matchLabels": {"app": "b"}}}, "ip saddr { 10.77.0.11 } return"),
        ({"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["b"]}]}},
         "ip saddr { 10.77.0.10 } return"),
        ({"podSelector": {"matchLabels": {"app": "x"}}}, None),
        ({"namespaceSelector": {"matchLabels": {"team": "red"}}}, "ip saddr { 10.77.0.10, 10.77.0.11 } return"),
        ({"namespaceSelector": {"matchLabels": {"team": "blue"}}}, None),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kubevirt"}}},
         "ip saddr { 10.77.0.1 } return"),
        ({"namespaceSelector": {}, "podSelector": {"matchLabels": {"kubevirt.io": "virt-api"}}},
         "ip saddr { 10.77.0.1 } return"),
        ({"ipBlock": {"cidr": "10.77.0.10/31"}}, "ip saddr 10.77.0.10/31 return"),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.1.2.0/24"]}},
         "ip saddr 10.0.0.0/8 ip saddr != { 10.1.0.0/16 } return"),
    ],
)  # fmt: skip
def test_peers_become_addresses(peer: dict, match: str | None) -> None:
    found = compiled({"ingress": [{"from": [peer]}]})
    assert chain(found, "Ingress0") == [*([match] if match else []), REJECT]


def test_a_machine_that_no_policy_selects_is_open_and_rules_add_up() -> None:
    one = {"podSelector": {"matchLabels": {"app": "a"}}, "policyTypes": ["Egress"]}
    found = compiled(one, one | {"egress": [{"ports": [{"port": 80, "endPort": 90}]}]}, one | {"egress": [{}]})
    assert chain(found, "Egress0") == ["tcp dport 80-90 return", "return", REJECT]
    assert chain(found, "Egress1") == chain(found, "Ingress0") == ["return", REJECT]


def test_a_ports_name_is_the_destinations() -> None:
    ports = [{"port": "web"}]
    found = compiled({"ingress": [{"ports": ports}], "egress": [{"to": [{"podSelector": {}}], "ports": ports}]})
    assert (chain(found, "Ingress0"), chain(found, "Egress1")) == (
        [REJECT],
        ["ip daddr { 10.77.0.10, 10.77.0.11 } ip daddr 10.77.0.11 tcp dport 8080 return", REJECT],
    )


@pytest.mark.parametrize(
    ("egress", "uplink", "names_too"),
    [
        ([], False, False),
        ([{"to": [{"podSelector": {}}]}], False, False),
        ([{"to": [{"namespaceSelector": {}}], "ports": [{"port": 53, "protocol": "UDP"}]}], False, False),
        ([{"ports": [{"port": 53, "protocol": "UDP"}]}], True, True),
        ([{"ports": [{"port": 53}]}], True, False),
        ([{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}], True, True),
        ([{"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}], True, False),
        ([{}], True, True),
    ],
)
def test_a_way_out_and_outside_names_are_there_only_where_a_rule_lets_them(
    egress: list, uplink: bool, names_too: bool
) -> None:
    found = compiled({"policyTypes": ["Egress"], "egress": egress})
    assert (found.uplink, "redirect to" in found.text) == (uplink, names_too)


def test_the_computers_addresses_and_every_local_range_are_never_reached() -> None:
    line = next(line for line in compiled(own=("198.51.100.4",)).text.splitlines() if "ip daddr !=" in line)
    for block in ("198.51.100.4/32", "127.0.0.0/8", "169.254.0.0/16", "10.77.0.0/16", "224.0.0.0/3", "0.0.0.0/8"):
        assert block in line


def pod(name: str, address: str, *, ready: bool = True, **spec: str) -> dict[str, Any]:
    """A running pod with the label app=web."""
    conditions = [{"type": "Ready", "status": str(ready)}]
    status = {"phase": "Running", "podIP": address, "conditions": conditions}
    return {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": spec, "status": status}


def test_a_headless_service_has_the_addresses_of_its_pods() -> None:
    service = headless_service("web", "lab")
    pods = [pod("a", "10.77.0.11", ready=False), pod("b", "10.77.0.10")]
    assert names([service], pods) == {"web.lab.svc.cluster.local": ["10.77.0.10", "10.77.0.11"]}
    del service["spec"]["publishNotReadyAddresses"]
    assert names([service], pods) == {"web.lab.svc.cluster.local": ["10.77.0.10"]}
    assert names([], pods) == {}


def test_a_hostname_with_a_subdomain_is_a_name_of_that_service() -> None:
    found = names([headless_service("web", "lab")], [pod("a", "10.77.0.10", hostname="one", subdomain="web")])
    assert found["one.web.lab.svc.cluster.local"] == ["10.77.0.10"]
