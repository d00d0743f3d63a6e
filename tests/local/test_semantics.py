"""What the verbs mean: dry runs, preconditions, owners and how deletion spreads."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.local.conftest import post
from tests.support.engine import EngineProcess, namespace, until


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


def test_a_name_is_made_up_of_the_given_beginning(engine: EngineProcess, space: str) -> None:
    code, body = engine.request("POST", secrets(space), {"metadata": {"generateName": "x" * 60}})
    assert code == 201
    assert len(json.loads(body)["metadata"]["name"]) == 63


def test_the_namespace_default_stays(engine: EngineProcess) -> None:
    code, body = engine.request("DELETE", "/api/v1/namespaces/default")
    assert (code, json.loads(body)["message"]) == (
        403,
        'namespaces "default" is forbidden: this namespace may not be deleted',
    )
    assert engine.request("DELETE", "/api/v1/namespaces")[0] == 405


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_what_a_cluster_object_owns_goes_with_it(engine: EngineProcess, space: str, policy: str) -> None:
    owner = f"owner-{policy.lower()}"
    engine.request("POST", "/api/v1/namespaces", namespace(owner))
    reference = owned(engine, f"/api/v1/namespaces/{owner}", blockOwnerDeletion=True)
    post(engine, space, secret("child", **reference))
    engine.request("DELETE", f"/api/v1/namespaces/{owner}", {"propagationPolicy": policy})
    until(lambda: names(engine, space) == [], 5)
    until(lambda: engine.request("GET", f"/api/v1/namespaces/{owner}")[0] == 404, 5)
