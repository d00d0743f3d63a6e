"""One real lab through its life: what is done to it, what that loses, and how it is called off."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import Conflict, NotFound
from labkit.manifests import names
from labkit.model import LabState, MachineState, OperationKind, OperationState, Principal
from tests.support.engine import EngineProcess, running_engine, until
from tests.support.service import OPERATOR, Service

ADA = Principal("local", "ada", name="Ada")
DISK = "/dev/vdb"


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    with running_engine() as found:
        yield found


@pytest.fixture(scope="module")
def service(engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Room for one lab, which may be extended to four hours; a controller at work."""
    home = tmp_path_factory.mktemp("home")
    found = Service(home, engine.kubeconfig, most_labs="1", most_lab_hours="4")
    with found.at_work():
        yield found


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A hello-lab with a file that is each learner's own, and a disk that outlives its machine."""
    folder = tmp_path_factory.mktemp("templates") / "own-lab"
    shutil.copytree("labkit/templates/bundled/hello-lab", folder)
    text = (folder / "lab.yaml").read_text().replace("name: hello-lab", "name: own-lab")
    own = "panes: [terminal]\n    disks: [{name: data, volume: data}]"
    own += "\n    files: [{path: /opt/own/name, content: 'for {{ learner }}', mode: '0640'}]"
    volumes = "volumes: [{name: data, size: 64Mi}]\nnetwork:"
    text = text.replace("panes: [terminal, console, vnc]", own).replace("network:", volumes)
    (folder / "lab.yaml").write_text(text)
    (folder / "instructions" / "99-where.md").write_text("# Where\n\nIt is at {{ address_box }}.\n")
    return str(folder)


@pytest.fixture(scope="module")
def lab(service: Service, template: str) -> str:
    """Ada's lab, running: a spare that she has claimed."""
    held = service.labs.reserve(OPERATOR, template, begins=0, ends=None, labs=0, spares=1)
    spare = until(lambda: next((row for row in service.store.spares(held.id) if row.ready), None), 120)
    operation = service.labs.start(ADA, template)
    service.labs.unreserve(OPERATOR, held.id)
    service.do(operation)
    assert spare is not None
    assert operation.lab == spare.id
    return operation.lab


def test_a_start_under_way_is_called_off_and_nothing_of_it_is_left(engine: EngineProcess, service: Service) -> None:
    operation = service.labs.start(ADA, "hello-lab", activity="called off")
    until(lambda: engine.phase(names.namespace_of(operation.lab), "box"))
    service.labs.cancel(ADA, operation.id)
    assert service.ended(operation).state is OperationState.CANCELLED
    until(lambda: service.labs.status(ADA, operation.lab).state is LabState.STOPPED)
    assert engine.request("GET", f"/api/v1/namespaces/{names.namespace_of(operation.lab)}")[0] == 404


def test_when_all_room_is_taken_a_lab_waits_with_its_place_and_starts_when_another_ends(
    service: Service, lab: str
) -> None:
    waiting = service.labs.start(ADA, "hello-lab", activity="later")
    status = service.labs.status(ADA, waiting.lab)
    assert (status.state, status.place) == (LabState.QUEUED, 1)
    assert status.wait == pytest.approx(7200, abs=300)
    assert "number 1 in the queue" in service.labs.events(ADA, waiting.id)[0].text
    service.labs.cancel(ADA, waiting.id)
    until(lambda: service.labs.status(ADA, waiting.lab).state is LabState.STOPPED)


def in_box(service: Service, lab: str, command: str) -> str:
    """What a command prints in the machine."""
    done = service.labs.execute(OPERATOR, lab, "box", command, timeout=30)
    assert done.status == 0, done.stderr
    return done.stdout


def test_a_claimed_spare_has_what_is_the_learners_own(service: Service, lab: str) -> None:
    assert in_box(service, lab, "stat -c %a /opt/own/name; cat /opt/own/name") == "640\nfor Ada"


def test_pages_know_where_the_machines_are(service: Service, lab: str) -> None:
    (box,) = service.labs.status(ADA, lab).machines
    page = service.labs.instructions(ADA, lab).pages[-1].to_json()
    assert f"It is at {box.address}." in str(page["parts"])


def test_starting_again_finds_the_same_start(service: Service, lab: str, template: str) -> None:
    again = service.labs.start(ADA, template)
    assert (again.lab, again.state) == (lab, OperationState.DONE)


def test_a_learner_extends_his_lab_as_far_as_it_may_live(service: Service, lab: str) -> None:
    before = service.labs.status(ADA, lab).ends
    done = service.labs.extend(ADA, lab, 1800)
    assert done.state is OperationState.DONE
    assert service.labs.status(ADA, lab).ends == pytest.approx((before or 0) + 1800, abs=1)
    service.labs.extend(ADA, lab, 1e6)
    with pytest.raises(Conflict, match="4 hours at most"):
        service.labs.extend(ADA, lab, 60)
    assert service.labs.lab_events(ADA, lab)[-1].text == "The lab ends in 4 hours now"


def test_a_lab_is_frozen_and_goes_on(service: Service, lab: str) -> None:
    service.do(service.labs.pause(ADA, lab))
    assert service.labs.status(ADA, lab).state is LabState.PAUSED
    with pytest.raises(Conflict, match="is paused; to pause it, it must be running"):
        service.labs.pause(ADA, lab)
    service.do(service.labs.resume(ADA, lab))
    assert service.labs.status(ADA, lab).state is LabState.RUNNING


def test_a_machine_is_paused_and_goes_on_by_its_name_and_a_lab_that_runs_is_not_resumed(
    service: Service, lab: str
) -> None:
    with pytest.raises(Conflict, match=f"lab {lab} is not paused"):
        service.labs.resume(ADA, lab)
    with pytest.raises(NotFound, match="no machine"):
        service.labs.pause(ADA, lab, machine="web")
    service.do(service.labs.pause(ADA, lab, machine="box"))
    assert service.labs.status(ADA, lab).machines[0].state is MachineState.PAUSED
    service.do(service.labs.resume(ADA, lab, machine="box"))
    assert service.labs.status(ADA, lab).state is LabState.RUNNING


def test_a_lab_that_is_paused_off_takes_no_memory_and_goes_on_where_it_was(
    engine: EngineProcess, service: Service, lab: str
) -> None:
    in_box(service, lab, "echo here > /run/here")
    operation = service.labs.pause(ADA, lab, off=True)
    service.do(operation)
    assert service.labs.events(ADA, operation.id)[-1].text == "Put away with their memory: box"
    status = service.labs.status(ADA, lab)
    assert (status.state, status.machines[0].detail) == (LabState.PAUSED, "it is put away, and takes no memory")
    assert [line for line in engine.processes() if "qmp.sock" in line] == []
    service.do(service.labs.resume(ADA, lab))
    assert service.labs.status(ADA, lab).state is LabState.RUNNING
    assert in_box(service, lab, "cat /run/here").strip() == "here"


def test_a_snapshot_with_memory_brings_back_what_ran(service: Service, lab: str) -> None:
    in_box(service, lab, f"echo then > /run/here; echo then > /root/note; echo then__ > {DISK}; sync")
    kept = service.do(service.labs.snapshot(ADA, lab, "whole", memory=True))
    assert kept == {"name": "whole", "machines": ["box"], "left_out": []}
    assert [(one.name, one.memory) for one in service.labs.snapshots(ADA, lab)] == [("whole", True)]
    in_box(service, lab, f"echo now > /run/here; rm /root/note; echo now > {DISK}; sync")
    service.do(service.labs.restore(ADA, lab, "whole"))
    assert in_box(service, lab, f"cat /run/here /root/note; head -c 4 {DISK}").split() == ["then"] * 3


def test_disks_that_persist_are_kept_and_brought_back(service: Service, lab: str) -> None:
    in_box(service, lab, f"echo first > {DISK} && sync")
    with pytest.raises(NotFound, match="no snapshot 'first'; it has: whole"):
        service.labs.restore(ADA, lab, "first")
    kept = service.do(service.labs.snapshot(ADA, lab, "first"))
    assert kept == {"name": "first", "machines": ["box"], "left_out": []}
    assert [(one.name, one.ready) for one in service.labs.snapshots(ADA, lab) if not one.memory] == [("first", True)]
    in_box(service, lab, f"echo second > {DISK} && sync")
    operation = service.labs.restore(ADA, lab, "first")
    service.do(operation)
    assert "what its disks hold now is lost" in service.labs.events(ADA, operation.id)[0].text
    assert in_box(service, lab, f"head -c 5 {DISK}") == "first"


def test_a_machine_that_is_reset_is_another_and_waiting_for_it_can_be_called_off(
    engine: EngineProcess, service: Service, lab: str
) -> None:
    space = names.namespace_of(lab)
    before = engine.vmi(space, "box")["metadata"]["uid"]
    operation = service.labs.reset(ADA, lab, machine="box")
    until(lambda: engine.vmi(space, "box").get("metadata", {}).get("uid", before) != before)
    service.labs.cancel(ADA, operation.id)
    texts = [event.text for event in service.labs.events(ADA, operation.id)]
    assert texts[0] == "Making box anew: what was written to its disks is lost"
    assert service.ended(operation).state is OperationState.CANCELLED
    with pytest.raises(NotFound, match="no machine 'bax'"):
        service.labs.reset(ADA, lab, machine="bax")


def test_what_has_ended_and_a_stop_cannot_be_called_off(service: Service, lab: str) -> None:
    final = service.labs.operations(ADA, lab)[0]
    with pytest.raises(Conflict, match=r"the start .* has ended already: it is done"):
        service.labs.cancel(ADA, final.id)
    stop = service.labs.stop(ADA, lab)
    with pytest.raises(Conflict, match="a stop cannot be cancelled"):
        service.labs.cancel(ADA, stop.id)
    service.do(stop)
    assert service.labs.status(ADA, lab).state is LabState.STOPPED


def test_a_lab_that_cannot_start_tells_the_learner_in_words_and_the_operator_why(
    service: Service, tmp_path: Path
) -> None:
    folder = tmp_path / "gone"
    (folder / "instructions").mkdir(parents=True)
    (folder / "instructions" / "1-start.md").write_text("---\ntitle: Start\n---\n\nNothing to see.\n")
    (folder / "lab.yaml").write_text(
        "apiVersion: labkit/v1\nkind: Lab\nname: gone\ntitle: Gone\n"
        "machines: [{name: box, type: vm, image: {bundled: desktop}, memory: 1Gi}]\n"
    )
    operation = service.labs.start(ADA, str(folder))
    service.ended(operation)
    learner, operator = (service.labs.status(who, operation.lab) for who in (ADA, OPERATOR))
    assert learner.detail == "machine box cannot start: its image cannot be found"
    assert (learner.state, learner.cause) == (LabState.FAILED, "")
    assert "ErrImagePull" in operator.cause
    assert service.labs.operation(ADA, operation.id).error == learner.detail
    assert {found.kind for found in service.labs.operations(ADA, operation.lab)} >= {OperationKind.START}
