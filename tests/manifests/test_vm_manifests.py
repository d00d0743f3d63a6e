"""A VM's spec, part by part: disks, storage, networks, readiness, Windows, overrides."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.manifests.site import Site
from labkit.manifests.storage import volume
from labkit.templates import Attachment, Disk, File, FileSet, Image, Machine, Network, Readiness, Volume
from tests.manifests.objects import SCOPE, machine_spec, meta, objects

GIB = 1 << 30
TINY = Image("bundled", "tiny")
VOLUMES = (Volume("data", GIB), Volume("gold", GIB, Image("registry", "quay.io/labs/gold:1")))


def vm(image: Image = TINY, **more: Any) -> Machine:
    return Machine("box", "vm", image, 2, GIB, **more)


def devices(machine: Machine, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = machine_spec(machine, **more)["domain"]["devices"]
    return found


@pytest.mark.parametrize(
    ("disk", "device", "source"),
    [
        (Disk("d", "empty", size_bytes=GIB), {"disk": {"bus": "virtio"}}, {"emptyDisk": {"capacity": str(GIB)}}),
        (
            Disk("d", "image", image=Image("registry", "quay.io/a/cd:1"), type="cdrom"),
            {"cdrom": {"bus": "sata"}},
            {"containerDisk": {"image": "quay.io/a/cd:1"}},
        ),
        (
            Disk("d", "image", image=Image("clone", "gold/disk", size_bytes=GIB), read_only=True),
            {"disk": {"bus": "virtio", "readonly": True}},
            {"dataVolume": {"name": "box.d"}},
        ),
        (
            Disk("d", "volume", "data", type="lun"),
            {"lun": {"bus": "scsi"}},
            {"persistentVolumeClaim": {"claimName": "data"}},
        ),
        (Disk("d", "volume", "gold", bus="sata"), {"disk": {"bus": "sata"}}, {"dataVolume": {"name": "gold"}}),
        (
            Disk("d", "ephemeral", "gold", boot=1),
            {"disk": {"bus": "virtio"}, "bootOrder": 1},
            {"ephemeral": {"persistentVolumeClaim": {"claimName": "gold"}}},
        ),
        (Disk("d", "configMap", "texts"), {"disk": {"bus": "virtio"}}, {"configMap": {"name": "files-texts"}}),
        (Disk("d", "secret", "keys"), {"disk": {"bus": "virtio"}}, {"secret": {"secretName": "files-keys"}}),
    ],
)
def test_a_disk_of_each_kind_stands_between_the_vms_own_and_its_user_data(
    disk: Disk, device: dict[str, Any], source: dict[str, Any]
) -> None:
    spec = machine_spec(vm(disks=(disk,)), volumes=VOLUMES)
    assert spec["domain"]["devices"]["disks"][1] == {"name": "d", **device}
    assert spec["volumes"][1] == {"name": "d", **source}
    assert [item["name"] for item in spec["volumes"]] == ["root", "d", "seed"]


def test_where_a_disk_has_a_boot_order_the_vms_own_comes_after_it() -> None:
    assert devices(vm(disks=(Disk("cd", "empty", size_bytes=1, boot=2),)))["disks"][0]["bootOrder"] == 3


def test_an_image_with_a_size_becomes_a_volume_of_the_vms_own() -> None:
    *_, made, machine = objects(vm(Image("url", "https://example.org/a.qcow2", "ab" * 32, 2 * GIB)))
    storage = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": str(2 * GIB)}}}
    source = {"http": {"url": "https://example.org/a.qcow2", "checksum": f"sha256:{'ab' * 32}"}}
    assert (made["kind"], made["metadata"]) == ("DataVolume", meta("box.root"))
    assert made["spec"] == {"source": source, "storage": storage}
    assert machine["spec"]["template"]["spec"]["volumes"][0] == {"name": "root", "dataVolume": {"name": "box.root"}}


@pytest.mark.parametrize(
    ("image", "source"),
    [
        (Image("bundled", "tiny"), {"registry": {"url": "docker://localhost/labkit/tiny:latest"}}),
        (Image("registry", "quay.io/a/b:1"), {"registry": {"url": "docker://quay.io/a/b:1"}}),
        (Image("clone", "gold/disk"), {"pvc": {"namespace": "gold", "name": "disk"}}),
    ],
)
def test_a_volume_of_the_lab_is_filled_from_its_image(image: Image, source: dict[str, Any]) -> None:
    claim = {"accessModes": ["ReadWriteMany"], "storageClassName": "fast"}
    assert volume(SCOPE, Volume("v", None, image, "fast", "ReadWriteMany"), Site()) == {
        "apiVersion": "cdi.kubevirt.io/v1beta1",
        "kind": "DataVolume",
        "metadata": meta("v"),
        "spec": {"source": source, "storage": claim},
    }


def test_a_volume_without_an_image_is_a_claim() -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": str(GIB)}}}
    made = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta("data"), "spec": claim}
    assert volume(SCOPE, Volume("data", GIB), Site()) == made


def test_files_in_sets_lie_in_config_maps_and_secrets_by_names_that_are_not_labkits() -> None:
    texts = FileSet("texts", (File("a", "Hello, {{ learner }}"), File("b", data=b"\xff")))
    keys = FileSet("keys", (File("k", "abc"),), secret=True)
    found = objects(vm(), file_sets=(texts, keys), variables={"learner": "Ada"})
    wanted = [
        {
            "kind": "ConfigMap",
            "metadata": meta("files-texts"),
            "data": {"a": "Hello, Ada"},
            "binaryData": {"b": "/w=="},
        },
        {"kind": "Secret", "metadata": meta("files-keys"), "data": {"k": "YWJj"}},
    ]
    assert [item for item in found if item["metadata"]["name"].startswith("files-")] == [
        {"apiVersion": "v1", **item} for item in wanted
    ]


def test_an_instancetype_and_a_preference_stand_in_the_vm_and_no_size_beside_them() -> None:
    machine = Machine("box", "vm", TINY, None, None, instancetype="u1.small", preference="fedora")
    spec = objects(machine)[-1]["spec"]
    assert spec["instancetype"] == {"kind": "VirtualMachineClusterInstancetype", "name": "u1.small"}
    assert spec["preference"] == {"kind": "VirtualMachineClusterPreference", "name": "fedora"}
    assert spec["template"]["spec"]["domain"].keys() == {"devices"}


def test_further_networks_are_bound_by_bridge_and_the_pods_as_the_template_says() -> None:
    machine = vm(networks=(Attachment("dmz", "nets/dmz", "02:00:00:00:00:01"),))
    spec = machine_spec(machine, network=Network(binding="masquerade"))
    assert spec["networks"] == [{"name": "default", "pod": {}}, {"name": "dmz", "multus": {"networkName": "nets/dmz"}}]
    assert spec["domain"]["devices"]["interfaces"] == [
        {"name": "default", "masquerade": {}},
        {"name": "dmz", "bridge": {}, "macAddress": "02:00:00:00:00:01"},
    ]


TIMES = {"periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 3}


@pytest.mark.parametrize(
    ("ready", "probe"),
    [
        (Readiness("agent"), {"guestAgentPing": {}}),
        (Readiness("tcp", 22), {"tcpSocket": {"port": 22}}),
        (Readiness("http", 80, "/up"), {"httpGet": {"port": 80, "path": "/up"}}),
    ],
)
def test_readiness_is_a_probe(ready: Readiness, probe: dict[str, Any]) -> None:
    assert machine_spec(vm(ready=ready))["readinessProbe"] == {**probe, **TIMES}


def test_windows_has_disks_cards_and_features_that_it_knows_without_drivers() -> None:
    machine = vm(
        os="windows", disks=(Disk("drivers", "image", image=Image("registry", "a.io/virtio:1"), type="cdrom"),)
    )
    spec = machine_spec(machine)
    domain = spec["domain"]
    assert [list(disk.items())[1] for disk in domain["devices"]["disks"]] == [
        ("disk", {"bus": "sata"}),
        ("cdrom", {"bus": "sata"}),
        ("cdrom", {"bus": "sata"}),
    ]
    assert domain["devices"]["interfaces"] == [{"name": "default", "bridge": {}, "model": "e1000e"}]
    assert domain["firmware"] == {"bootloader": {"efi": {"secureBoot": True}}}
    assert (domain["devices"]["tpm"], domain["features"]["smm"], spec["terminationGracePeriodSeconds"]) == ({}, {}, 60)
    assert domain["clock"]["timer"]["hpet"] == {"present": False}


def test_an_authors_own_fields_have_the_last_word() -> None:
    over = {"domain": {"cpu": {"model": "host-passthrough"}, "devices": {"disks": [{"name": "root", "serial": "S"}]}}}
    spec = machine_spec(vm(overrides=over))
    assert spec["domain"]["cpu"] == {"cores": 2, "model": "host-passthrough"}
    assert spec["domain"]["devices"]["disks"] == [
        {"name": "root", "disk": {"bus": "virtio"}, "serial": "S"},
        {"name": "seed", "disk": {"bus": "virtio"}},
    ]
