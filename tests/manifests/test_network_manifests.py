"""A lab's NetworkPolicy, whole, and its Services."""

from typing import Any

import pytest

from labkit.manifests.network import network_policy, services
from labkit.manifests.site import Site
from labkit.templates import Image, Machine, Network, Service
from tests.manifests.objects import SCOPE, meta

OWN = {"podSelector": {}}
DNS_PORTS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
PRIVATE = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
]  # fmt: skip


def pods(namespace: str, label: str, value: str) -> dict[str, Any]:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {label: value}},
    }


RESOLVER = {"to": [pods("kube-system", "k8s-app", "kube-dns")], "ports": DNS_PORTS}


def egress(network: Network, **site: Any) -> list[dict[str, Any]]:
    """What is let out beside the lab's own traffic and the cluster's resolver."""
    rules: list[dict[str, Any]] = network_policy(SCOPE, network, Site(**site))["spec"]["egress"]
    assert rules[:2] == [{"to": [OWN]}, RESOLVER]
    return rules[2:]


def test_the_policy_lets_the_labs_own_traffic_names_and_portforward_through_and_nothing_else() -> None:
    assert network_policy(SCOPE, Network(), Site()) == {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": meta("labkit"),
        "spec": {
            "podSelector": {},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [OWN]}, {"from": [pods("kubevirt", "kubevirt.io", "virt-api")]}],
            "egress": [{"to": [OWN]}, RESOLVER],
        },
    }


def test_a_gateway_in_the_cluster_is_let_in_from_its_own_namespace() -> None:
    policy = network_policy(SCOPE, Network(), Site(kubevirt="virtualisation", gateway="labkit"))
    assert policy["spec"]["ingress"] == [
        {"from": [OWN]},
        {"from": [pods("virtualisation", "kubevirt.io", "virt-api")]},
        {"from": [pods("labkit", "app.kubernetes.io/name", "labkit-gateway")]},
    ]


def test_dns_is_port_53_to_anywhere() -> None:
    assert egress(Network("dns")) == [{"ports": DNS_PORTS}]


def test_internet_is_all_but_private_reserved_and_metadata_ranges_and_the_clusters_own() -> None:
    block = {"cidr": "0.0.0.0/0", "except": [*PRIVATE, "203.0.112.0/20"]}
    assert egress(Network("internet"), closed=("203.0.112.0/20",)) == [{"to": [{"ipBlock": block}]}]


@pytest.mark.parametrize(
    ("block", "holes"),
    [
        ("203.0.113.0/24", {}),
        ("10.0.0.0/8", {}),
        ("10.20.0.0/16", {}),
        ("168.0.0.0/6", {"except": ["169.254.0.0/16", "168.63.129.16/32"]}),
        ("2001:db8::/32", {}),
    ],
)
def test_a_range_is_let_out_but_for_what_is_closed_within_it(block: str, holes: dict[str, Any]) -> None:
    assert egress(Network("cidrs", (block,))) == [{"to": [{"ipBlock": {"cidr": block, **holes}}]}]


def headless(name: str, **more: Any) -> dict[str, Any]:
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"labkit/machine": "box"}, **more}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta(name), "spec": spec}


def test_headless_services_let_a_machines_names_resolve_ready_or_not() -> None:
    box = Machine("box", "vm", Image("bundled", "tiny"), 1, 2**28, services=(Service("www", 80),))
    assert services(SCOPE, box) == [headless("box"), headless("www", ports=[{"port": 80, "protocol": "TCP"}])]
