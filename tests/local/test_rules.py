"""The engine's decisions, which need neither network nor clock: plans, patches, selectors, names, policies."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from labkit.local.api.admission import admit_network_policy, own_traffic_allowed
from labkit.local.api.kinds import Admission
from labkit.local.api.paths import parse
from labkit.local.api.selectors import label_selector
from labkit.local.api.status import ApiError
from labkit.local.kubevirt.vm_plan import plan
from labkit.local.network.names import SegmentRecord, free_network, names
from tests.support.engine import headless_service, machine

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
    assert (waiting.create, waiting.again, waiting.status["printableStatus"]) == (None, 10.0, "CrashLoopBackOff")


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


def policy(**spec: Any) -> dict[str, Any]:
    about = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "p"}}
    return {**about, "spec": {"podSelector": {}, **spec}}


OWN: dict[str, Any] = {"podSelector": {}}
DNS = {"ports": [{"protocol": "UDP", "port": 53}]}


@pytest.mark.parametrize(
    "spec",
    [
        {"policyTypes": ["Ingress", "Egress"]},
        {"ingress": [{"from": [OWN]}], "egress": [{"to": [OWN]}, DNS]},
        {"ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]}]},
    ],
)
def test_policies_that_a_closed_network_makes_true_are_accepted(spec: dict) -> None:
    admit_network_policy(Admission(policy(**spec), None, lambda *_: None))


@pytest.mark.parametrize(
    "spec",
    [
        {"egress": [{}]},
        {"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]},
        {"egress": [{"to": [{"podSelector": {"matchLabels": {"app": "web"}}}]}]},
        {"ingress": [{"from": [OWN], "ports": [{"port": 80}]}]},
        {"podSelector": {"matchLabels": {"app": "web"}}},
    ],
)
def test_policies_that_cannot_be_enforced_are_refused(spec: dict) -> None:
    with pytest.raises(ApiError, match="the embedded engine cannot enforce"):
        admit_network_policy(Admission(policy(**spec), None, lambda *_: None))


def test_machines_hear_one_another_only_where_every_closing_direction_is_opened_again() -> None:
    closed = policy(policyTypes=["Ingress", "Egress"])
    opened = policy(policyTypes=["Ingress", "Egress"], ingress=[{"from": [OWN]}], egress=[{"to": [OWN]}])
    assert [own_traffic_allowed(p) for p in ([], [closed], [closed, opened])] == [True, False, True]


def test_a_machine_keeps_its_address_and_a_freed_one_is_given_again() -> None:
    record = SegmentRecord(free_network(["10.77.0.0/24"])).with_machine("a").with_machine("b")
    assert record.addresses == {"a": "10.77.1.10", "b": "10.77.1.11"}
    assert record.with_machine("a") == record
    assert record.without_machine("a").with_machine("c").addresses["c"] == "10.77.1.10"


def test_only_headless_services_give_names() -> None:
    pod = {"metadata": {"labels": {"app": "web"}}, "spec": {}, "status": {"phase": "Running", "podIP": "10.77.0.10"}}
    assert names([headless_service("web", "lab")], [pod]) == {"web.lab.svc.cluster.local": ["10.77.0.10"]}
    assert names([], [pod]) == {}
