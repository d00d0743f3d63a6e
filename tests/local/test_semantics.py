"""What the verbs mean: dry runs, preconditions, owners and how deletion spreads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.local.conftest import post
from tests.support.engine import EngineProcess, machine, namespace, until


def secret(name: str, **meta: Any) -> dict[str, Any]:
    """A Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name} | meta}


def secrets(space: str) -> str:
    """The path of a namespace's Secrets."""
    return f"/api/v1/namespaces/{space}/secrets"


def names(engine: EngineProcess, space: str) -> list[str]:
    """The names of a namespace's Secrets."""
    return [item["metadata"]["name"] for item in json.loads(engine.request("GET", secrets(space))[1])["items"]]


def owned(engine: EngineProcess, path: str, **more: Any) -> dict[str, Any]:
    """A reference to the object at a path, for those it owns."""
    owner = json.loads(engine.request("GET", path)[1])
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"]}
    return {"ownerReferences": [reference | {"uid": owner["metadata"]["uid"]} | more]}


def test_every_verb_can_be_tried_without_effect(engine: EngineProcess, space: str) -> None:
    post(engine, space, secret("a"))
    path, merge = secrets(space), {"Content-Type": "application/merge-patch+json"}
    tried = [
        engine.request("POST", f"{path}?dryRun=All", secret("b")),
        engine.request("PUT", f"{path}/a?dryRun=All", secret("a", labels={"x": "y"})),
        engine.request("PATCH", f"{path}/a?dryRun=All", {"metadata": {"labels": {"x": "y"}}}, **merge),
        engine.request("DELETE", f"{path}/a?dryRun=All"),
        engine.request("DELETE", path, {"dryRun": ["All"]}),
    ]
    assert [code for code, _ in tried] == [201, 200, 200, 200, 200]
    assert json.loads(tried[3][1])["status"] == "Success"
    assert names(engine, space) == ["a"]
    assert "labels" not in json.loads(engine.request("GET", f"{path}/a")[1])["metadata"]


def test_a_collection_is_deleted_as_far_as_the_selector_goes(engine: EngineProcess, space: str) -> None:
    post(engine, space, secret("a", labels={"x": "y"}), secret("b", labels={"x": "z"}), secret("c"))
    assert engine.request("DELETE", f"{secrets(space)}?labelSelector=x%3Dy")[0] == 200
    assert names(engine, space) == ["b", "c"]
    assert engine.request("DELETE", f"{secrets(space)}?fieldSelector=metadata.name%3Dc")[0] == 200
    assert names(engine, space) == ["b"]


def test_a_deletion_with_a_precondition_that_does_not_hold_is_a_conflict(engine: EngineProcess, space: str) -> None:
    post(engine, space, secret("a"))
    for wrong in ({"uid": "x"}, {"resourceVersion": "1"}):
        code, body = engine.request("DELETE", f"{secrets(space)}/a", {"preconditions": wrong})
        assert (code, json.loads(body)["reason"]) == (409, "Conflict")


def test_a_custom_object_is_replaced_only_at_a_known_version(engine: EngineProcess, space: str) -> None:
    vm = machine("web", space, strategy="Halted")
    post(engine, space, vm)
    path = f"/apis/kubevirt.io/v1/namespaces/{space}/virtualmachines/web"
    code, body = engine.request("PUT", path, vm)
    assert (code, json.loads(body)["details"]["causes"][0]["field"]) == (422, "metadata.resourceVersion")
    assert engine.request("PUT", path, json.loads(engine.request("GET", path)[1]))[0] == 200


def test_a_name_is_made_up_of_the_given_beginning(engine: EngineProcess, space: str) -> None:
    code, body = engine.request("POST", secrets(space), {"metadata": {"generateName": "x" * 60}})
    assert code == 201
    assert len(json.loads(body)["metadata"]["name"]) == 63


def test_orphans_stay_and_are_told_so(engine: EngineProcess, space: str) -> None:
    post(engine, space, secret("owner"))
    post(engine, space, secret("child", **owned(engine, f"{secrets(space)}/owner")))
    engine.request("DELETE", f"{secrets(space)}/owner?propagationPolicy=Orphan")
    child = json.loads(engine.request("GET", f"{secrets(space)}/child")[1])
    assert not child["metadata"].get("ownerReferences")
    assert names(engine, space) == ["child"]


def test_an_owner_deleted_in_the_foreground_goes_last(engine: EngineProcess, space: str) -> None:
    post(engine, space, secret("owner"))
    reference = owned(engine, f"{secrets(space)}/owner", blockOwnerDeletion=True)
    post(engine, space, secret("child", finalizers=["test/hold"], **reference))
    engine.request("DELETE", f"{secrets(space)}/owner", {"propagationPolicy": "Foreground"})
    child = f"{secrets(space)}/child"
    until(lambda: "deletionTimestamp" in json.loads(engine.request("GET", child)[1])["metadata"], 5)
    assert names(engine, space) == ["child", "owner"]
    until(lambda: engine.kubectl("patch", "secret", "child", "-n", space, "-p", '{"metadata":{"finalizers":null}}'))
    until(lambda: names(engine, space) == [], 5)


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_what_a_cluster_object_owns_goes_with_it(engine: EngineProcess, space: str, policy: str) -> None:
    owner = f"owner-{policy.lower()}"
    engine.request("POST", "/api/v1/namespaces", namespace(owner))
    reference = owned(engine, f"/api/v1/namespaces/{owner}", blockOwnerDeletion=True)
    post(engine, space, secret("child", **reference))
    engine.request("DELETE", f"/api/v1/namespaces/{owner}", {"propagationPolicy": policy})
    until(lambda: names(engine, space) == [], 5)
    until(lambda: engine.request("GET", f"/api/v1/namespaces/{owner}")[0] == 404, 5)


def test_a_terminating_namespace_says_why_it_takes_nothing(engine: EngineProcess, space: str) -> None:
    post(engine, space, secret("held", finalizers=["test/hold"]))
    engine.request("DELETE", f"/api/v1/namespaces/{space}")
    code, body = engine.request("POST", secrets(space), secret("late"))
    assert (code, json.loads(body)["details"]["causes"][0]["reason"]) == (403, "NamespaceTerminating")
