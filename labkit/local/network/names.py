"""Addresses and names of one namespace's network, worked out from the stored objects. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from labkit.local.api.selectors import matches_labels
from labkit.local.objects import Obj, deleting, get_path, has_condition, name_of, namespace_of

POOL = IPv4Network("10.77.0.0/16")
CLUSTER_DOMAIN = "cluster.local"
METADATA = ("100.100.100.200", "168.63.129.16", "192.0.0.192")
"""Clouds' metadata services that are not link-local."""
_FIRST_HOST = 10
_LAST_HOST = 250


class NetworkFull(Exception):
    """No address is left: one sentence."""


@dataclass(frozen=True)
class Member:
    """A machine: its port on the bridge, what is bound to that, its pod's labels and named ports (name, protocol)."""

    port: str
    mac: str
    address: str
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class SegmentRecord:
    """What must survive a restart: the network and each machine's address, by VMI uid.

    ``folder`` is that of its processes where it was another's before.
    """

    network: str
    addresses: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""

    def with_machine(self, uid: str, wanted: str = "") -> SegmentRecord:
        """The same with an address for one more machine, the ``wanted`` one if it can be. Raises NetworkFull."""
        if uid in self.addresses:
            return self
        base = IPv4Network(self.network).network_address
        taken = set(self.addresses.values())
        own = [wanted] if wanted and IPv4Address(wanted) in IPv4Network(self.network) else []
        for address in (*own, *(str(base + host) for host in range(_FIRST_HOST, _LAST_HOST + 1))):
            if address not in taken:
                return replace(self, addresses={**self.addresses, uid: address})
        raise NetworkFull(f"network {self.network} has no address left for another machine")

    def without_machine(self, uid: str) -> SegmentRecord:
        """The same without that machine."""
        return replace(self, addresses={key: value for key, value in self.addresses.items() if key != uid})


def free_network(taken: Iterable[str], wanted: str = "") -> str:
    """The first /24 of the pool that no namespace has, or that of a ``wanted`` address. Raises NetworkFull."""
    used = set(taken)
    own = [IPv4Network(f"{wanted}/24", strict=False)] if wanted else []
    for network in (*own, *POOL.subnets(new_prefix=24)):
        if str(network) not in used:
            return str(network)
    raise NetworkFull(f"all networks of {POOL} are in use: delete a namespace")


def gateway(network: str) -> str:
    """The address of the segment itself, where DHCP and DNS answer."""
    return str(IPv4Address(IPv4Network(network).network_address + 1))


def gateway_of(address: str) -> str:
    """The address of the segment in which an address is."""
    return gateway(str(IPv4Network(f"{address}/24", strict=False)))


def mac_of(uid: str) -> str:
    """A locally administered address of its own for a machine that names none."""
    digest = hashlib.sha256(uid.encode()).digest()
    return ":".join(["02", *(f"{byte:02x}" for byte in digest[:5])])


def search_domains(namespace: str) -> list[str]:
    """What Kubernetes puts in a pod's search list."""
    return [f"{namespace}.svc.{CLUSTER_DOMAIN}", f"svc.{CLUSTER_DOMAIN}", CLUSTER_DOMAIN]


def place(address: str, namespace: str) -> list[str]:
    """What DHCP tells a machine: its address with the bits of its network, the gateway, search domains."""
    own = IPv4Interface(f"{address}/24")
    return [str(own), gateway(str(own.network)), *search_domains(namespace)]


def names(services: Iterable[Obj], pods: Iterable[Obj]) -> dict[str, list[str]]:
    """Name to addresses, as cluster DNS has them: headless Services, and their pods by hostname and subdomain."""
    found: dict[str, set[str]] = {}
    running = [pod for pod in pods if get_path(pod, "status.podIP") and not deleting(pod)]
    running = [pod for pod in running if get_path(pod, "status.phase") == "Running"]
    for service in services:
        spec = service["spec"]
        if not spec.get("selector"):
            continue
        domain = f"{name_of(service)}.{namespace_of(service)}.svc.{CLUSTER_DOMAIN}"
        for pod in running:
            if not matches_labels({"matchLabels": spec["selector"]}, pod["metadata"].get("labels", {})):
                continue
            if not (spec.get("publishNotReadyAddresses") or has_condition(pod, "Ready")):
                continue
            address = pod["status"]["podIP"]
            found.setdefault(domain, set()).add(address)
            if pod["spec"].get("subdomain") == name_of(service) and pod["spec"].get("hostname"):
                found.setdefault(f"{pod['spec']['hostname']}.{domain}", set()).add(address)
    return {name: sorted(addresses) for name, addresses in sorted(found.items())}
