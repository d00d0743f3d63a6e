"""The engine's decisions, which need neither network nor clock: plans, patches, selectors, addresses."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from labkit.local.api.checking import check
from labkit.local.api.kinds import Admission
from labkit.local.api.paths import parse
from labkit.local.api.schemas import node_of
from labkit.local.api.selectors import label_selector
from labkit.local.api.status import ApiError
from labkit.local.kubevirt.admission import admit_vm, admit_vmi
from labkit.local.kubevirt.vm_plan import plan
from labkit.local.network.dnsmasq import with_former
from labkit.local.network.names import SegmentRecord, free_network
from labkit.local.table import KINDS
from tests.support.engine import machine

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def vm(strategy: str, **status: Any) -> dict[str, Any]:
    found = machine("web", "lab", strategy=strategy)
    found["metadata"] |= {"uid": "vm-1", "generation": 1}
    return found | {"status": status}


def vmi(phase: str, *, ran: bool = True) -> dict[str, Any]:
    phases = [{"phase": name, "phaseTransitionTimestamp": ""} for name in ((["Running"] if ran else []) + [phase])]
    spec = copy.deepcopy(machine("web", "lab")["spec"]["template"]["spec"])
    status = {"phase": phase, "phaseTransitionTimestamps": phases}
    return {"metadata": {"name": "web", "namespace": "lab", "uid": "vmi-1"}, "spec": spec, "status": status}


@pytest.mark.parametrize(
    ("strategy", "status", "phase", "create", "delete"),
    [
        ("Always", {}, None, True, False),
        ("Always", {}, "Running", False, False),
        ("Always", {}, "Succeeded", False, True),
        ("Always", {"runStrategy": "Always"}, None, True, False),
        ("Halted", {}, None, False, False),
        ("Halted", {}, "Running", False, True),
        ("Manual", {}, None, False, False),
        ("Manual", {"stateChangeRequests": [{"action": "Start"}]}, None, True, False),
        ("Manual", {"stateChangeRequests": [{"action": "Stop", "uid": "vmi-1"}]}, "Running", False, True),
        ("Manual", {}, "Succeeded", False, False),
        ("RerunOnFailure", {}, None, True, False),
        ("RerunOnFailure", {"runStrategy": "RerunOnFailure"}, None, False, False),
        ("RerunOnFailure", {}, "Succeeded", False, True),
        ("Once", {}, None, True, False),
        ("Once", {"runStrategy": "Once"}, None, False, False),
        ("Once", {}, "Failed", False, False),
    ],
)
def test_a_run_strategy_decides_what_happens_to_the_machine(
    strategy: str, status: dict, phase: str | None, create: bool, delete: bool
) -> None:
    step = plan(vm(strategy, **status), vmi(phase) if phase else None, NOW)
    assert (step.create is not None, step.delete) == (create, delete)


def test_a_crash_under_rerun_on_failure_asks_for_a_new_start_and_a_poweroff_does_not() -> None:
    started = {"runStrategy": "RerunOnFailure"}
    crashed = plan(vm("RerunOnFailure", **started), vmi("Failed"), NOW).status
    off = plan(vm("RerunOnFailure", **started), vmi("Succeeded"), NOW).status
    assert crashed["stateChangeRequests"] == [{"action": "Start"}]
    assert "stateChangeRequests" not in off


def test_machines_that_never_ran_are_tried_again_later_and_later() -> None:
    first = plan(vm("Always"), vmi("Failed", ran=False), NOW).status
    waiting = plan(vm("Always", **first), None, NOW)
    assert first["startFailure"]["consecutiveFailCount"] == 1
    assert (waiting.create, waiting.status["printableStatus"]) == (None, "CrashLoopBackOff")
    assert 10 <= (waiting.again or 0) <= 15


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("app=web", True),
        ("app!=web", False),
        ("app in (db,web),!old", True),
        ("old", False),
        ("app notin (web)", False),
    ],
)
def test_label_selectors(selector: str, matches: bool) -> None:
    assert label_selector(selector)({"metadata": {"labels": {"app": "web"}}}) is matches


def test_a_path_names_namespace_object_and_subresource() -> None:
    found = parse("/apis/g/v1/namespaces/lab/things/web/portforward/22/tcp")
    assert found is not None
    assert (found.group, found.namespace, found.plural, found.name) == ("g", "lab", "things", "web")
    assert found.subresource == "portforward/22/tcp"


def test_a_machine_keeps_its_address_and_a_freed_one_is_given_again() -> None:
    record = SegmentRecord(free_network(["10.77.0.0/24"])).with_machine("a").with_machine("b")
    assert record.addresses == {"a": "10.77.1.10", "b": "10.77.1.11"}
    assert record.with_machine("a") == record
    assert record.without_machine("a").with_machine("c").addresses["c"] == "10.77.1.10"


def test_an_address_is_given_to_a_new_machine_though_it_is_still_leased_to_one_that_is_gone() -> None:
    hosts = "02:00:00:00:00:0a,10.77.1.10,12h\n02:00:00:00:00:0b,10.77.1.11,12h\n"
    leases = "1795272295 02:00:00:00:00:01 10.77.1.10 * *\n1795272295 02:00:00:00:00:0b 10.77.1.11 * *\n"
    assert with_former(hosts, leases) == hosts.replace("0a,", "0a,02:00:00:00:00:01,")
    assert with_former(hosts, "") == hosts


# Admission: what KubeVirt's webhooks refuse and fill in


def changed(path: str, value: Any) -> dict[str, Any]:
    """A machine's spec with one thing changed; a path's numbers are places in lists."""
    spec: dict[str, Any] = copy.deepcopy(machine("web", "lab")["spec"]["template"]["spec"])
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = spec
    for step in steps:
        place = place[step] if isinstance(step, int) else place.setdefault(step, {})
    place[last] = value
    return spec


def admitted(spec: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
    """A VMI with that spec, as it would be stored."""
    about = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "web"}}
    found = about | {"spec": copy.deepcopy(spec)}
    admit_vmi(Admission(found, old, lambda *_: None))
    return found


def causes(spec: dict[str, Any]) -> list[tuple[str, str]]:
    """Field and reason of every fault: those of its fields, else those of the rules between them."""
    if found := check(node_of(VMI), {"spec": spec})[1].causes:
        return [(cause.field, cause.reason) for cause in found]
    with pytest.raises(ApiError) as refused:
        admitted(spec)
    assert (refused.value.code, refused.value.reason) == (422, "Invalid")
    return [(cause["field"], cause["reason"]) for cause in refused.value.details["causes"]]


VMI = next(kind for kind in KINDS if kind.kind == "VirtualMachineInstance")
INVALID, REQUIRED, UNKNOWN, TWICE = (
    f"FieldValue{word}" for word in ("Invalid", "Required", "NotSupported", "Duplicate")
)
DEVICES = "domain.devices"
SEED = {"name": "seed"}
POD = {"name": "default", "pod": {}}
NIC = {"name": "default", "bridge": {}}


@pytest.mark.parametrize(
    ("path", "value", "field", "reason"),
    [
        (f"{DEVICES}.disks.0.disk.bus", "ide", f"{DEVICES}.disks[0].disk.bus", UNKNOWN),
        (f"{DEVICES}.disks.0.name", "other", f"{DEVICES}.disks[0].name", INVALID),
        (f"{DEVICES}.disks.1.name", "root", f"{DEVICES}.disks[1].name", TWICE),
        (f"{DEVICES}.disks.0.bootOrder", 0, f"{DEVICES}.disks[0].bootOrder", INVALID),
        (f"{DEVICES}.disks.0.serial", "a b", f"{DEVICES}.disks[0].serial", INVALID),
        ("volumes.1", {"name": "seed"}, "volumes[1]", INVALID),
        ("volumes.1.cloudInitNoCloud", {"userData": "x" * 2049}, "volumes[1].cloudInitNoCloud", INVALID),
        ("volumes.1.cloudInitNoCloud", {"userDataBase64": "QUFB" * 700}, "volumes[1].cloudInitNoCloud", INVALID),
        ("volumes.1.cloudInitNoCloud", {"networkData": "x" * 2049}, "volumes[1].cloudInitNoCloud", INVALID),
        ("volumes.1.cloudInitNoCloud", {"userData": "a", "secretRef": SEED}, "volumes[1].cloudInitNoCloud", INVALID),
        ("volumes.1.cloudInitNoCloud", {}, "volumes[1].cloudInitNoCloud", INVALID),
        ("domain.memory", {}, "domain.memory.guest", REQUIRED),
        ("domain.memory.guest", "-1Gi", "domain.memory.guest", INVALID),
        ("domain.resources.limits", {"memory": "128Mi"}, "domain.memory.guest", INVALID),
        ("domain.cpu.cores", -1, "domain.cpu.cores", INVALID),
        ("domain.cpu.cores", 65, "domain.cpu.cores", INVALID),
        ("domain.machine.type", "pc-i440fx-7.2", "domain.machine.type", INVALID),
        ("hostname", "no_label", "hostname", INVALID),
        ("subdomain", "-", "subdomain", INVALID),
        ("terminationGracePeriodSeconds", -1, "terminationGracePeriodSeconds", INVALID),
        ("startStrategy", "Frozen", "startStrategy", UNKNOWN),
        ("networks", [], f"{DEVICES}.interfaces[0].name", INVALID),
        (f"{DEVICES}.interfaces", [], "networks[0].name", INVALID),
        (f"{DEVICES}.interfaces", [NIC, NIC], f"{DEVICES}.interfaces[1].name", TWICE),
        (f"{DEVICES}.interfaces.0.macAddress", "02:00:00:00:00:00", f"{DEVICES}.interfaces[0].macAddress", INVALID),
        (f"{DEVICES}.interfaces.0.slirp", {}, f"{DEVICES}.interfaces[0].slirp", UNKNOWN),
        (f"{DEVICES}.interfaces.0.masquerade", {}, f"{DEVICES}.interfaces[0].masquerade", UNKNOWN),
        (f"{DEVICES}.autoattachVSOCK", True, f"{DEVICES}.autoattachVSOCK", UNKNOWN),
        ("readinessProbe", {"periodSeconds": 1}, "readinessProbe", INVALID),
        ("readinessProbe", {"guestAgentPing": {}, "tcpSocket": {"port": 1}}, "readinessProbe", INVALID),
    ],
)  # fmt: skip
def test_a_fault_is_refused_with_its_field_and_kubernetes_word_for_it(
    path: str, value: Any, field: str, reason: str
) -> None:
    assert causes(changed(path, value)) == [(f"spec.{field}", reason)]


def test_all_faults_are_named_at_once() -> None:
    spec = changed("domain.memory", {}) | {"networks": [POD, POD]}
    fields = [field for field, _ in causes(spec)]
    assert fields == ["spec.networks", "spec.networks[1].name", "spec.domain.memory.guest"]
    wrong = changed("domain.cpu.cores", 65) | {"hostname": "A"}
    assert [field for field, _ in causes(wrong)] == ["spec.domain.cpu.cores", "spec.hostname"]


def test_a_request_above_its_limit_is_refused() -> None:
    resources = {"requests": {"cpu": "2", "memory": "2Gi"}, "limits": {"cpu": "1500m", "memory": "1Gi"}}
    found = causes(changed("domain.resources", resources))
    assert [field for field, _ in found] == [f"spec.domain.resources.requests.{what}" for what in ("cpu", "memory")]


def test_a_boot_order_is_used_once_over_disks_and_interfaces() -> None:
    spec = changed(f"{DEVICES}.disks.0.bootOrder", 1)
    spec["domain"]["devices"]["interfaces"][0]["bootOrder"] = 1
    assert causes(spec) == [(f"spec.{DEVICES}.interfaces[0].bootOrder", TWICE)]


def test_the_smallest_machine_gets_kubevirts_defaults() -> None:
    disk = {"name": "root", "containerDisk": {"image": "registry:5000/disk"}}
    spec = admitted({"domain": {"devices": {}, "memory": {"guest": "1Gi"}}, "volumes": [disk]})["spec"]
    domain = spec["domain"]
    assert (spec["architecture"], domain["machine"]["type"], spec["evictionStrategy"]) == ("amd64", "q35", "None")
    assert domain["cpu"] == {"sockets": 1, "cores": 1, "threads": 1, "model": "host-model", "maxSockets": 4}
    assert domain["memory"] == {"guest": "1Gi"}
    assert domain["devices"]["disks"] == [{"name": "root", "disk": {"bus": "sata"}}]
    assert (domain["devices"]["interfaces"], spec["networks"]) == ([NIC], [POD])
    assert spec["volumes"][0]["containerDisk"]["imagePullPolicy"] == "Always"


def test_a_tagged_image_is_pulled_only_where_it_is_missing() -> None:
    volumes = admitted(changed("volumes.0.containerDisk.image", "registry:5000/disk:v1"))["spec"]["volumes"]
    assert volumes[0]["containerDisk"]["imagePullPolicy"] == "IfNotPresent"


def test_a_machine_cannot_be_changed_but_its_manifest_can_be_applied_again() -> None:
    spec = changed("hostname", "web")
    stored = admitted(spec)
    assert admitted(spec, stored)["spec"] == stored["spec"]
    with pytest.raises(ApiError, match="update of VMI object is restricted"):
        admitted(spec | {"hostname": "other"}, stored)


def vm_faults(**spec: Any) -> tuple[list[str], list[str]]:
    """Fields and warnings of a VM with those parts in its spec; None takes one away."""
    found = {"kind": "VirtualMachine"} | machine("web", "lab")
    found["spec"] = {key: value for key, value in (found["spec"] | spec).items() if value is not None}
    admission = Admission(found, None, lambda *_: None)
    try:
        admit_vm(admission)
    except ApiError as error:
        return [cause["field"] for cause in error.details["causes"]], admission.warnings
    return [], admission.warnings


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ({"running": True}, ["spec.running"]),
        ({"runStrategy": None}, ["spec.running"]),
        ({"template": {"spec": {"domain": {"devices": {}}}}}, ["spec.template.spec.domain.memory.guest"]),
    ],
)
def test_a_virtual_machine_says_once_how_it_runs(spec: dict, fields: list[str]) -> None:
    assert vm_faults(**spec)[0] == fields


def test_the_deprecated_field_running_is_warned_of() -> None:
    warned = "spec.running is deprecated, please use spec.runStrategy instead."
    assert vm_faults(running=True, runStrategy=None) == ([], [warned])
