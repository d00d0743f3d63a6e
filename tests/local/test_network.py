"""What a machine reaches, and what it does not: real networks with a stand-in for the internet."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.segments import (
    OUTSIDE,
    Lab,
    World,
    hears,
    inside,
    listen,
    name_server,
    reaches,
    resolves,
    run,
    world,
)

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can build a network that stands for the internet")

PUBLIC, OTHER, PRIVATE, METADATA = OUTSIDE
HOST = "192.0.2.10"
EVERYONE: dict[str, Any] = {"podSelector": {}}
OWN: dict[str, Any] = {"podSelector": {}}
VIRT_API = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kubevirt"}}}
DNS_PORTS = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
PRIVATE_RANGES = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"]
CLUSTER_DNS = {
    "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
    "ports": DNS_PORTS,
}
EGRESS: dict[str, list[Any]] = {
    "none": [{"to": [OWN]}, CLUSTER_DNS],
    "dns": [{"to": [OWN]}, {"ports": DNS_PORTS}],
    "internet": [{"to": [OWN]}, {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": PRIVATE_RANGES}}]}],
    "cidr": [{"to": [OWN]}, {"to": [{"ipBlock": {"cidr": "203.0.113.0/24"}}]}],
}


def app(name: str) -> dict[str, Any]:
    """A selector of the machine of that name."""
    return {"podSelector": {"matchLabels": {"app": name}}}


def ingress(*rules: Any, **spec: Any) -> dict[str, Any]:
    """A policy's spec with these rules, for all machines unless it says otherwise."""
    return EVERYONE | {"policyTypes": ["Ingress"], "ingress": list(rules)} | spec


def egress(*rules: Any, **spec: Any) -> dict[str, Any]:
    """The same for what goes out."""
    return EVERYONE | {"policyTypes": ["Egress"], "egress": list(rules)} | spec


@pytest.fixture(scope="module")
def here() -> Iterator[World]:
    with world() as found:
        yield found


@pytest.fixture(scope="module")
def lab(here: World) -> Iterator[Lab]:
    """Machines a, b and c, each listening at 80, 81 and 90 (TCP) and, b, at 99 (UDP)."""
    found = here.lab("lab", "a", "c")
    found.plug("b", web=80)
    found.names = {"b.lab.svc.cluster.local": [found.machines["b"].address]}
    found.apply()
    sockets = [one for machine in found.machines.values() for one in listen(machine.pid, 22, 80, 81, 90)]
    yield found
    for one in sockets:
        one.close()


@pytest.fixture(scope="module")
def outside(here: World) -> Iterator[list[socket.socket]]:
    """Servers at 80 of the internet and of the computer itself."""
    sockets = [*listen(here.internet, 80), *listen(os.getpid(), 8080)]
    yield sockets
    for one in sockets:
        one.close()


def matrix(lab: Lab, port: int = 80) -> str:
    """Who reaches whom, as "ab ba": all pairs of different machines between which a connection can be made."""
    machines = lab.machines.items()
    pairs = [(n, one, m, other) for n, one in machines for m, other in machines if n != m]
    return " ".join(sorted(n + m for n, one, m, other in pairs if reaches(one.pid, other.address, port)))


ALL = "ab ac ba bc ca cb"


def test_without_a_policy_machines_hear_one_another(lab: Lab) -> None:
    lab.apply()
    assert matrix(lab) == ALL


@pytest.mark.parametrize(
    ("specs", "pairs"),
    [
        ([ingress()], ""),
        ([egress()], ""),
        ([ingress({"from": [OWN]})], ALL),
        ([ingress(**app("b"))], "ac bc ba ca"),
        ([egress(**app("b"))], "ab ac ca cb"),
        ([ingress({"from": [app("a")]}, **app("b"))], "ab ac ba bc ca"),
        ([ingress(), ingress({"from": [app("a")]}, **app("b"))], "ab"),
        ([egress(), egress({"to": [app("b")]}, **app("a"))], "ab"),
        ([ingress(), egress({"to": [OWN]})], ""),
        ([ingress({"from": [VIRT_API]})], ""),
        ([ingress({"from": [{"namespaceSelector": {}}]})], ALL),
        ([ingress({"from": [{"namespaceSelector": {}, **app("c")}]})], "ca cb"),
        ([ingress({})], ALL),
        ([ingress({"ports": [{"protocol": "TCP", "port": 81}]})], ""),
        ([ingress({"ports": [{"protocol": "TCP", "port": 79, "endPort": 80}]}, **app("b"))], ALL),
        ([ingress({"ports": [{"protocol": "UDP", "port": 80}]}, **app("b"))], "ac ba bc ca"),
        ([ingress({"ports": [{"protocol": "TCP", "port": "web"}]})], "ab cb"),
        ([egress({"ports": [{"protocol": "TCP", "port": "web"}]})], "ab cb"),
        ([egress({"ports": [{"protocol": "TCP"}]})], ALL),
        ([egress({"to": [{"ipBlock": {"cidr": "10.77.0.0/16", "except": ["10.77.0.11/32"]}}]})], "ab ba ca cb"),
        ([egress({"to": [{"ipBlock": {"cidr": "fd00::/8"}}]})], ""),
    ],
)
def test_policies_hold_between_machines(lab: Lab, specs: list, pairs: str) -> None:
    lab.apply(*specs)
    assert matrix(lab) == " ".join(sorted(pairs.split()))


def test_a_policy_for_ports_leaves_the_others_closed_and_udp_is_told_from_tcp(lab: Lab) -> None:
    lab.apply(ingress({"ports": [{"protocol": "TCP", "port": 81}, {"protocol": "UDP", "port": 99}]}))
    assert (matrix(lab, 80), matrix(lab, 81)) == ("", ALL)
    a, b = lab.machines["a"], lab.machines["b"]
    allowed, closed = listen(b.pid, 99, 98, kind=socket.SOCK_DGRAM)
    with allowed, closed:
        assert (hears(a.pid, b.address, allowed), hears(a.pid, b.address, closed)) == (True, False)


def test_a_policy_cuts_what_is_already_connected(lab: Lab) -> None:
    lab.apply()
    a, b = lab.machines["a"], lab.machines["b"]
    with listen(b.pid, 70)[0] as server, inside(a.pid), socket.create_connection((b.address, 70), 1) as client:
        accepted, _ = server.accept()
        with accepted:
            lab.apply(ingress())
            client.send(b"x")
            accepted.settimeout(0.5)
            with pytest.raises(TimeoutError):
                accepted.recv(1)


@pytest.mark.parametrize(("rule", "opened"), [(VIRT_API, True), (OWN, False)])
def test_portforward_comes_from_virt_api_and_probes_from_the_node(
    here: World, lab: Lab, rule: Any, opened: bool
) -> None:
    lab.apply(ingress({"from": [rule]}))
    address = lab.machines["a"].address
    here.wait(here.segments.dial("lab", address, 80, probe=True))[1].close()
    if opened:
        here.wait(here.segments.dial("lab", address, 80))[1].close()
        return
    with pytest.raises(Exception, match="No route to host"):
        here.wait(here.segments.dial("lab", address, 80))


def test_no_machine_can_take_anothers_address_or_card(lab: Lab) -> None:
    lab.apply()
    a, b, c = (lab.machines[name] for name in "abc")
    run("ip", "addr", "add", f"{c.address}/32", "dev", "eth0", pid=a.pid)
    assert not reaches(a.pid, b.address, 80, source=c.address)
    run("ip", "addr", "del", f"{c.address}/32", "dev", "eth0", pid=a.pid)
    run("ip", "link", "set", "eth0", "address", c.member.mac, pid=a.pid)
    assert not reaches(a.pid, b.address, 80)
    run("ip", "link", "set", "eth0", "address", a.member.mac, pid=a.pid)
    run("ip", "route", "replace", "default", "via", a.gateway, pid=a.pid)
    assert matrix(lab) == ALL


def test_from_lab_to_lab_there_is_nothing(here: World, lab: Lab) -> None:
    other = here.lab("other", "x")
    x, a = other.machines["x"], lab.machines["a"]
    with listen(x.pid, 80)[0]:
        assert not reaches(a.pid, x.address, 80)
        run("ip", "addr", "add", x.address.rsplit(".", 1)[0] + ".99/24", "dev", "eth0", pid=a.pid)
        assert not reaches(a.pid, x.address, 80, source=x.address.rsplit(".", 1)[0] + ".99")
        run("ip", "addr", "del", x.address.rsplit(".", 1)[0] + ".99/24", "dev", "eth0", pid=a.pid)
    other.names = {"x.other.svc.cluster.local": [x.address]}
    other.apply()
    assert resolves(x.pid, x.gateway, "x.other.svc.cluster.local") == [x.address]
    assert resolves(a.pid, a.gateway, "x.other.svc.cluster.local") == []
    assert not reaches(a.pid, x.gateway, 53)


REACHED = {
    "none": (False, False, False, False),
    "dns": (False, False, False, True),
    "internet": (True, True, False, True),
    "cidr": (False, True, False, False),
}


@pytest.mark.parametrize("mode", EGRESS)
def test_egress_is_what_the_policy_says(here: World, lab: Lab, outside: Any, mode: str) -> None:
    a = lab.machines["a"]
    for _ in ("first", "after the engine came back"):
        lab.apply(egress(*EGRESS[mode]), ingress({"from": [OWN]}))
        named = resolves(a.pid, a.gateway, "example.test") == [PUBLIC]
        assert (*(reaches(a.pid, to, 80) for to in (PUBLIC, OTHER, PRIVATE)), named) == REACHED[mode]
        assert resolves(a.pid, a.gateway, "b.lab.svc.cluster.local") == [lab.machines["b"].address]
        assert matrix(lab) == ALL
        here.restart()


@pytest.mark.parametrize("spec", [None, egress({}), egress({"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]})])
def test_host_metadata_and_the_way_out_itself_are_never_reached(lab: Lab, outside: Any, spec: Any) -> None:
    lab.apply(*([spec] if spec else []))
    a = lab.machines["a"]
    assert [reaches(a.pid, to, 80) for to in (PUBLIC, PRIVATE)] == [True, True]
    never = [(METADATA, 80), (HOST, 8080), ("127.0.0.1", 8080), ("0.0.0.1", 8080), ("169.254.77.2", 8080)]
    assert [reaches(a.pid, to, port) for to, port in never] == [False] * 5
    assert not reaches(a.pid, "169.254.77.3", 53)


def test_one_machine_may_go_out_and_look_names_up_while_another_may_not(lab: Lab, outside: Any) -> None:
    lab.apply(egress(**app("b")))
    a, b = lab.machines["a"], lab.machines["b"]
    assert [reaches(one.pid, PUBLIC, 80) for one in (a, b)] == [True, False]
    assert [resolves(one.pid, a.gateway, "example.test") for one in (a, b)] == [[PUBLIC], []]
    assert not reaches(b.pid, b.gateway, 1053)
    assert not reaches(b.pid, name_server(), 53)
