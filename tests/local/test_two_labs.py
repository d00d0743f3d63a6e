"""Two labs with real machines: what one hears of the other in its own lab, and never of the other lab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import paramiko
import psutil
import pytest

from labkit.cluster.portforward import open_port
from tests.local.conftest import post
from tests.support.engine import EngineProcess, headless_service, machine, namespace, running_engine, seed, until

MACHINES = {"one": "red", "two": "red", "three": "blue"}


@dataclass(frozen=True)
class Labs:
    """The engine, and the key that opens every machine."""

    engine: EngineProcess
    key: paramiko.ECDSAKey

    def run(self, name: str, command: str) -> str:
        """What a command in a machine prints, and `ok` where it succeeded."""
        api = self.engine.api()
        stream = open_port(api, MACHINES[name], name, 22, 10)
        with closing(paramiko.Transport(stream)) as transport:  # type: ignore[arg-type]
            transport.connect(username="root", pkey=self.key)
            channel = transport.open_session(timeout=10)
            channel.settimeout(20)
            channel.exec_command(f"({command}) 2>&1 && echo ok")
            return channel.makefile().read().decode(errors="replace")

    def address(self, name: str) -> str:
        """A machine's address."""
        return str(self.engine.vmi(MACHINES[name], name)["status"]["interfaces"][0]["ipAddress"])

    def up(self, name: str) -> bool:
        """Whether a machine can be logged in to."""
        try:
            return self.run(name, "true") == "ok\n"
        except Exception:  # not listening yet, in any of the ways in which that shows
            return False


@pytest.fixture(scope="module")
def labs() -> Iterator[Labs]:
    """Labs red (one, two) and blue (three)."""
    key = paramiko.ECDSAKey.generate()
    with running_engine() as engine:
        for space in ("red", "blue"):
            engine.request("POST", "/api/v1/namespaces", namespace(space))
            post(engine, space, seed(space, ssh_authorized_keys=[f"{key.get_name()} {key.get_base64()}"]))
        for name, space in MACHINES.items():
            post(engine, space, headless_service(name, space), machine(name, space))
        found = Labs(engine, key)
        until(lambda: all(engine.phase(space, name) == "Running" for name, space in MACHINES.items()), 30)
        until(lambda: all(found.up(name) for name in MACHINES), 120)
        yield found


@pytest.fixture(params=["at first", "after the engine was killed", "after the network's process was killed"])
def survived(labs: Labs, request: pytest.FixtureRequest) -> Labs:
    """The same labs, whatever happened."""
    if "engine" in request.param:
        labs.engine.kill()
        labs.engine.start()
    if "network" in request.param:
        mark = f"--holder-dir={labs.engine.runtime}/"
        for process in psutil.process_iter(["cmdline"]):
            if mark in " ".join(process.info["cmdline"] or []):
                process.kill()
    until(lambda: all(labs.up(name) for name in MACHINES), 30)
    return labs


def heard(names: str) -> str:
    """A command that prints those of the names that answer a ping."""
    return f"for name in {names}; do ping -c 1 -W 2 $name > /dev/null 2>&1 && echo $name; done; true"


def test_machines_of_a_lab_hear_one_another_and_those_of_another_lab_nothing(survived: Labs) -> None:
    own = f"two two.red two.red.svc two.red.svc.cluster.local {survived.address('two')}"
    assert survived.run("one", heard(own)).split() == [*own.split(), "ok"]
    assert "SSH-2.0" in survived.run("one", "nc -w 2 two 22 < /dev/null")
    other = survived.address("three")
    assert survived.run("one", heard(f"{other} three three.blue three.blue.svc.cluster.local")) == "ok\n"
    assert "SSH-2.0" not in survived.run("one", f"nc -w 1 {other} 22 < /dev/null")


def test_an_address_of_the_other_labs_network_leads_nowhere(labs: Labs) -> None:
    other = labs.address("three")
    forged = other.rsplit(".", 1)[0] + ".77"
    assert "ok" in labs.run("one", f"ip addr add {forged}/24 dev eth0")
    assert "ok" not in labs.run("one", f"ping -c 1 -W 1 -I {forged} {other}")
    assert "ok" not in labs.run("one", f"ping -c 1 -W 1 -I {forged} two")
    assert "ok" in labs.run("one", f"ip addr del {forged}/24 dev eth0")


def test_a_new_name_is_known_within_a_second(labs: Labs) -> None:
    assert "ok" not in labs.run("one", "nslookup again.red.svc.cluster.local")
    service = headless_service("again", "red")
    service["spec"]["selector"] = {"app": "two"}
    loop = "for n in 1 2 3 4 5 6 7 8 9; do sleep 0.1; nslookup again.red.svc.cluster.local > /dev/null && break; done"
    post(labs.engine, "red", service)
    assert "ok" in labs.run("one", f"({loop}); nslookup again.red.svc.cluster.local")


def test_a_policy_for_one_port_of_one_machine_holds_in_real_machines(labs: Labs) -> None:
    rule = {"from": [{"podSelector": {"matchLabels": {"app": "one"}}}], "ports": [{"port": 7681}]}
    ssh = {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kubevirt"}}}]}
    spec = {"podSelector": {"matchLabels": {"app": "two"}}, "ingress": [rule, ssh]}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}, "spec": spec}
    post(labs.engine, "red", policy)
    until(lambda: "SSH-2.0" not in labs.run("one", "nc -w 1 two 22 < /dev/null"), 10)
    assert "ok" in labs.run("one", "nc -w 2 two 7681 < /dev/null")
    assert "ok" not in labs.run("one", "ping -c 1 -W 1 two")
    assert "ok" in labs.run("two", "ping -c 1 -W 1 one")
