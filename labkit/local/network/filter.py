"""The nftables rules of one network, which carry out its NetworkPolicies. Pure.

Machines never hear one another directly: each frame goes to the network's holder, which passes packets on between its
bridge's ports (it answers ARP for every address, RFC 3069). So one place sees everything, with connections tracked,
and needs no kernel module for bridges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from ipaddress import IPv4Network, collapse_addresses, ip_network
from string import Template

from labkit.local.network.dnsmasq import BRIDGE, OPEN_PORT, UPLINK, UPLINK_DNS
from labkit.local.network.names import METADATA, POOL, Member
from labkit.local.network.policies import PEERS, Policies, reaches_outside, resolves_outside
from labkit.local.objects import Obj

PROBE_MARK = 1
"""On a connection that the engine itself makes, as a kubelet: no policy is asked."""
_NEVER = (
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", str(POOL),
    *METADATA,
)  # fmt: skip
_FRAME = Template(files(__package__).joinpath("filter.nft").read_text())


@dataclass(frozen=True)
class Filter:
    """A whole ruleset as ``nft -f`` reads it, whether it lets anything out of the network, what it was made from."""

    text: str
    uplink: bool
    policies: Policies


def compile_filter(
    gateway: str, labels: Mapping[str, str], members: Sequence[Member], specs: list[Obj], own: Iterable[str]
) -> Filter:
    """The filter of a network: its address, its namespace's labels, its machines and the policies' specs.

    ``own`` are the computer's addresses, which are never reached.
    """
    policies = Policies(gateway, labels, members, specs)
    leaving = {member.address: policies.rules(member, "Egress") for member in members}
    asking = [
        f"ip saddr {address} ip daddr {gateway} meta l4proto {{ tcp, udp }} th dport 53 redirect to :{OPEN_PORT}"
        for address, rules in leaving.items()
        if any(map(resolves_outside, rules))
    ]
    text = _FRAME.substitute(
        bridge=BRIDGE, uplink=UPLINK, uplink_dns=UPLINK_DNS, open_port=OPEN_PORT, probe=PROBE_MARK, gateway=gateway,
        never=_blocks([*_NEVER, *own]),
        ports="\n".join(line for member in members for line in _binding(member)),
        asking="\n".join(asking),
        verdicts="\n".join(line for direction in PEERS for line in _verdicts(policies, members, direction)),
    )  # fmt: skip
    return Filter(text, any(reaches_outside(rule) for rules in leaving.values() for rule in rules), policies)


def _binding(member: Member) -> list[str]:
    port = f'iifname "{member.port}" ether saddr {member.mac}'
    return [
        f"{port} ip saddr {member.address} accept",
        f"{port} arp saddr ether {member.mac} arp saddr ip {{ 0.0.0.0, {member.address} }} accept",
        f"{port} ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept",
    ]


def _verdicts(policies: Policies, members: Sequence[Member], direction: str) -> Iterator[str]:
    """The chain of a direction, and one for each machine, which returns where a rule lets through and else rejects."""
    ends = ["return", "reject with icmp admin-prohibited"]
    for number, member in enumerate(members):
        rules = policies.rules(member, direction)
        found = dict.fromkeys(
            f"{text}{ends[0]}" for rule in rules for text in _matches(policies, rule, direction, member)
        )
        yield "\n".join([f"chain {direction}{number} {{", *found, ends[1], "}"])
    field = "saddr" if direction == "Egress" else "daddr"
    choice = _set(f"{member.address} : jump {direction}{number}" for number, member in enumerate(members))
    yield f"chain {direction} {{\n" + (f"ip {field} vmap {choice}" if members else "") + "\n}"


def _matches(policies: Policies, rule: Obj, direction: str, member: Member) -> Iterator[str]:
    """What a rule lets through. A port's name is the destination's own."""
    for peer in rule.get(PEERS[direction]) or [{}]:
        others = policies.selected(peer, direction)
        for place in _places("ip saddr" if direction == "Ingress" else "ip daddr", peer, others):
            for port in rule.get("ports") or [{}]:
                if not isinstance(port.get("port"), str):
                    yield place + _ports(port)
                    continue
                for to in [member] if direction == "Ingress" else others:
                    if number := to.ports.get((port["port"], port["protocol"])):
                        yield f"{place}ip daddr {to.address} " + _ports({**port, "port": number})


def _places(field: str, peer: Obj, others: list[Member]) -> list[str]:
    """The peer's addresses as a match; none where nobody is meant."""
    if not peer:
        return [""]
    if "ipBlock" not in peer:
        return [f"{field} {_set(other.address for other in others)} "] if others else []
    block, but = ip_network(peer["ipBlock"]["cidr"]), peer["ipBlock"].get("except")
    if block.version == 6:
        return []  # No machine has such an address.
    return [f"{field} {block} " + (f"{field} != {_blocks(but)} " if but else "")]


def _ports(port: Obj) -> str:
    if not port:
        return ""
    protocol, first = port["protocol"].lower(), port.get("port")
    last = f"-{port['endPort']}" if "endPort" in port else ""
    return f"{protocol} dport {first}{last} " if first else f"meta l4proto {protocol} "


def _blocks(texts: Iterable[str]) -> str:
    """A set of networks; of overlapping ones, which nftables refuses, the wider."""
    return _set(map(str, collapse_addresses(IPv4Network(text, strict=False) for text in texts)))


def _set(values: Iterable[str]) -> str:
    return "{ " + ", ".join(values) + " }"
