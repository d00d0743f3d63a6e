"""Disks that outlive machines: claims, DataVolumes, snapshots and restores."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.conftest import FOREIGN, Space, vm
from tests.support.cluster import Cluster
from tests.support.engine import until

READY = {"Succeeded", "WaitForFirstConsumer", "PendingPopulation"}


@pytest.fixture(autouse=True)
def served(cluster: Cluster) -> None:
    """On a foreign cluster, only where there is storage at all."""
    for group in ("cdi.kubevirt.io/v1beta1", "snapshot.kubevirt.io/v1beta1"):
        if FOREIGN and cluster.ask("GET", f"/apis/{group}").code != 200:
            pytest.skip(f"this cluster does not serve {group}")


def size(text: str = "64Mi", **more: Any) -> dict[str, Any]:
    """What a claim asks for."""
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": text}}, **more}


def claim(name: str, **spec: Any) -> dict[str, Any]:
    """A PersistentVolumeClaim."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name},
        "spec": {**size(), **spec},
    }


def volume(name: str, **spec: Any) -> dict[str, Any]:
    """A DataVolume, blank unless said otherwise."""
    wanted = spec or {"source": {"blank": {}}, "storage": size()}
    return {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": {"name": name}, "spec": wanted}


def user(name: str, strategy: str = "Halted", **source: Any) -> dict[str, Any]:
    """A machine with one more disk."""
    found = vm(name, strategy)
    found["spec"]["template"]["spec"]["volumes"].append({"name": "data", **source})
    return found


def phase(space: Space, plural: str, name: str) -> str:
    """An object's phase, or ''."""
    return str((space.get(plural, name).document.get("status") or {}).get("phase", ""))


def test_a_claim_is_bound_or_waits_for_its_first_user(space: Space) -> None:
    space.make(claim("c"))
    until(lambda: phase(space, "persistentvolumeclaims", "c") in ("Bound", "Pending"), 20)
    found = space.get("persistentvolumeclaims", "c").document
    assert found["spec"]["volumeMode"] in ("Filesystem", "Block")
    assert "kubernetes.io/pvc-protection" in found["metadata"]["finalizers"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"accessModes": []}, "spec.accessModes"),
        ({"accessModes": ["Sometimes"]}, "spec.accessModes"),
        ({"resources": {}}, "spec.resources"),
        ({"resources": {"requests": {"storage": "-1"}}}, "spec.resources"),
    ],
)
def test_a_faulty_claim_is_refused(space: Space, spec: dict, field: str) -> None:
    answer = space.post(claim("c", **spec))
    assert answer.refusal == (422, "Invalid")
    assert any(found.startswith(field) for found, _ in answer.causes), answer.causes


def test_a_claim_does_not_change_into_another(space: Space) -> None:
    space.make(claim("c"))
    assert space.patch("persistentvolumeclaims", "c", {"spec": {"accessModes": ["ReadOnlyMany"]}}).code == 422
    smaller = {"spec": {"resources": {"requests": {"storage": "1Mi"}}}}
    assert space.patch("persistentvolumeclaims", "c", smaller).code in (403, 422)


def test_a_blank_volume_becomes_a_claim_of_its_name(space: Space) -> None:
    made = space.make(volume("d"))
    until(lambda: phase(space, "datavolumes", "d") in READY, 60)
    found = until(lambda: space.get("persistentvolumeclaims", "d"), 20).document
    assert found["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    assert "d" in space.kubectl("get", "dv")


@pytest.mark.parametrize(
    "spec",
    [
        {"storage": size()},
        {"source": {"blank": {}}},
        {"source": {"blank": {}}, "storage": size(), "pvc": size()},
        {"source": {"blank": {}, "http": {"url": "http://localhost/"}}, "storage": size()},
    ],
)
def test_a_faulty_volume_is_refused(space: Space, spec: dict) -> None:
    assert space.post(volume("d", **spec)).refusal[0] in (400, 422)


def test_a_machine_whose_claim_is_missing_says_so(space: Space) -> None:
    space.make(user("web", "Always", persistentVolumeClaim={"claimName": "nothing"}))
    until(lambda: "ErrorPvcNotFound" in space.kubectl("get", "vm", "web"), 30)
    found = until(lambda: space.condition("virtualmachineinstances", "web", "Synchronized"), 20)
    assert (found["status"], found["reason"]) == ("False", "FailedPvcNotFound")


def with_template(name: str, used: str) -> dict[str, Any]:
    """A machine that brings a disk of its own."""
    found = user(name, dataVolume={"name": used})
    template = {"metadata": {"name": f"{name}-disk"}, "spec": volume("")["spec"]}
    found["spec"]["dataVolumeTemplates"] = [template]
    return found


def test_a_machine_brings_its_disk_and_takes_it_away(space: Space) -> None:
    space.make(with_template("web", "web-disk"))
    until(lambda: phase(space, "datavolumes", "web-disk") in READY, 60)
    space.delete("virtualmachines", "web")
    until(lambda: space.names("datavolumes") + space.names("persistentvolumeclaims") == [], 60)


def test_a_disk_that_the_machine_does_not_use_is_refused(space: Space) -> None:
    answer = space.post(with_template("web", "other"))
    assert answer.refusal == (422, "Invalid")
    assert any("dataVolumeTemplate" in field for field, _ in answer.causes), answer.causes


def snapshot(name: str, of: str) -> dict[str, Any]:
    """A snapshot of a machine."""
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": of}
    return {
        "apiVersion": "snapshot.kubevirt.io/v1beta1",
        "kind": "VirtualMachineSnapshot",
        "metadata": {"name": name},
        "spec": {"source": source},
    }


def restore(name: str, of: str, to: str) -> dict[str, Any]:
    """A snapshot brought back."""
    target = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": to}
    return {
        "apiVersion": "snapshot.kubevirt.io/v1beta1",
        "kind": "VirtualMachineRestore",
        "metadata": {"name": name},
        "spec": {"target": target, "virtualMachineSnapshotName": of},
    }


def test_a_machine_is_snapshot_and_brought_back(space: Space) -> None:
    space.make(with_template("web", "web-disk"))
    until(lambda: phase(space, "datavolumes", "web-disk") in READY, 60)
    space.make(snapshot("s", "web"))
    until(lambda: space.get("virtualmachinesnapshots", "s").document.get("status", {}).get("readyToUse"), 60)
    assert phase(space, "virtualmachinesnapshots", "s") == "Succeeded"
    space.make(restore("r", "s", "web"))
    until(lambda: space.get("virtualmachinerestores", "r").document.get("status", {}).get("complete"), 60)


def test_a_snapshot_of_nothing_does_not_become_ready(space: Space) -> None:
    space.make(snapshot("s", "nobody"))
    until(lambda: space.get("virtualmachinesnapshots", "s").document.get("status"), 20)
    assert not space.get("virtualmachinesnapshots", "s").document["status"].get("readyToUse")


def test_a_snapshot_says_what_it_is_of(space: Space) -> None:
    wrong = snapshot("s", "web")
    wrong["spec"]["source"]["kind"] = "Pod"
    assert space.post(wrong).refusal == (422, "Invalid")
