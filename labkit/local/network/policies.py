"""NetworkPolicies: which are accepted, and what their rules say of a machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

from labkit.local.api.admission import refuse
from labkit.local.api.kinds import Admission
from labkit.local.api.selectors import matches_labels
from labkit.local.api.status import Cause
from labkit.local.network.names import Member
from labkit.local.objects import Obj

PEERS = {"Ingress": "from", "Egress": "to"}
_MOST_PAIRS = 1000
_KUBEVIRT = {"kubernetes.io/metadata.name": "kubevirt"}


class Policies:
    """The policies of one namespace (their specs), the namespace's labels and its machines.

    A peer in another namespace matches no machine, since none can be reached; but what ``portforward`` sends comes from
    virt-api's pod in the namespace kubevirt, as on a cluster: here from the network's gateway.
    """

    def __init__(self, gateway: str, labels: Mapping[str, str], members: Sequence[Member], specs: list[Obj]) -> None:
        self._virt_api = Member("", "", gateway, {"kubevirt.io": "virt-api"})
        self._labels = dict(labels)
        self._members = members
        self._specs = specs

    def rules(self, member: Member, direction: str) -> list[Obj]:
        """The rules of all policies that select a machine; one without limits where none does."""
        selecting = [
            spec
            for spec in self._specs
            if direction in spec["policyTypes"] and matches_labels(spec["podSelector"], dict(member.labels))
        ]
        return [rule for spec in selecting for rule in spec.get(direction.lower()) or []] if selecting else [{}]

    def selected(self, peer: Obj, direction: str) -> list[Member]:
        """The machines that a peer of a rule speaks of."""
        spaces, labels = peer.get("namespaceSelector"), peer.get("podSelector")
        inside = "ipBlock" not in peer and (spaces is None or matches_labels(spaces, self._labels))
        found = [member for member in self._members if inside and matches_labels(labels, dict(member.labels))]
        elsewhere = direction == "Ingress" and spaces is not None and matches_labels(spaces, _KUBEVIRT)
        return found + [self._virt_api] * (elsewhere and matches_labels(labels, dict(self._virt_api.labels)))


def reaches_outside(rule: Obj) -> bool:
    """Whether an egress rule lets anything out of the network."""
    return not rule.get("to") or any("ipBlock" in peer for peer in rule["to"])


def resolves_outside(rule: Obj) -> bool:
    """Whether it lets DNS out to anywhere: only then are names outside the lab looked up for a machine."""
    everywhere = not rule.get("to") or any(peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0" for peer in rule["to"])
    return everywhere and any(_covers_dns(port) for port in rule.get("ports") or [{}])


def _covers_dns(port: Obj) -> bool:
    first = port.get("port", 53)
    return port.get("protocol", "UDP") == "UDP" and isinstance(first, int) and first <= 53 <= port.get("endPort", first)


def network(text: str) -> IPv4Network | IPv6Network:
    """A CIDR. Raises ValueError."""
    if "/" not in text:
        raise ValueError(f"'{text}' is not a CIDR")
    return ip_network(text, strict=False)


def admit_network_policy(admission: Admission) -> None:
    """Kubernetes' defaults and rules. SCTP is refused: nothing here could be shown to honour it."""
    spec = admission.new.setdefault("spec", {})
    pairs = sum(_pairs(rule, peers) for way, peers in PEERS.items() for rule in spec.get(way.lower()) or [])
    if pairs > _MOST_PAIRS:
        why = f"Too many: the embedded engine carries out up to {_MOST_PAIRS} pairs of a peer and a port, not {pairs}"
        refuse(admission, [Cause("spec", why, "FieldValueTooMany")])
    spec.setdefault("podSelector", {})
    spec.setdefault("policyTypes", ["Ingress"] + ["Egress"] * (spec.get("egress") is not None))
    causes = []
    if set(spec["policyTypes"]) - PEERS.keys():
        causes.append(Cause("spec.policyTypes", "Unsupported value: supported values: Ingress, Egress"))
    for direction, peers in PEERS.items():
        for n, rule in enumerate(spec.get(direction.lower()) or []):
            for part, look in (("ports", _check_port), (peers, _check_peer)):
                for m, entry in enumerate(rule.get(part) or []):
                    try:
                        look(entry)
                    except ValueError as error:
                        causes.append(Cause(f"spec.{direction.lower()}[{n}].{part}[{m}]", f"Invalid value: {error}"))
    refuse(admission, causes)


def _pairs(rule: Obj, peers: str) -> int:
    """How much a rule asks for: each address block and exception, or selector, with each port."""
    places = sum(1 + len((peer.get("ipBlock") or {}).get("except") or ()) for peer in rule.get(peers) or [])
    return max(1, places) * max(1, len(rule.get("ports") or ()))


def _check_port(port: Obj) -> None:
    protocol, first, last = port.setdefault("protocol", "TCP"), port.get("port", 1), port.get("endPort")
    if protocol not in ("TCP", "UDP"):
        raise ValueError(f"the embedded engine knows the protocols TCP and UDP, not {protocol}")
    if isinstance(first, int) and not 0 < first < 65536:
        raise ValueError(f"port {first} is not between 1 and 65535")
    if last is not None and not ("port" in port and isinstance(first, int) and first <= last < 65536):
        raise ValueError(f"endPort {last} must be greater than or equal to a numeric port")


def _check_peer(peer: Obj) -> None:
    if not peer or ("ipBlock" in peer and len(peer) > 1):
        raise ValueError("must specify a peer: either an ipBlock, or selectors")
    if "ipBlock" in peer:
        whole = network(peer["ipBlock"].get("cidr", ""))
        for part in map(network, peer["ipBlock"].get("except") or []):
            if part.version != whole.version or part == whole or not part.subnet_of(whole):  # type: ignore[arg-type]
                raise ValueError(f"'{part}' in except must be a strict subset of cidr")
