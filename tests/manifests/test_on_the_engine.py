"""A lab's objects, sent as labkit sends them to a real engine: containers that reach one another, and VMs tried dry."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labkit.cluster.client import Cluster
from labkit.manifests.lab import LabPlan, access_secret, lab_objects, machine_objects, namespace
from labkit.manifests.scope import Scope
from labkit.manifests.site import Site
from labkit.manifests.storage import volume
from labkit.model import MachineState, Pane, PaneType
from labkit.orchestrator.access import Access, draw
from labkit.orchestrator.inside import open_machine_port, run
from labkit.orchestrator.work import observe_machines
from labkit.templates import Disk, File, FileSet, Image, Machine, Mount, Readiness, Service, Template, User, Volume
from tests.manifests.objects import plan, template
from tests.support.engine import EngineProcess, running_engine, until

LAB, KEY = "live00labs", b"k" * 32
GIB = 1 << 30
TERMINAL = Pane("terminal", PaneType.TERMINAL, "Terminal", 7681)
WEB = Machine(
    "web",
    "container",
    Image("bundled", "web"),
    0.5,
    2**26,
    panes=(TERMINAL,),
    files=(File("/srv/www/hello", "Hello, {{ learner }}"),),
    services=(Service("www", 8080),),
    ready=Readiness("http", 8080),
    env={"PORT": "8080"},
    volumes=(Mount("/data", "secret", "keys", read_only=True),),
)
PEER = Machine("peer", "container", Image("bundled", "web"), 1, 2**26, command=("sleep", "10000"))
LAB_TEMPLATE = template(WEB, PEER, file_sets=(FileSet("keys", (File("key", "abc"),), secret=True),))


@pytest.fixture(scope="module")
def engine(with_web: Path) -> Iterator[EngineProcess]:
    with running_engine(with_web) as found:
        yield found


@dataclass
class Lab:
    """A lab on an engine."""

    cluster: Cluster
    access: Access

    def sh(self, machine: Machine, command: str) -> str:
        """What a command in a machine prints."""
        done = run(self.cluster, self.access, machine, command, timeout=20)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def lab(engine: EngineProcess) -> Lab:
    cluster = Cluster(engine.kubeconfig)
    cluster.ensure(namespace("inst000000", LAB))
    access = Access.from_secret(LAB, cluster.ensure(access_secret("inst000000", LAB, draw(LAB_TEMPLATE))))
    machines = {machine.name: access.machine(machine, KEY) for machine in LAB_TEMPLATE.machines}
    for body in lab_objects(LabPlan("inst000000", LAB, LAB_TEMPLATE, machines, variables={"learner": "Ada"})):
        cluster.ensure(body)
    until(lambda: {found.state for found in observe_machines(cluster, LAB_TEMPLATE, LAB)} == {MachineState.RUNNING}, 90)
    return Lab(cluster, access)


def test_a_container_is_reached_by_its_names_and_serves_the_labs_file(lab: Lab) -> None:
    for name in ("web", "www"):
        assert lab.sh(PEER, f"wget -qO- http://{name}:8080/hello") == "Hello, Ada"


def test_a_container_has_its_secret_and_no_account_at_the_cluster(lab: Lab) -> None:
    assert lab.sh(WEB, "cat /data/key; ls /var/run/secrets").startswith("abcls: ")


def test_a_command_in_a_container_has_its_input_outputs_and_status(lab: Lab) -> None:
    done = run(lab.cluster, lab.access, WEB, "cat; echo bad >&2; exit 3", stdin="x" * 100_000, timeout=20)
    assert (done.status, done.stdout, done.stderr) == (3, "x" * 16384, "bad\n")


def test_a_containers_terminal_answers_to_the_lab_alone(lab: Lab) -> None:
    def asked(secret: str) -> bytes:
        with open_machine_port(lab.cluster, LAB, WEB, 7681, timeout=10) as port:
            port.settimeout(10)
            port.sendall(f"GET /{secret}/token HTTP/1.0\r\n\r\n".encode())
            return port.recv(12)

    assert asked(lab.access.machine(WEB, KEY).terminal_secret).endswith(b"200")
    assert asked("0" * 32).endswith(b"404")


def test_a_port_where_nothing_listens_ends_before_any_byte(lab: Lab) -> None:
    with open_machine_port(lab.cluster, LAB, WEB, 9, timeout=10) as port:
        port.settimeout(10)
        assert port.recv(1) == b""


def test_the_labs_quota_holds_what_the_lab_uses(lab: Lab) -> None:
    found = lab.cluster.get("ResourceQuota", "labkit-" + LAB, "labkit") or {}
    used = {name: found["status"]["used"][name] for name in ("pods", "requests.cpu", "requests.memory")}
    assert used == {"pods": "2", "requests.cpu": "150m", "requests.memory": "128Mi"}


DISKS = (
    Disk("more", "empty", size_bytes=GIB),
    Disk("tools", "image", image=Image("registry", "quay.io/labs/tools:1"), type="cdrom", read_only=True, boot=1),
    Disk("data", "volume", "data"),
    Disk("base", "ephemeral", "base"),
)
VOLUMES = (Volume("data", GIB), Volume("base", GIB, Image("bundled", "tiny")))
OWN_DISK = Image("url", "https://example.org/a.qcow2", "0" * 64, GIB)


def rich(**more: object) -> Template:
    """A lab whose one VM has a disk of each kind that the embedded engine carries out."""
    users = (User("student", True, keys=("ssh-ed25519 AAAA me",), sudo=True),)
    screen = (Pane("vnc", PaneType.VNC, "Screen"), TERMINAL)
    given = {"disks": DISKS, "users": users, "panes": screen, "ready": Readiness("agent"), **more}
    return template(Machine("box", "vm", OWN_DISK, 2, GIB, **given), volumes=VOLUMES)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def dry(engine: EngineProcess) -> Callable[[list[dict[str, Any]]], str]:
    """What the engine has to say against objects, which are not kept."""
    Cluster(engine.kubeconfig).ensure(namespace("inst000000", "k3f9q2abcd"))

    def tried(objects: list[dict[str, Any]]) -> str:
        everything = {"apiVersion": "v1", "kind": "List", "items": objects}
        words = ("create", "--dry-run=server", "--validate=strict", "-f-")
        return engine.run_kubectl(*words, stdin=json.dumps(everything)).stderr

    return tried


def test_every_object_of_a_vm_with_disks_of_all_kinds_passes_admission(dry: Callable[..., str]) -> None:
    assert dry(lab_objects(plan(rich()))) == ""


def test_a_misspelt_override_is_refused_by_its_name(dry: Callable[..., str]) -> None:
    lab = rich(overrides={"domain": {"cpus": {"cores": 2}}})
    assert 'unknown field "spec.template.spec.domain.cpus"' in dry(machine_objects(plan(lab), lab.machines[0]))


def test_a_volume_is_filled_from_an_image_that_was_built_here(lab: Lab) -> None:
    scope = Scope("inst000000", "k3f9q2abcd")
    lab.cluster.ensure(namespace(scope.installation, scope.lab))
    lab.cluster.ensure(volume(scope, Volume("gold", GIB, Image("bundled", "tiny")), Site()))

    def status() -> dict[str, Any]:
        found = lab.cluster.get("DataVolume", scope.namespace, "gold") or {}
        return dict(found.get("status", {}))

    until(lambda: status().get("phase") in ("Succeeded", "Failed"), 90)
    assert status()["phase"] == "Succeeded", [found["message"] for found in status()["conditions"]]
