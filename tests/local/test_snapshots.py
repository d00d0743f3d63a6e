"""Snapshots and restores of a VM's claims; one machine runs for those that need a guest."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import Any

import pytest

from tests.local.conftest import post
from tests.local.test_datavolumes import dv, ends, volume
from tests.local.test_volumes import VMS, act, bound, disk, get, patch, pvc
from tests.support.engine import SUBRESOURCES, EngineProcess, namespace, until
from tests.support.volumes import claim, in_guest, user

GROUP = "/apis/snapshot.kubevirt.io/v1beta1/namespaces/{}"
KINDS = {"VirtualMachineSnapshot": "virtualmachinesnapshots", "VirtualMachineRestore": "virtualmachinerestores"}


def make(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    """A snapshot or a restore."""
    about = {"apiVersion": "snapshot.kubevirt.io/v1beta1", "kind": kind, "metadata": {"name": name}}
    return about | {"spec": spec}


def vm(name: str) -> dict[str, str]:
    """A reference to a VM."""
    return {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": name}


def snapshot(name: str, of: str = "web", **spec: Any) -> dict[str, Any]:
    """A snapshot of a VM."""
    return make("VirtualMachineSnapshot", name, source=vm(of), **spec)


def restore(name: str, of: str, target: str = "web", **spec: Any) -> dict[str, Any]:
    """A restore of a snapshot to a VM."""
    return make("VirtualMachineRestore", name, target=vm(target), virtualMachineSnapshotName=of, **spec)


def shown(engine: EngineProcess, space: str, obj: dict[str, Any]) -> dict[str, Any]:
    """An object as it is now."""
    return get(engine, f"{GROUP.format(space)}/{KINDS[obj['kind']]}/{obj['metadata']['name']}")


def send(engine: EngineProcess, space: str, obj: dict[str, Any]) -> tuple[int, bytes]:
    """Create one; the answer."""
    return engine.request("POST", f"{GROUP.format(space)}/{KINDS[obj['kind']]}", obj)


def done(engine: EngineProcess, space: str, obj: dict[str, Any]) -> dict[str, Any]:
    """Create a snapshot or a restore and wait until it is ready."""
    code, body = send(engine, space, obj)
    assert code == 201, body
    return until(lambda: (now := shown(engine, space, obj)) and holds(now, "Ready") and now, 60)


def holds(obj: dict[str, Any], kind: str) -> bool:
    """Whether a condition is True."""
    conditions = obj.get("status", {}).get("conditions", [])
    return any(item["type"] == kind and item["status"] == "True" for item in conditions)


def words(obj: dict[str, Any]) -> list[str]:
    """The indications of a snapshot."""
    return [item["indication"] for item in obj["status"]["sourceIndications"]]


def data_claim(engine: EngineProcess, space: str, name: str = "web") -> str:
    """The claim of a VM's second disk."""
    volumes = get(engine, f"{VMS.format(space)}/{name}")["spec"]["template"]["spec"]["volumes"]
    return volumes[1]["persistentVolumeClaim"]["claimName"]


@pytest.fixture(scope="module")
def lab(engine: EngineProcess) -> str:
    """A namespace where the machine ``web`` runs with a file system on the claim ``data``."""
    engine.request("POST", "/api/v1/namespaces", namespace("snapshots"))
    post(engine, "snapshots", claim("data"), user("web", "snapshots", persistentVolumeClaim={"claimName": "data"}))
    act(engine, "snapshots", "web", "start")
    write(engine, "snapshots", "first")
    return "snapshots"


def write(engine: EngineProcess, space: str, word: str) -> None:
    """Have the guest write a word to its second disk."""
    in_guest(engine, space, "web", f"printf {word:_<9} | dd of=/dev/vdb conv=fsync")


def stop(engine: EngineProcess, space: str) -> None:
    """Stop the machine and wait until it has ended."""
    act(engine, space, "web", "stop")
    until(lambda: not engine.vmi(space, "web"))


def test_a_snapshot_of_a_running_machine_is_taken_while_it_runs_and_brought_back(
    engine: EngineProcess, lab: str
) -> None:
    taken = done(engine, lab, snapshot("online"))
    write(engine, lab, "second")
    assert (taken["status"]["phase"], taken["status"]["readyToUse"]) == ("Succeeded", True)
    assert words(taken) == ["Online", "GuestAgent", "PartialSnapshot"]
    assert taken["status"]["snapshotVolumes"] == {"includedVolumes": ["data"], "excludedVolumes": ["root"]}
    assert engine.phase(lab, "web") == "Running"
    waiting = restore("back", "online")
    assert send(engine, lab, waiting)[0] == 201
    until(lambda: "must be stopped" in shown(engine, lab, waiting)["status"].get("error", {}).get("message", ""))
    assert get(engine, f"{VMS.format(lab)}/web")["status"]["restoreInProgress"] == "back"
    stop(engine, lab)
    until(lambda: shown(engine, lab, waiting)["status"]["complete"])
    assert data_claim(engine, lab) == f"restore-{shown(engine, lab, waiting)['metadata']['uid']}-data"
    until(lambda: "restoreInProgress" not in get(engine, f"{VMS.format(lab)}/web")["status"])
    engine.kubectl("patch", "vm", "web", "-n", lab, "--type=merge", "-p", '{"spec": {"runStrategy": "Manual"}}')
    act(engine, lab, "web", "start")
    assert in_guest(engine, lab, "web", "head -c 9 /dev/vdb") == "first____"


def test_a_paused_machine_is_not_woken_while_its_snapshot_is_taken(engine: EngineProcess, lab: str) -> None:
    path = f"{SUBRESOURCES}/namespaces/{lab}/virtualmachineinstances/web"
    until(lambda: engine.phase(lab, "web") == "Running")
    assert engine.request("PUT", f"{path}/pause")[0] == 200
    assert words(done(engine, lab, snapshot("paused")))[:2] == ["Online", "Paused"]
    status = {"status": {"snapshotInProgress": "somebody"}}
    vm_path = f"{VMS.format(lab)}/web/status"
    engine.request("PATCH", vm_path, status, **{"Content-Type": "application/merge-patch+json"})
    code, body = engine.request("PUT", f"{path}/unpause")
    assert (code, b"VM snapshot is in progress" in body) == (409, True)
    status["status"]["snapshotInProgress"] = None  # type: ignore[assignment]
    engine.request("PATCH", vm_path, status, **{"Content-Type": "application/merge-patch+json"})
    assert engine.request("PUT", f"{path}/unpause")[0] == 200


def test_a_snapshot_that_a_kill_interrupted_is_taken_again(engine: EngineProcess, lab: str) -> None:
    again = snapshot("again")
    assert send(engine, lab, again)[0] == 201
    engine.kill()
    engine.start()
    until(lambda: holds(shown(engine, lab, again), "Ready"), 60)
    until(lambda: "snapshotInProgress" not in get(engine, f"{VMS.format(lab)}/web")["status"])


def test_a_stopped_machines_disk_comes_back_as_it_was(engine: EngineProcess, space: str) -> None:
    post(engine, space, claim("data"), user("web", space, persistentVolumeClaim={"claimName": "data"}))
    uid = bound(engine, space, "data")["metadata"]["uid"]
    file = engine.state / "engine" / "volumes" / uid / "disk.qcow2"
    before = file.read_bytes()
    assert words(done(engine, space, snapshot("offline"))) == ["PartialSnapshot"]
    file.write_bytes(before + bytes(512))
    found = done(engine, space, restore("back", "offline"))
    name = data_claim(engine, space)
    assert found["status"]["restores"] == [{"volumeName": "data", "persistentVolumeClaim": name}]
    assert disk(engine, bound(engine, space, name)).read_bytes() == before
    assert pvc(engine, space, "data")["metadata"]["uid"] == uid


def test_a_vm_that_is_gone_is_made_anew_and_owns_what_was_restored(engine: EngineProcess, space: str) -> None:
    machine = user("web", space, dataVolume={"name": "data"})
    machine["spec"]["dataVolumeTemplates"] = [volume("data", blank={})]
    post(engine, space, machine)
    ends(engine, space, "data")
    done(engine, space, snapshot("kept"))
    engine.kubectl("delete", "vm", "web", "-n", space)
    until(lambda: not pvc(engine, space, "data"))
    done(engine, space, restore("back", "kept", target="other"))
    made = get(engine, f"{VMS.format(space)}/other")
    kept = data_claim(engine, space, "other")
    assert (made["spec"]["runStrategy"], kept.startswith("restore-")) == ("Halted", True)
    assert "dataVolumeTemplates" not in made["spec"]
    assert pvc(engine, space, kept)["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]


def test_a_restore_replaces_the_volumes_of_templates(engine: EngineProcess, space: str) -> None:
    machine = user("web", space, dataVolume={"name": "data"})
    machine["spec"]["dataVolumeTemplates"] = [volume("data", blank={})]
    post(engine, space, machine)
    ends(engine, space, "data")
    done(engine, space, snapshot("kept"))
    found = done(engine, space, restore("back", "kept"))
    assert found["status"]["deletedDataVolumes"] == ["data"]
    until(lambda: not dv(engine, space, "data") and not pvc(engine, space, "data"))
    assert bound(engine, space, data_claim(engine, space))


def test_a_snapshots_files_go_with_it(engine: EngineProcess, space: str) -> None:
    post(engine, space, claim("data"), user("web", space, persistentVolumeClaim={"claimName": "data"}))
    bound(engine, space, "data")
    one = done(engine, space, snapshot("one"))
    folder = engine.state / "engine" / "volumes" / one["metadata"]["uid"]
    assert (folder / "data.qcow2").exists()
    engine.kubectl("delete", "vmsnapshot", "one", "-n", space)
    until(lambda: not shown(engine, space, one) and not folder.exists())


def test_a_snapshot_waits_for_a_restore_that_has_the_same_name(engine: EngineProcess, space: str) -> None:
    post(engine, space, claim("data"), user("web", space, persistentVolumeClaim={"claimName": "data"}))
    bound(engine, space, "data")
    assert patch(engine, f"{VMS.format(space)}/web/status", {"status": {"restoreInProgress": "one"}})[0] == 200
    assert send(engine, space, snapshot("one"))[0] == 201
    waits = until(lambda: shown(engine, space, snapshot("one"))["status"].get("error"))
    assert "is held by one (restoreInProgress)" in waits["message"]
    patch(engine, f"{VMS.format(space)}/web/status", {"status": {"restoreInProgress": None}})
    until(lambda: holds(shown(engine, space, snapshot("one")), "Ready"))


def test_what_cannot_be_begun_waits_and_fails_once_its_time_is_over(engine: EngineProcess, space: str) -> None:
    nothing = snapshot("one", of="absent")
    assert send(engine, space, nothing)[0] == 201
    until(lambda: shown(engine, space, nothing)["status"].get("error", {}).get("message") == "Source does not exist")
    code, body = send(engine, space, restore("back", "one"))
    assert (code, b"is not ready to use" in body) == (422, True)
    born = shown(engine, space, nothing)["metadata"]["creationTimestamp"]
    engine.kill()
    with contextlib.closing(sqlite3.connect(engine.state / "engine" / "objects" / "objects.db")) as database, database:
        earlier = (born, "2020-01-01T00:00:00Z", space)
        database.execute("UPDATE objects SET body = replace(body, ?, ?) WHERE name = 'one' AND namespace = ?", earlier)
    engine.start()
    found = until(lambda: (now := shown(engine, space, nothing)) and holds(now, "Failure") and now)
    assert (found["status"]["phase"], found["status"]["readyToUse"]) == ("Failed", False)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (snapshot("x", failureDeadline="5m"), "spec.failureDeadline"),
        (snapshot("x", deletionPolicy="Retain"), "spec.deletionPolicy"),
        (snapshot("x", of="../x"), "spec.source.name"),
        (make("VirtualMachineSnapshot", "x", source=vm("x") | {"kind": "Pod"}), "spec.source.kind"),
        (restore("x", "absent"), "spec.virtualMachineSnapshotName"),
        (restore("x", "absent", target="Not A Name"), "spec.target.name"),
        (restore("x", "absent", volumeRestorePolicy="InPlace"), "spec.volumeRestorePolicy"),
        (restore("x", "absent", targetReadinessPolicy="StopTarget"), "spec.targetReadinessPolicy"),
        (restore("x", "absent", patches=["{}"]), "spec.patches"),
    ],
)
def test_a_wrong_snapshot_or_restore_is_refused_with_its_field(
    engine: EngineProcess, space: str, wrong: dict, field: str
) -> None:
    code, body = send(engine, space, wrong)
    assert (code, field in [cause["field"] for cause in json.loads(body)["details"]["causes"]]) == (422, True)


def test_kubectl_shows_snapshots(engine: EngineProcess, space: str) -> None:
    post(engine, space, claim("data"), user("web", space, persistentVolumeClaim={"claimName": "data"}))
    engine.kubectl("apply", "-n", space, "-f", "-", stdin=json.dumps(snapshot("one")))
    engine.kubectl("wait", "vmsnapshot/one", "-n", space, "--for=condition=Ready", "--timeout=60s")
    head, row = engine.kubectl("get", "vmsnapshot", "-n", space).strip().splitlines()
    assert head.split() == ["NAME", "SOURCEKIND", "SOURCENAME", "PHASE", "READYTOUSE", "CREATIONTIME", "ERROR"]
    assert row.split()[:5] == ["one", "VirtualMachine", "web", "Succeeded", "true"]
