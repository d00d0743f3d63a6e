"""PersistentVolumeClaims: disks that outlive the machines that use them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.local.conftest import post
from tests.support.engine import SUBRESOURCES, EngineProcess, namespace, until
from tests.support.volumes import PVCS, claim, in_guest, user

VMS = "/apis/kubevirt.io/v1/namespaces/{}/virtualmachines"


def get(engine: EngineProcess, path: str) -> dict[str, Any]:
    """An object as it is now; an empty one where there is none."""
    code, body = engine.request("GET", path)
    return json.loads(body) if code == 200 else {}


def pvc(engine: EngineProcess, space: str, name: str) -> dict[str, Any]:
    """A claim as it is now."""
    return get(engine, f"{PVCS.format(space)}/{name}")


def bound(engine: EngineProcess, space: str, name: str) -> dict[str, Any]:
    """A claim, once it is bound."""
    return until(lambda: (found := pvc(engine, space, name)).get("status", {}).get("phase") == "Bound" and found)


def disk(engine: EngineProcess, found: dict[str, Any]) -> Path:
    """A claim's file."""
    return engine.state / "engine" / "volumes" / found["metadata"]["uid"] / "disk.qcow2"


def patch(engine: EngineProcess, path: str, body: Any) -> tuple[int, bytes]:
    """A merge patch."""
    return engine.request("PATCH", path, body, **{"Content-Type": "application/merge-patch+json"})


def size(text: str) -> dict[str, Any]:
    """The patch that asks for that much."""
    return {"spec": {"resources": {"requests": {"storage": text}}}}


def reason(engine: EngineProcess, space: str, name: str) -> tuple[str, str]:
    """Why a VMI waits: reason and message of its last False condition but Ready."""
    found = engine.vmi(space, name).get("status", {}).get("conditions", [])
    waits = [(c["reason"], c["message"]) for c in found if c["status"] == "False" and c["type"] != "Ready"]
    return waits[-1] if waits else ("", "")


def act(engine: EngineProcess, space: str, name: str, verb: str) -> None:
    """Start or stop a VM."""
    code, body = engine.request("PUT", f"{SUBRESOURCES}/namespaces/{space}/virtualmachines/{name}/{verb}")
    assert code == 202, body


def test_a_claim_is_bound_to_a_private_sparse_file(engine: EngineProcess, space: str) -> None:
    post(engine, space, claim("data", "1Gi"))
    found = bound(engine, space, "data")
    assert found["status"]["capacity"] == {"storage": "1Gi"}
    assert (found["spec"]["storageClassName"], found["spec"]["volumeMode"]) == ("local", "Filesystem")
    file = disk(engine, found)
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert file.stat().st_blocks * 512 < 2**20
    info = json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", str(file)]))
    assert info["virtual-size"] == 2**30


def test_deleting_a_claim_removes_its_file(engine: EngineProcess, space: str) -> None:
    post(engine, space, claim("data"))
    file = disk(engine, bound(engine, space, "data"))
    assert file.exists()
    assert engine.request("DELETE", f"{PVCS.format(space)}/data")[0] == 200
    until(lambda: not file.parent.exists() and not pvc(engine, space, "data"))


def test_a_claim_of_an_unknown_class_stays_pending_and_says_why(engine: EngineProcess, space: str) -> None:
    post(engine, space, claim("data", storageClassName="fast"))
    shown = until(lambda: (text := engine.kubectl("describe", "pvc", "data", "-n", space)).count("fast") > 1 and text)
    assert 'storageclass.storage.k8s.io "fast" not found' in shown
    assert pvc(engine, space, "data")["status"]["phase"] == "Pending"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"accessModes": []}, "spec.accessModes"),
        ({"accessModes": ["Sometimes"]}, "spec.accessModes[0]"),
        ({"volumeMode": "Tape"}, "spec.volumeMode"),
        ({"resources": {}}, "spec.resources[storage]"),
        ({"resources": {"requests": {"storage": "0"}}}, "spec.resources[storage]"),
        ({"selector": {"matchLabels": {"a": "b"}}}, "spec.selector"),
        ({"volumeName": "pv0"}, "spec.volumeName"),
        ({"dataSource": {"kind": "PersistentVolumeClaim", "name": "x"}}, "spec.dataSource"),
    ],
)
def test_a_wrong_claim_is_refused_with_its_field(engine: EngineProcess, space: str, change: dict, field: str) -> None:
    code, body = engine.request("POST", PVCS.format(space), claim("data", **change))
    assert (code, field in [cause["field"] for cause in json.loads(body)["details"]["causes"]]) == (422, True)


def test_a_claim_never_changes(engine: EngineProcess, space: str) -> None:
    post(engine, space, claim("data", "64Mi"))
    bound(engine, space, "data")
    path = f"{PVCS.format(space)}/data"
    for change in (size("1Mi"), size("128Mi"), {"spec": {"accessModes": ["ReadWriteMany"]}}):
        assert patch(engine, path, change)[0] == 422
    assert patch(engine, path, {"metadata": {"labels": {"a": "b"}}})[0] == 200


def test_kubectl_shows_claims_as_on_a_cluster(engine: EngineProcess, space: str) -> None:
    engine.kubectl("apply", "-n", space, "-f", "-", stdin=json.dumps(claim("data")))
    engine.kubectl("wait", "pvc/data", "-n", space, "--for=jsonpath={.status.phase}=Bound", "--timeout=20s")
    head, row = engine.kubectl("get", "pvc", "-n", space).strip().splitlines()
    assert head.split()[:2] == ["NAME", "STATUS"]
    assert [word for word in row.split() if word in ("data", "Bound", "64Mi", "RWO", "local")] == [
        "data", "Bound", "64Mi", "RWO", "local",
    ]  # fmt: skip
    assert "unchanged" in engine.kubectl("apply", "-n", space, "-f", "-", stdin=json.dumps(claim("data")))


def test_a_machine_waits_for_a_claim_that_is_not_there(engine: EngineProcess, space: str) -> None:
    post(engine, space, user("web", space, strategy="Always", persistentVolumeClaim={"claimName": "data"}))
    path = f"{VMS.format(space)}/web"
    until(lambda: get(engine, path).get("status", {}).get("printableStatus") == "ErrorPvcNotFound")
    assert engine.phase(space, "web") == "Pending"
    why = f"PVC {space}/data does not exist, waiting for it to appear"
    assert reason(engine, space, "web") == ("FailedPvcNotFound", why)
    synchronized = [c for c in get(engine, path)["status"]["conditions"] if c["type"] == "Synchronized"]
    assert (synchronized[0]["status"], synchronized[0]["reason"]) == ("False", "FailedPvcNotFound")


@pytest.fixture(scope="module")
def writer(engine: EngineProcess) -> str:
    """A namespace where the machine ``web`` runs and has written a word to the claim ``data``."""
    space = "volumes"
    engine.request("POST", "/api/v1/namespaces", namespace(space))
    post(engine, space, claim("data"), user("web", space, persistentVolumeClaim={"claimName": "data"}))
    act(engine, space, "web", "start")
    until(lambda: engine.phase(space, "web") == "Running")
    in_guest(engine, space, "web", "printf lasting | dd of=/dev/vdb conv=fsync")
    return space


def test_flushes_of_a_lasting_disk_are_honoured_and_those_of_a_passing_one_are_not(
    engine: EngineProcess, writer: str
) -> None:
    uid = pvc(engine, writer, "data")["metadata"]["uid"]
    line = next(found for found in engine.processes() if uid in found)
    layers = [json.loads(part) for part in line.split(" ") if part.startswith('{"driver"')]
    assert [layer["cache"]["no-flush"] for layer in layers] == [True, False]


def test_two_machines_never_write_to_one_claim_at_once(engine: EngineProcess, writer: str) -> None:
    post(engine, writer, user("second", writer, strategy="Always", dataVolume={"name": "data"}))
    why = "claim 'data' is used by the machine 'web': one machine at a time can write to it"
    until(lambda: reason(engine, writer, "second") == ("FailedAttachVolume", why))
    engine.kubectl("delete", "vm", "second", "-n", writer)


def test_a_claim_in_use_does_not_go_until_its_machine_has_ended(engine: EngineProcess, writer: str) -> None:
    post(engine, writer, claim("other"), user("brief", writer, persistentVolumeClaim={"claimName": "other"}))
    file = disk(engine, bound(engine, writer, "other"))
    act(engine, writer, "brief", "start")
    until(lambda: engine.phase(writer, "brief") == "Running")
    path = f"{PVCS.format(writer)}/other"
    assert engine.request("DELETE", path)[0] == 200
    assert pvc(engine, writer, "other")["metadata"]["deletionTimestamp"]
    assert file.exists()
    act(engine, writer, "brief", "stop")
    until(lambda: not pvc(engine, writer, "other") and not file.exists())


def test_a_clone_waits_until_no_machine_writes_to_its_source(engine: EngineProcess, writer: str) -> None:
    source = {"pvc": {"namespace": writer, "name": "data"}}
    wanted = {"source": source, "storage": {"resources": {"requests": {"storage": "64Mi"}}}}
    post(
        engine, writer, {**claim("copy"), "apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "spec": wanted}
    )
    path = f"/apis/cdi.kubevirt.io/v1beta1/namespaces/{writer}/datavolumes/copy"
    until(lambda: get(engine, path).get("status", {}).get("phase") == "CloneScheduled")
    assert "CloneSourceInUse" in engine.kubectl("get", "events", "-n", writer)
    act(engine, writer, "web", "stop")
    until(lambda: get(engine, path)["status"]["phase"] == "Succeeded")
    assert (
        disk(engine, pvc(engine, writer, "copy")).read_bytes() == disk(engine, pvc(engine, writer, "data")).read_bytes()
    )
    act(engine, writer, "web", "start")
    until(lambda: engine.phase(writer, "web") == "Running")


def test_what_was_written_is_there_after_stop_and_start_and_kill_of_the_engine(
    engine: EngineProcess, writer: str
) -> None:
    act(engine, writer, "web", "stop")
    until(lambda: not engine.vmi(writer, "web"))
    act(engine, writer, "web", "start")
    until(lambda: engine.phase(writer, "web") == "Running")
    engine.kill()
    engine.start()
    assert in_guest(engine, writer, "web", "head -c 7 /dev/vdb") == "lasting"


def test_an_ephemeral_volume_reads_the_claim_and_its_writes_go_with_the_machine(
    engine: EngineProcess, writer: str
) -> None:
    if engine.vmi(writer, "web"):
        act(engine, writer, "web", "stop")
        until(lambda: not engine.vmi(writer, "web"))
    file = disk(engine, pvc(engine, writer, "data"))
    before = file.read_bytes()
    source = {"persistentVolumeClaim": {"claimName": "data"}}
    post(engine, writer, user("layer", writer, strategy="Always", ephemeral=source))
    command = "head -c 7 /dev/vdb && printf passing | dd of=/dev/vdb conv=fsync && head -c 7 /dev/vdb"
    assert in_guest(engine, writer, "layer", command) == "lastingpassing"
    engine.kubectl("delete", "vm", "layer", "-n", writer)
    assert file.read_bytes() == before


def test_what_belongs_to_no_claim_is_removed_at_the_start(engine: EngineProcess) -> None:
    stray = engine.state / "engine" / "volumes" / "3f0c0000-0000-4000-8000-000000000000"
    stray.mkdir()
    os.close(os.open(stray / "disk.qcow2", os.O_CREAT))
    engine.kill()
    engine.start()
    until(lambda: not stray.exists())
