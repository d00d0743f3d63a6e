"""NetworkPolicies: which are accepted, and what their rules say of a machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network

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
        self.members = members
        self._specs = specs

    def selecting(self, member: Member, direction: str) -> list[Obj]:
        """The policies that select a machine."""
        asked = [spec for spec in self._specs if direction in spec["policyTypes"]]
        return [spec for spec in asked if matches_labels(spec["podSelector"], dict(member.labels))]

    def rules(self, member: Member, direction: str) -> list[Obj]:
        """The rules of all policies that select a machine; one without limits where none does."""
        selecting = self.selecting(member, direction)
        return [rule for spec in selecting for rule in spec.get(direction.lower()) or []] if selecting else [{}]

    def admits(self, address: str, port: int) -> bool:
        """Whether what ``portforward`` sends is let through to a TCP port of the machine with that address."""
        return any(
            self._speaks_of_virt_api(peer) and any(_covers(found, "TCP", port, member.ports) for found in ports)
            for member in self.members
            if member.address == address
            for rule in self.rules(member, "Ingress")
            for ports in [rule.get("ports") or [{}]]
            for peer in rule.get("from") or [{}]
        )

    def _speaks_of_virt_api(self, peer: Obj) -> bool:
        if block := peer.get("ipBlock"):
            own = ip_address(self._virt_api.address)
            return own in ip_network(block["cidr"]) and not any(own in ip_network(n) for n in block.get("except") or [])
        return not peer or self._virt_api in self.selected(peer, "Ingress")

    def selected(self, peer: Obj, direction: str) -> list[Member]:
        """The machines that a peer of a rule speaks of."""
        spaces, labels = peer.get("namespaceSelector"), peer.get("podSelector")
        inside = "ipBlock" not in peer and (spaces is None or matches_labels(spaces, self._labels))
        found = [member for member in self.members if inside and matches_labels(labels, dict(member.labels))]
        elsewhere = direction == "Ingress" and spaces is not None and matches_labels(spaces, _KUBEVIRT)
        return found + [self._virt_api] * (elsewhere and matches_labels(labels, dict(self._virt_api.labels)))


def reaches_outside(rule: Obj) -> bool:
    """Whether an egress rule lets anything out of the network."""
    return not rule.get("to") or any("ipBlock" in peer for peer in rule["to"])


def resolves_outside(rule: Obj) -> bool:
    """Whether it lets DNS out to anywhere: only then are names outside the lab looked up for a machine."""
    everywhere = not rule.get("to") or any(peer.get("ipBlock", {}).get("cidr") == "0.0.0.0/0" for peer in rule["to"])
    return everywhere and any(_covers(port, "UDP", 53, {}) for port in rule.get("ports") or [{}])


def _covers(port: Obj, protocol: str, number: int, named: Mapping[tuple[str, str], int]) -> bool:
    first = port.get("port", number)
    first = first if isinstance(first, int) else named.get((first, protocol), 0)
    return port.get("protocol", protocol) == protocol and number in range(first, port.get("endPort", first) + 1)


def admit_network_policy(admission: Admission) -> None:
    """Kubernetes' defaults, and what this engine does not carry out: too much, and SCTP."""
    spec, causes = admission.new.setdefault("spec", {}), []
    pairs = 0
    for way, peers in PEERS.items():
        for n, rule in enumerate(spec.get(way.lower()) or []):
            pairs += _pairs(rule, peers)
            for m, port in enumerate(rule.get("ports") or []):
                if port.setdefault("protocol", "TCP") == "SCTP":
                    at = f"spec.{way.lower()}[{n}].ports[{m}].protocol"
                    why = "the embedded engine knows the protocols TCP and UDP, not SCTP"
                    causes.append(Cause(at, why, "FieldValueNotSupported"))
    if pairs > _MOST_PAIRS:
        why = f"Too many: the embedded engine carries out up to {_MOST_PAIRS} pairs of a peer and a port, not {pairs}"
        causes.append(Cause("spec", why, "FieldValueTooMany"))
    refuse(admission, causes)
    spec.setdefault("podSelector", {})
    spec.setdefault("policyTypes", ["Ingress"] + ["Egress"] * (spec.get("egress") is not None))


def _pairs(rule: Obj, peers: str) -> int:
    """How much a rule asks for: each address block and exception, or selector, with each port."""
    places = sum(1 + len((peer.get("ipBlock") or {}).get("except") or ()) for peer in rule.get(peers) or [])
    return max(1, places) * max(1, len(rule.get("ports") or ()))
