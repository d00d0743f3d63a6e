"""Where no private network can be made: one machine runs, is reached as policies let, and reaches nothing."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from labkit.local.network.names import Member
from labkit.local.network.policies import Policies
from tests.local.conftest import Guest, answers, boot, post
from tests.support.engine import EngineProcess, machine, namespace, running_engine, seed, until
from tests.support.volumes import in_guest

VIRT_API = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kubevirt"}}}


def policy(**spec: Any) -> dict[str, Any]:
    """A NetworkPolicy for all machines."""
    about = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}}
    return about | {"spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], **spec}}


@pytest.fixture(scope="module")
def alone() -> Iterator[Guest]:
    """A machine that listens at 22 and 8080, under a policy that lets portforward in to 22 and 23 and nothing out."""
    with running_engine(network="plain") as engine:
        engine.request("POST", "/api/v1/namespaces", namespace("lab"))
        post(engine, "lab", policy(ingress=[{"from": [VIRT_API], "ports": [{"port": 22, "endPort": 23}]}]))
        yield boot(engine, "lab")


def refusal(engine: EngineProcess, port: int) -> str:
    """What portforward answers where nothing can be reached."""
    code, body = engine.request(
        "GET", f"/apis/subresources.kubevirt.io/v1/namespaces/lab/virtualmachineinstances/web/portforward/{port}"
    )
    assert code == 500
    return body.decode()


def test_the_machine_has_the_address_that_is_reported_and_a_console(alone: Guest) -> None:
    address = alone.engine.vmi("lab", "web")["status"]["interfaces"][0]["ipAddress"]
    assert f"inet {address}/24" in in_guest(alone.engine, "lab", "web", "ip -4 addr show dev eth0")
    with alone.engine.stream("lab", "web", "console") as stream:
        assert stream.recv(5)


def test_portforward_reaches_what_the_policy_lets_and_no_port_of_the_computer_stays_open(alone: Guest) -> None:
    assert answers(alone.engine, "lab")
    assert "connection refused" in refusal(alone.engine, 23)
    assert "No route to host" in refusal(alone.engine, 80)
    found = [p for p in psutil.process_iter(["cmdline"]) if str(alone.engine.runtime / "m") in str(p.info["cmdline"])]
    listening = [c.laddr for p in found for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert (len(found), listening) == (1, [])


def test_the_machine_reaches_nothing(alone: Guest) -> None:
    asked = threading.Event()

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()

    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.connect(("192.0.2.1", 9))
        own = probe.getsockname()[0]
    with http.server.ThreadingHTTPServer(("0.0.0.0", 0), Site) as site:  # noqa: S104 - to be reachable, were it let
        threading.Thread(target=site.serve_forever, daemon=True).start()
        for address in ("10.77.0.1", own):
            line = f"wget -q -T 2 -O /dev/null http://{address}:{site.server_port}/ && echo open || echo closed"
            assert in_guest(alone.engine, "lab", "web", line).strip() == "closed"
        site.shutdown()
    assert not asked.is_set()


def test_it_is_reached_again_after_the_engine_was_killed(alone: Guest) -> None:
    alone.engine.kill()
    alone.engine.start()
    until(lambda: answers(alone.engine, "lab"))
    assert "No route to host" in refusal(alone.engine, 80)


def test_a_second_machine_fails_with_the_reason(alone: Guest) -> None:
    post(alone.engine, "lab", machine("second", "lab", strategy="Once"))
    until(lambda: alone.engine.phase("lab", "second") == "Failed")
    found = alone.engine.vmi("lab", "second")["status"]["conditions"]
    assert any("a namespace can have one machine" in item.get("message", "") for item in found)
    assert alone.engine.phase("lab", "web") == "Running"


def test_a_pod_of_containers_waits_and_says_why(alone: Guest) -> None:
    engine = alone.engine
    engine.request("POST", "/api/v1/namespaces", namespace("pods"))
    container = {"name": "c", "image": "none"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [container]}}
    post(engine, "pods", pod)
    until(lambda: "containers cannot be run" in engine.kubectl("get", "events", "-n", "pods"))
    assert not list(engine.runtime.glob("m*/hold"))
    engine.kubectl("delete", "pod", "p", "-n", "pods", "--timeout=20s")


@pytest.mark.parametrize(("egress", "phase"), [([{}], "Failed"), (None, "Running")])
def test_a_machine_that_is_to_reach_outside_fails_and_one_without_policies_is_closed(
    alone: Guest, egress: list | None, phase: str
) -> None:
    engine, space = alone.engine, f"t-{phase.lower()}"
    engine.request("POST", "/api/v1/namespaces", namespace(space))
    allowed = [policy(egress=egress)] if egress else []
    post(engine, space, seed(space), *allowed, machine("web", space, strategy="Once"))
    until(lambda: engine.phase(space, "web") == phase)
    why = str(engine.vmi(space, "web")["status"]["conditions"]) + engine.kubectl("get", "events", "-n", space)
    assert "nothing outside is reached" in why
    engine.kubectl("delete", "vm", "web", "-n", space)


A = Member("pa", "", "10.77.0.10", {}, {("web", "TCP"): 8080})


@pytest.mark.parametrize(
    ("rules", "port", "let"),
    [
        ([], 80, False),
        ([{}], 80, True),
        ([{"from": [VIRT_API]}], 80, True),
        ([{"from": [{"podSelector": {}}]}], 80, False),
        ([{"from": [{"ipBlock": {"cidr": "10.77.0.0/24"}}]}], 80, True),
        ([{"from": [{"ipBlock": {"cidr": "10.77.0.0/24", "except": ["10.77.0.0/30"]}}]}], 80, False),
        ([{"ports": [{"protocol": "TCP", "port": "web"}]}], 8080, True),
        ([{"ports": [{"protocol": "TCP", "port": "other"}]}], 8080, False),
        ([{"ports": [{"protocol": "UDP"}, {"protocol": "TCP", "port": 1, "endPort": 79}]}], 80, False),
    ],
)
def test_what_portforward_sends_is_let_in_by_the_same_rules_as_on_a_network(rules: list, port: int, let: bool) -> None:
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": rules}
    assert Policies("10.77.0.1", {}, [A], [spec]).admits(A.address, port) is let
    assert Policies("10.77.0.1", {}, [A], []).admits(A.address, port)
