"""A lab of a VM whose disk outlives it and a container: claimed as a spare, switched off and on, made anew."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import paramiko
import pytest

from labkit.errors import Conflict
from labkit.manifests import names
from labkit.model import LabState, OperationState, Principal
from labkit.orchestrator.inside import open_machine_port
from tests.support.engine import EngineProcess, running_engine, until
from tests.support.service import OPERATOR, Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ADA = Principal("local", "ada", name="Ada")
LAB = """\
apiVersion: labkit/v1
kind: Lab
name: mixed
title: A machine that keeps its disk, and a container
machines:
  - name: box
    type: vm
    image: {bundled: tiny, size: 1Gi}
    memory: 256Mi
    users: [{name: student, keys: [{generate: true}]}]
    panes: [terminal]
  - name: web
    type: container
    image: {bundled: web}
    memory: 64Mi
    files: [{path: /srv/www/index.html, content: "for {{ learner }}"}]
    ready: {http: {port: 80}}
"""
LATE = """\
apiVersion: labkit/v1
kind: Lab
name: late
title: A container that nothing listens in
machines:
  - {name: web, type: container, image: {bundled: web}, memory: 64Mi, ready: {tcp: 9, timeout: 3s}}
"""


@pytest.fixture(scope="module")
def engine(with_web: Path) -> Iterator[EngineProcess]:
    with running_engine(with_web) as found:
        yield found


@pytest.fixture(scope="module")
def service(engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service under labkit's own policy, with a controller at work."""
    found = Service(tmp_path_factory.mktemp("home"), engine.kubeconfig)
    with found.at_work():
        yield found


def template(folder: Path, text: str, name: str) -> str:
    """The folder of a template with one page."""
    (folder / name / "instructions").mkdir(parents=True)
    (folder / name / "lab.yaml").write_text(text)
    (folder / name / "instructions/1.md").write_text("# Look\n\nAt it.\n")
    return str(folder / name)


@pytest.fixture(scope="module")
def lab(engine: EngineProcess, service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Ada's lab, running: a spare that she has claimed, whose VM is the spare's, and whose container is not."""
    mixed = template(tmp_path_factory.mktemp("templates"), LAB, "mixed")
    held = service.labs.reserve(OPERATOR, mixed, begins=0, ends=None, labs=0, spares=1)
    spare = until(lambda: next((row for row in service.store.spares(held.id) if row.ready or row.fault), None), 240)
    assert spare is not None
    assert spare.fault == ""
    operation = service.labs.start(ADA, mixed)
    service.labs.unreserve(OPERATOR, held.id)
    before = uid(engine, operation.lab, "virtualmachineinstance", "box"), uid(engine, operation.lab, "pod", "web")
    service.do(operation)
    after = uid(engine, operation.lab, "virtualmachineinstance", "box"), uid(engine, operation.lab, "pod", "web")
    assert (before[0] == after[0], before[1] == after[1]) == (True, False)
    return operation.lab


def uid(engine: EngineProcess, lab: str, kind: str, name: str) -> str:
    """Which one of its name an object is."""
    return engine.kubectl(
        "get", kind, name, "--namespace", names.namespace_of(lab), "--output=jsonpath={.metadata.uid}"
    )


def inside(service: Service, lab: str, machine: str, command: str) -> str:
    """What a command prints in a machine."""
    done = service.labs.execute(OPERATOR, lab, machine, command, timeout=30)
    assert done.status == 0, done.stderr
    return done.stdout.strip()


def test_a_container_of_a_claimed_spare_has_what_is_the_learners_own(service: Service, lab: str) -> None:
    assert inside(service, lab, "web", "cat /srv/www/index.html") == "for Ada"


def test_a_learner_signs_in_with_the_key_that_was_generated_for_him(service: Service, lab: str) -> None:
    (credential,) = service.labs.credentials(ADA, lab)
    assert (credential.machine, credential.user, credential.password) == ("box", "student", "")
    row = service.store.lab(lab)
    assert row is not None
    box = service.around.templates.load(row.template).machine("box")
    stream = open_machine_port(service.around.cluster, lab, box, names.SSH_PORT, timeout=15)
    with paramiko.Transport(cast(socket.socket, stream)) as transport:
        transport.start_client(timeout=15)
        transport.auth_publickey("student", paramiko.Ed25519Key.from_private_key(io.StringIO(credential.key)))
        assert transport.is_authenticated()


def test_a_machine_that_is_switched_off_finds_its_disk_again(service: Service, lab: str) -> None:
    inside(service, lab, "box", "echo kept > /root/note && sync")
    service.do(service.labs.pause(ADA, lab, off=True))
    status = service.labs.status(ADA, lab)
    assert (status.state, [m.state.value for m in status.machines]) == (LabState.PAUSED, ["stopped", "running"])
    service.do(service.labs.resume(ADA, lab))
    assert service.labs.status(ADA, lab).state is LabState.RUNNING
    assert inside(service, lab, "box", "cat /root/note") == "kept"


def test_one_machine_is_paused_and_a_container_cannot_be(service: Service, lab: str) -> None:
    service.do(service.labs.pause(ADA, lab, machine="box"))
    assert [machine.state.value for machine in service.labs.status(ADA, lab).machines] == ["paused", "running"]
    service.do(service.labs.resume(ADA, lab, machine="box"))
    assert service.labs.status(ADA, lab).state is LabState.RUNNING
    with pytest.raises(Conflict, match="machine web is a container"):
        service.labs.pause(ADA, lab, machine="web")


def test_a_lab_that_is_made_anew_has_new_disks_and_what_is_the_learners_own(
    engine: EngineProcess, service: Service, lab: str
) -> None:
    before = uid(engine, lab, "pod", "web")
    inside(service, lab, "web", "touch /srv/www/mine")
    service.do(service.labs.reset(ADA, lab))
    assert uid(engine, lab, "pod", "web") != before
    assert inside(service, lab, "web", "ls /srv/www") == "index.html"
    assert inside(service, lab, "web", "cat /srv/www/index.html") == "for Ada"
    assert inside(service, lab, "box", "ls /root") == ""
    assert len(service.labs.credentials(ADA, lab)) == 1


def test_a_machine_that_is_not_ready_in_the_time_that_its_template_gives_it_fails_the_start(
    service: Service, tmp_path: Path
) -> None:
    done = service.ended(service.labs.start(ADA, template(tmp_path, LATE, "late")))
    assert (done.state, done.error) == (
        OperationState.FAILED,
        "machine web was not ready within the 3 s that its template gives it",
    )
    assert service.labs.status(ADA, done.lab).state is LabState.FAILED
    until(lambda: service.around.cluster.get("Namespace", None, names.namespace_of(done.lab)) is None)
