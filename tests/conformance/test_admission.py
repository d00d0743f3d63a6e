"""What KubeVirt refuses of a machine, and with which code, field and words; and what it fills in."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.conformance.conftest import Space, vm, vmi
from tests.support.engine import until

DISK = {"name": "root", "disk": {"bus": "virtio"}}
ROOT = {"name": "root", "containerDisk": {"image": "localhost/labkit/absent"}}
POD = {"name": "default", "pod": {}}
BRIDGE: dict[str, Any] = {"name": "default", "bridge": {}}


def changed(path: str, value: Any) -> dict[str, Any]:
    """A VM with another value at a path of its template's spec; None removes."""
    found = copy.deepcopy(vm())
    *parents, last = path.split(".")
    at = found["spec"]["template"]["spec"]
    for part in parents:
        at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
    if value is None:
        del at[last]
    else:
        at[last] = value
    return found


SEED = {"name": "seed", "cloudInitNoCloud": {"userData": "x"}}
FAULTS = [
    # disks and volumes
    ("domain.devices.disks", [DISK, {"name": "more", "disk": {}}], "domain.devices.disks[1].name", "not found"),
    ("domain.devices.disks", [DISK, DISK], "domain.devices.disks[1].name", ""),
    ("domain.devices.disks", [DISK | {"disk": {"bus": "ide"}}], "domain.devices.disks[0]", "ide"),
    ("domain.devices.disks", [DISK | {"disk": {"bus": "floppy"}}], "domain.devices.disks[0]", "floppy"),
    ("domain.devices.disks", [DISK | {"cdrom": {"bus": "sata"}}], "domain.devices.disks[0]", ""),
    ("domain.devices.disks", [DISK | {"cdrom": {"bus": "virtio"}, "disk": None}], "domain.devices.disks[0]", ""),
    ("domain.devices.disks", [DISK | {"bootOrder": 0}], "domain.devices.disks[0].bootOrder", ""),
    ("domain.devices.disks", [DISK | {"serial": "a b"}], "domain.devices.disks[0].serial", ""),
    ("domain.devices.disks", [DISK | {"serial": "x" * 257}], "domain.devices.disks[0].serial", "256"),
    ("volumes", [ROOT, ROOT], "volumes[1].name", ""),
    ("volumes", [ROOT | {"emptyDisk": {"capacity": "1Gi"}}], "volumes[0]", "exactly one"),
    ("volumes", [{"name": "root"}], "volumes[0]", "exactly one"),
    ("volumes", [ROOT, SEED | {"cloudInitNoCloud": {"userData": "x" * 2049}}], "volumes[1].cloudInitNoCloud", "2048"),
    ("volumes", [ROOT, SEED | {"cloudInitNoCloud": {}}], "volumes[1].cloudInitNoCloud", "userdata"),
    (
        "volumes",
        [ROOT, SEED | {"cloudInitNoCloud": {"userData": "x", "userDataBase64": "eA=="}}],
        "volumes[1].cloudInitNoCloud",
        "userdata",
    ),
    ("volumes", [ROOT, {"name": "more", "hostDisk": {"path": "/d", "type": "Disk"}}], "volumes[1]", ""),
    # memory and processors
    ("domain.memory", None, "domain", "memory"),
    ("domain.memory.guest", "0", "domain.memory.guest", ""),
    ("domain.resources", {"limits": {"memory": "128Mi"}}, "domain", "memory"),
    ("domain.resources", {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}, "domain", "memory"),
    ("domain.machine.type", "pc-i440fx", "domain.machine.type", ""),
    # network
    ("networks", [], "domain.devices.interfaces[0].name", "not found"),
    ("domain.devices.interfaces", [], "networks[0].name", ""),
    ("domain.devices.interfaces", [BRIDGE | {"name": "other"}], "domain.devices.interfaces[0].name", "not found"),
    ("domain.devices.interfaces", [BRIDGE, BRIDGE], "domain.devices.interfaces[1].name", ""),
    ("domain.devices.interfaces", [BRIDGE | {"model": "card"}], "domain.devices.interfaces[0].model", "card"),
    ("domain.devices.interfaces", [BRIDGE | {"macAddress": "no"}], "domain.devices.interfaces[0].macAddress", ""),
    ("domain.devices.interfaces", [BRIDGE | {"masquerade": {}}], "domain.devices.interfaces[0]", ""),
    ("domain.devices.interfaces", [{"name": "default", "slirp": {}}], "domain.devices.interfaces[0]", ""),
    ("networks", [POD, {"name": "second", "pod": {}}], "", ""),
    # the rest
    ("domain.devices.inputs", [{"name": "t", "type": "mouse", "bus": "usb"}], "domain.devices.inputs[0].type", ""),
    ("domain.devices.inputs", [{"name": "t", "type": "tablet", "bus": "ps2"}], "domain.devices.inputs[0].bus", ""),
    ("domain.devices.autoattachVSOCK", True, "domain.devices.autoattachVSOCK", ""),
    ("hostname", "Not A Label", "hostname", ""),
    ("subdomain", "Not A Label", "subdomain", ""),
    ("readinessProbe", {"tcpSocket": {"port": 22}, "httpGet": {"port": 80}}, "readinessProbe", "exactly one"),
    ("readinessProbe", {"periodSeconds": 1}, "readinessProbe", ""),
    (
        "accessCredentials",
        [{"sshPublicKey": {"source": {"secret": {"secretName": "k"}}, "propagationMethod": {"noCloud": {}}}}],
        "accessCredentials",
        "",
    ),
]


@pytest.mark.parametrize(("path", "value", "field", "said"), FAULTS)
def test_a_faulty_machine_is_refused_with_the_field(space: Space, path: str, value: Any, field: str, said: str) -> None:
    answer = space.post(changed(path, value))
    assert answer.refusal == (422, "Invalid"), answer.body
    fields = [found for found, _ in answer.causes]
    assert [found for found in fields if found.startswith(f"spec.template.spec.{field}")], answer.causes
    assert said.lower() in answer.message.lower()


STRATEGIES = [
    ({"runStrategy": None}, "spec.run", "RunStrategy must be specified"),
    ({"running": False}, "spec.running", "mutually exclusive"),
    ({"runStrategy": "Sometimes"}, "spec.runStrategy", "Sometimes"),
    ({"template": None}, "spec.template", ""),
]


@pytest.mark.parametrize(("spec", "field", "said"), STRATEGIES)
def test_a_machine_says_once_how_it_is_run(space: Space, spec: dict, field: str, said: str) -> None:
    found = vm()
    found["spec"] = {key: value for key, value in (found["spec"] | spec).items() if value is not None}
    answer = space.post(found)
    assert answer.refusal == (422, "Invalid")
    assert [at for at, _ in answer.causes if at.startswith(field)], answer.causes
    assert said in answer.message


def test_a_negative_number_of_cores_is_no_number_of_cores(space: Space) -> None:
    assert space.post(changed("domain.cpu", {"cores": -1})).code in (400, 422)


@pytest.mark.parametrize("missing", ["domain.devices", "domain"])
def test_a_machine_needs_devices(space: Space, missing: str) -> None:
    assert space.post(changed(missing, None)).refusal == (422, "Invalid")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("domain.memory.guest", "much"),
        ("domain.cpu", {"cores": "two"}),
        ("domain.devices.disks", "root"),
        ("volumes", [ROOT | {"containerDisk": 1}]),
    ],
)
def test_a_value_of_the_wrong_type_is_a_fault_of_that_field(space: Space, path: str, value: Any) -> None:
    answer = space.post(changed(path, value))
    assert answer.refusal[0] in (400, 422)
    assert path.split(".")[-1] in answer.message


def test_all_faults_are_told_at_once(space: Space) -> None:
    found = changed("domain.devices.disks", [DISK, {"name": "more", "disk": {}}])
    del found["spec"]["template"]["spec"]["domain"]["memory"]
    assert len(space.post(found).causes) >= 2


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("volumes", [ROOT, SEED | {"cloudInitNoCloud": {"userData": "x" * 2048}}]),
        ("volumes", [ROOT, {"name": "more", "emptyDisk": {"capacity": "1Gi"}}]),
        ("volumes", [{"name": "root", "containerDisk": {"image": ""}}]),
        ("networks", None),
        ("domain.memory", {"guest": "128M"}),
        ("domain.cpu", {"cores": 2, "sockets": 1, "threads": 1}),
        ("readinessProbe", {"tcpSocket": {"port": 22}}),
        ("terminationGracePeriodSeconds", 0),
    ],
)
def test_what_is_allowed_is_accepted(space: Space, path: str, value: Any) -> None:
    found = changed(path, value)
    if path == "networks":
        del found["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"]
    assert space.post(found).code == 201


def test_the_older_spelling_of_a_run_strategy_still_works_with_a_warning(space: Space) -> None:
    found = vm()
    found["spec"]["running"] = False
    del found["spec"]["runStrategy"]
    answer = space.post(found)
    assert answer.code == 201
    assert "spec.running is deprecated, please use spec.runStrategy instead." in answer.headers["Warning"]


def test_a_machine_instance_is_given_its_defaults(space: Space) -> None:
    bare = vmi()
    devices = {"disks": [{"name": "root"}]}
    bare["spec"] = {"domain": {"memory": {"guest": "256Mi"}, "devices": devices}, "volumes": [ROOT]}
    answer = space.post(bare, "dryRun=All")
    assert answer.code == 201, answer.body
    spec, meta = answer.document["spec"], answer.document["metadata"]
    domain = spec["domain"]
    assert {key: domain["cpu"][key] for key in ("sockets", "cores", "threads")} == dict.fromkeys(
        ("sockets", "cores", "threads"), 1
    )
    assert (domain["cpu"]["model"], spec["architecture"]) == ("host-model", "amd64")
    assert (domain["machine"]["type"], len(domain["firmware"]["uuid"])) == ("q35", 36)
    assert domain["devices"]["disks"][0]["disk"]["bus"] == "sata"
    assert domain["devices"]["interfaces"] == [{"name": "default", "bridge": {}}]
    assert spec["networks"] == [{"name": "default", "pod": {}}]
    assert spec["volumes"][0]["containerDisk"]["imagePullPolicy"]
    assert "kubevirt.io/foregroundDeleteVirtualMachine" in meta["finalizers"]


def test_a_requested_memory_becomes_the_guests(space: Space) -> None:
    found = vmi()
    found["spec"]["domain"] |= {"memory": {}, "resources": {"requests": {"memory": "256Mi"}}}
    answer = space.post(found, "dryRun=All")
    assert answer.document["spec"]["domain"]["memory"]["guest"] == "256Mi"


def test_a_volume_without_a_disk_gets_one(space: Space) -> None:
    found = vmi()
    found["spec"]["volumes"].append({"name": "more", "emptyDisk": {"capacity": "1Gi"}})
    answer = space.post(found, "dryRun=All")
    assert "more" in [disk["name"] for disk in answer.document["spec"]["domain"]["devices"]["disks"]]


def test_a_machine_instances_spec_is_fixed_and_its_labels_are_not(space: Space) -> None:
    space.make(vmi())
    refused = space.patch("virtualmachineinstances", "web", {"spec": {"hostname": "other"}})
    assert refused.refusal == (422, "Invalid") or refused.code == 422
    assert "update of VMI object is restricted" in refused.message
    assert space.patch("virtualmachineinstances", "web", {"metadata": {"labels": {"x": "y"}}}).code == 200


def test_a_status_sent_by_a_user_is_dropped(space: Space) -> None:
    space.make(vmi(), vm("halted"))
    assert space.patch("virtualmachineinstances", "web", {"status": {"phase": "Succeeded"}}).code == 200
    assert space.patch("virtualmachines", "halted", {"status": {"ready": True}}).code == 200
    assert space.get("virtualmachineinstances", "web").document["status"]["phase"] != "Succeeded"
    assert not space.get("virtualmachines", "halted").document.get("status", {}).get("ready")


def test_a_started_machine_whose_template_changes_asks_for_a_restart(space: Space) -> None:
    space.make(vm(strategy="Always"))
    until(lambda: space.get("virtualmachineinstances", "web").code == 200, 30)
    space.patch("virtualmachines", "web", {"spec": {"template": {"spec": {"hostname": "other"}}}})
    until(lambda: space.condition("virtualmachines", "web", "RestartRequired").get("status") == "True", 30)
