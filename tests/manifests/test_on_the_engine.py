"""A lab's objects, sent as labkit sends them to a real engine: a VM and a container that reach one another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labkit import images, settings
from labkit.cluster.client import Cluster
from labkit.manifests.lab import LabPlan, access_secret, lab_objects, namespace
from labkit.model import MachineState, Pane, PaneType
from labkit.orchestrator.access import Access, draw
from labkit.orchestrator.inside import run
from labkit.orchestrator.operations import observe_machines
from labkit.templates import Image, Machine, Template, User
from tests.manifests.objects import template
from tests.support.engine import running_engine, until

LAB, KEY = "abc123defg", b"k" * 32
CLIENT = Machine("client", "vm", Image("bundled", "tiny"), 1, 256 * 2**20, (User("student", True),))
TERMINAL = Pane("terminal", PaneType.TERMINAL, "Terminal", 7681)
WEB = Machine("web", "container", Image("bundled", "web"), 1, 64 * 2**20, (User("student"),), (TERMINAL,))


@pytest.fixture(scope="session")
def with_web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images tiny and web."""
    known = settings.load()
    folder = tmp_path_factory.mktemp("images")
    (folder / "tiny").symlink_to(known.images_dir / "tiny")
    images.build("web", images_dir=folder, cache_dir=known.cache_dir / "packages")
    return folder


@dataclass
class Lab:
    """A lab on an engine."""

    cluster: Cluster
    template: Template
    access: Access

    def sh(self, machine: Machine, command: str, timeout: float = 20) -> str:
        """What a command in a machine prints."""
        done = run(self.cluster, self.access, machine, command, timeout=timeout)
        return done.stdout + done.stderr

    def state(self, machine: str) -> MachineState:
        """A machine's state."""
        found = {status.name: status.state for status in observe_machines(self.cluster, self.template, LAB)}
        return found[machine]


@pytest.fixture(scope="module")
def lab(with_web: Path) -> Iterator[Lab]:
    with running_engine(with_web) as engine:
        cluster, wanted = Cluster(engine.kubeconfig), template(CLIENT, WEB)
        cluster.ensure(namespace("inst000000", LAB))
        secret = cluster.ensure(access_secret("inst000000", LAB, draw(wanted)))
        access = Access.from_secret(LAB, secret)
        machines = {machine.name: access.machine(machine, KEY) for machine in wanted.machines}
        for body in lab_objects(LabPlan("inst000000", LAB, wanted, machines)):
            cluster.ensure(body)
        found = Lab(cluster, wanted, access)
        until(lambda: found.state("web") is MachineState.RUNNING)
        yield found


def test_a_container_has_no_account_at_the_cluster(lab: Lab) -> None:
    assert "No such file" in lab.sh(WEB, "ls /var/run/secrets/kubernetes.io")


def test_a_command_in_a_container_has_its_input_outputs_and_status(lab: Lab) -> None:
    done = run(lab.cluster, lab.access, WEB, "cat; echo bad >&2; exit 3", stdin="x" * 100_000, timeout=20)
    assert (done.status, done.stdout, done.stderr) == (3, "x" * 16384, "bad\n")
