"""A lab's walls and names: one NetworkPolicy for all of its machines, and Services. Pure.

What a policy cannot close is told in docs/reference/manifests.md: traffic of the node itself (probes, exec), and names
of the outside asked of the cluster's own DNS.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network

from labkit.manifests import names
from labkit.manifests.scope import Object, Scope
from labkit.manifests.site import Site
from labkit.templates import Machine, Network

_NAMESPACE_NAME = "kubernetes.io/metadata.name"  # a label that Kubernetes sets on every namespace
_DNS_PORTS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
_EVERYWHERE = "0.0.0.0/0"
_CLOSED = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
    "168.63.129.16/32",  # Azure's metadata service, the only one outside of the ranges above
)  # fmt: skip
"""Where `internet` does not lead: private and shared ranges (pods, Services and nodes lie there), link-local and
metadata services, loopback, multicast and what is reserved (IANA's special-purpose registry)."""


def network_policy(scope: Scope, network: Network, site: Site) -> Object:
    """The lab's own traffic, names, KubeVirt's portforward (which comes from virt-api's pods), and what the template's
    `egress` lets out: else nothing."""
    own: Object = {"podSelector": {}}
    ingress = [{"from": [own]}, {"from": [_pods(site.kubevirt, {"kubevirt.io": "virt-api"})]}]
    if site.gateway:
        ingress.append({"from": [_pods(site.gateway, {"app.kubernetes.io/name": "labkit-gateway"})]})
    resolver = {"to": [_pods("kube-system", {"k8s-app": "kube-dns"})], "ports": _DNS_PORTS}
    spec = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": ingress,
        "egress": [{"to": [own]}, resolver, *_outside(network, site.closed)],
    }
    return scope.object("networking.k8s.io/v1", "NetworkPolicy", names.OBJECTS, spec=spec)


def _pods(namespace: str, labels: Mapping[str, str]) -> Object:
    return {
        "namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: namespace}},
        "podSelector": {"matchLabels": dict(labels)},
    }


def _outside(network: Network, closed: Iterable[str]) -> list[Object]:
    if network.egress == "none":
        return []
    if network.egress == "dns":
        return [{"ports": _DNS_PORTS}]
    blocks = [_EVERYWHERE] if network.egress == "internet" else network.cidrs
    return [{"to": [{"ipBlock": _block(block, [*_CLOSED, *closed])} for block in blocks]}]


def _block(block: str, closed: Iterable[str]) -> Object:
    """A range without what is closed in it. One that lies within a closed range was asked for by its own name."""
    whole = ip_network(block)
    holes = [part for part in map(ip_network, closed) if part != whole and _within(part, whole)]
    return {"cidr": block, **({"except": [str(hole) for hole in holes]} if holes else {})}


def _within(part: IPv4Network | IPv6Network, whole: IPv4Network | IPv6Network) -> bool:
    return part.version == whole.version and part.subnet_of(whole)  # type: ignore[arg-type]


def services(scope: Scope, machine: Machine) -> list[Object]:
    """Headless Services, so that a machine's name and its further names resolve everywhere in the lab, ready or not."""
    further = {
        service.name: {"ports": [{"port": service.port, "protocol": service.protocol}]} for service in machine.services
    }
    return [_service(scope, name, machine, more) for name, more in {machine.name: {}, **further}.items()]


def _service(scope: Scope, name: str, machine: Machine, more: Object) -> Object:
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {names.MACHINE: machine.name},
        **more,
    }
    return scope.object("v1", "Service", name, spec=spec)
