"""Server-side apply: fields have managers, who may not take them from one another unasked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from labkit.local.api.apply import Manager, applied, tracked
from labkit.local.api.schemas import definitions, resolve
from labkit.local.api.status import ApiError
from tests.local.conftest import post
from tests.support.engine import EngineProcess, machine, seed

SERVICE = definitions()["io.k8s.api.core.v1.Service"]
ALICE, BOB, EVE = Manager("alice", "Apply", "v1"), Manager("bob", "Apply", "v1"), Manager("eve", "Update", "v1")


def service(*ports: int, **labels: str) -> dict[str, Any]:
    """A part of a Service."""
    found: dict[str, Any] = {"metadata": {"name": "s"} | ({"labels": labels} if labels else {})}
    return found | ({"spec": {"ports": [{"port": port, "name": f"p{port}"} for port in ports]}} if ports else {})


def apply(live: dict[str, Any], config: dict[str, Any], who: Manager = ALICE, *, force: bool = False) -> dict[str, Any]:
    """The Service after an apply."""
    return applied(live, config, who, force, SERVICE, resolve, "now")


def update(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The Service after eve's update."""
    fields = tracked(old, new, EVE, SERVICE, resolve, "now")
    return new | {"metadata": new["metadata"] | {"managedFields": fields}}


def ports(obj: dict[str, Any]) -> list[int]:
    """The ports of a Service."""
    return [port["port"] for port in obj.get("spec", {}).get("ports", [])]


def test_what_is_applied_is_noted_as_kubernetes_does() -> None:
    entry = apply({}, service(80, a="b"))["metadata"]["managedFields"]
    key = 'k:{"port":80,"protocol":"TCP"}'
    fields = {
        "f:metadata": {"f:labels": {"f:a": {}}},
        "f:spec": {"f:ports": {key: {".": {}, "f:name": {}, "f:port": {}}}},
    }
    about = {"manager": "alice", "operation": "Apply", "apiVersion": "v1", "time": "now", "fieldsType": "FieldsV1"}
    assert entry == [about | {"fieldsV1": fields}]


def test_two_managers_each_set_their_own_items_and_labels() -> None:
    found = apply(apply({}, service(80, a="1")), service(81, b="2"), BOB)
    assert ports(found) == [80, 81]
    assert found["metadata"]["labels"] == {"a": "1", "b": "2"}


def test_what_a_manager_no_longer_applies_goes_unless_another_holds_it() -> None:
    both = apply(apply({}, service(80, 81, a="1")), service(81), BOB)
    found = apply(both, service(80))
    assert ports(found) == [80, 81]
    assert "labels" not in found["metadata"]
    assert ports(apply(found, service(82), BOB)) == [80, 82]


def test_a_field_of_another_is_a_conflict_that_names_manager_and_field() -> None:
    with pytest.raises(ApiError) as refused:
        apply(apply({}, service(a="1")), service(a="2"), BOB)
    assert (refused.value.code, refused.value.reason) == (409, "Conflict")
    cause = {"reason": "FieldManagerConflict", "message": 'conflict with "alice"', "field": ".metadata.labels.a"}
    assert refused.value.details["causes"] == [cause]


def test_the_same_value_is_shared_and_no_conflict() -> None:
    found = apply(apply({}, service(a="1")), service(a="1"), BOB)
    assert [entry["manager"] for entry in found["metadata"]["managedFields"]] == ["alice", "bob"]


def test_force_takes_the_field_away() -> None:
    found = apply(apply({}, service(a="1")), service(a="2"), BOB, force=True)
    assert found["metadata"]["labels"] == {"a": "2"}
    assert [entry["manager"] for entry in found["metadata"]["managedFields"]] == ["bob"]


def test_an_update_takes_what_it_changes_and_an_apply_then_conflicts() -> None:
    live = apply({}, service(80, a="1"))
    changed = update(live, live | {"metadata": live["metadata"] | {"labels": {"a": "9"}}})
    with pytest.raises(ApiError, match=r'1 conflict: conflict with "eve" using v1 at now: \.metadata\.labels\.a$'):
        apply(changed, service(80, a="1"))
    assert apply(changed, service(80, a="1"), force=True)["metadata"]["labels"] == {"a": "1"}


def test_an_atomic_map_is_held_as_a_whole() -> None:
    live = apply({}, service() | {"spec": {"selector": {"a": "1"}}})
    with pytest.raises(ApiError, match=r"\.spec\.selector"):
        apply(live, service() | {"spec": {"selector": {"b": "1"}}}, BOB)


def test_the_same_apply_again_changes_nothing() -> None:
    once = apply({}, service(80, a="1"))
    assert applied(once, service(80, a="1"), ALICE, False, SERVICE, resolve, "later") == once


@pytest.mark.parametrize("junk", [5, [5], [{"manager": "x"}], [{"fieldsV1": 5}]])
def test_managed_fields_that_are_none_are_refused(junk: Any) -> None:
    with pytest.raises(ApiError) as refused:
        tracked(None, {"metadata": {"managedFields": junk}}, EVE, SERVICE, resolve, "now")
    assert refused.value.code == 400


def patch(engine: EngineProcess, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """An apply by request."""
    code, answer = engine.request("PATCH", path, body, **{"Content-Type": "application/apply-patch+yaml"})
    return code, json.loads(answer)


def test_kubectl_goes_over_from_client_side_to_server_side_apply(engine: EngineProcess, space: str) -> None:
    manifest = seed(space) | {"data": {"a": "MQ=="}}
    engine.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    engine.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(manifest))
    engine.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(manifest | {"data": {"b": "OQ=="}}))
    found = json.loads(engine.kubectl("get", "secret", "seed", "-n", space, "-o", "json", "--show-managed-fields"))
    assert (found["data"].get("a"), found["data"]["b"]) == (None, "OQ==")
    assert "kubectl-client-side-apply" not in [entry["manager"] for entry in found["metadata"]["managedFields"]]


def test_a_part_of_an_object_is_enough_to_apply(engine: EngineProcess, space: str) -> None:
    post(engine, space, machine("web", space, strategy="Halted"))
    path = f"/apis/kubevirt.io/v1/namespaces/{space}/virtualmachines/web?fieldManager=me"
    part = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"labels": {"a": "b"}}}
    code, answer = patch(engine, path, part)
    assert (code, answer["metadata"]["labels"]) == (200, {"a": "b"})


def test_making_what_is_missing_takes_the_right_to_create(engine: EngineProcess, space: str) -> None:
    kinds = ("--resource=secrets", "-n", space)
    engine.kubectl("create", "role", "patcher", "--verb=patch,get", *kinds)
    engine.kubectl("create", "serviceaccount", "pat", "-n", space)
    engine.kubectl("create", "rolebinding", "patcher", "--role=patcher", f"--serviceaccount={space}:pat", "-n", space)
    token = engine.kubectl("create", "token", "pat", "-n", space).strip()
    applying = ("apply", "--server-side", f"--token={token}", "-f", "-")
    refused = engine.kubectl(*applying, stdin=json.dumps(seed(space)), check=False)
    assert 'cannot create resource "secrets"' in refused
    post(engine, space, {**seed(space), "stringData": {}})
    assert "serverside-applied" in engine.kubectl(*applying, stdin=json.dumps(seed(space)))
