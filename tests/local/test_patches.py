"""Patches: what each kind of patch does to a document, and that the real kubectl's patches work on real kinds."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from labkit.local.api.patches import JSON, MERGE, STRATEGIC, apply_patch
from labkit.local.api.schemas import definitions, resolve
from labkit.local.api.status import ApiError
from tests.support.engine import EngineProcess, headless_service, seed

POD = definitions()["io.k8s.api.core.v1.Pod"]


def patched(document: dict[str, Any], patch: Any, media_type: str = STRATEGIC) -> Any:
    """A pod-shaped document after a patch."""
    return apply_patch(document, patch, media_type, POD, resolve)


def containers(*names: str) -> dict[str, Any]:
    """A pod's spec with containers."""
    return {"spec": {"containers": [{"name": name, "image": name} for name in names]}}


def test_a_merge_patch_replaces_lists_and_removes_with_null() -> None:
    before = {"a": {"b": 1, "c": 2}, "l": [1]}
    assert patched(before, {"a": {"b": None}, "l": [2]}, MERGE) == {"a": {"c": 2}, "l": [2]}
    assert before == {"a": {"b": 1, "c": 2}, "l": [1]}


def test_a_json_patch_changes_all_or_nothing() -> None:
    assert patched({"l": [1]}, [{"op": "add", "path": "/l/-", "value": 2}], JSON) == {"l": [1, 2]}
    with pytest.raises(ApiError) as refused:
        patched({"l": [1]}, [{"op": "remove", "path": "/l/0"}, {"op": "test", "path": "/l", "value": [1]}], JSON)
    assert refused.value.code == 422


def test_a_json_patch_that_doubles_itself_is_stopped() -> None:
    doubling = [{"op": "copy", "from": "/a", "path": f"/a/{n}"} for n in range(40)]
    with pytest.raises(ApiError) as refused:
        patched({"a": {"x": "x" * 1000}}, doubling, JSON)
    assert refused.value.code == 413


def test_a_json_patch_of_copies_takes_no_longer_than_what_they_copy() -> None:
    copies = [{"op": "copy", "from": "/a", "path": "/b"}] * 4000
    began = time.monotonic()
    with pytest.raises(ApiError):
        patched({"a": "x" * 1000, "c": ["x"] * 50_000}, copies, JSON)
    assert time.monotonic() - began < 2


def test_a_json_patch_that_fails_says_where_and_nothing_of_the_object() -> None:
    with pytest.raises(ApiError, match=r"operation 1 .remove /data/b.") as refused:
        patched({"data": {"a": "hidden"}}, [{"op": "remove", "path": "/data/b"}], JSON)
    assert "hidden" not in refused.value.message


@pytest.mark.parametrize("junk", [None, 1, {}, [1], [{"op": "add"}], [{"op": "x", "path": "/a"}]])
def test_a_json_patch_that_is_none_is_refused(junk: Any) -> None:
    with pytest.raises(ApiError):
        patched({}, junk, JSON)


def test_a_strategic_patch_merges_lists_by_their_key() -> None:
    found = patched(containers("a", "b"), {"spec": {"containers": [{"name": "b", "image": "new"}, {"name": "c"}]}})
    images = [(item["name"], item.get("image")) for item in found["spec"]["containers"]]
    assert images == [("a", "a"), ("b", "new"), ("c", None)]


def test_a_strategic_patch_deletes_an_item_of_a_list() -> None:
    found = patched(containers("a", "b"), {"spec": {"containers": [{"$patch": "delete", "name": "a"}]}})
    assert found == containers("b")


def test_a_strategic_patch_replaces_where_it_says_so() -> None:
    assert patched(containers("a", "b"), {"spec": {"containers": [{"name": "c"}, {"$patch": "replace"}]}}) == {
        "spec": {"containers": [{"name": "c"}]}
    }
    assert patched({"metadata": {"labels": {"a": "b"}}}, {"metadata": {"labels": {"$patch": "replace", "c": "d"}}}) == {
        "metadata": {"labels": {"c": "d"}}
    }


def test_a_strategic_patch_adds_to_and_takes_from_lists_of_words() -> None:
    before = {"metadata": {"finalizers": ["x/a", "x/b"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/a"], "finalizers": ["x/c", "x/b"]}}
    assert patched(before, patch) == {"metadata": {"finalizers": ["x/b", "x/c"]}}


def test_a_strategic_patch_orders_items_and_leaves_others_where_they_are() -> None:
    order = [{"name": "c"}, {"name": "a"}]
    patch = {"spec": {"$setElementOrder/containers": order, "containers": [{"name": "c", "image": "c"}]}}
    assert patched(containers("a", "other", "c"), patch) == containers("c", "other", "a")


def test_a_strategic_patch_keeps_only_the_keys_it_retains() -> None:
    before = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    change = {"name": "v", "secret": {"secretName": "s"}, "$retainKeys": ["name", "secret"]}
    assert patched(before, {"spec": {"volumes": [change]}})["spec"]["volumes"] == [
        {"name": "v", "secret": {"secretName": "s"}}
    ]


@pytest.mark.parametrize(
    "junk",
    [
        {"spec": {"containers": [1]}},
        {"spec": {"containers": [{"image": "x"}]}},
        {"$patch": "x"},
        {"$retainKeys": 1},
        [],
    ],
)
def test_a_strategic_patch_that_does_not_fit_is_refused(junk: Any) -> None:
    with pytest.raises(ApiError) as refused:
        patched(containers("a"), junk)
    assert refused.value.code == 400


def test_kubectl_applies_a_changed_secret_and_forgets_what_is_left_out(engine: EngineProcess, space: str) -> None:
    manifest = seed(space) | {"stringData": {"a": "1", "b": "2"}}
    engine.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    assert "configured" in engine.kubectl("apply", "-f", "-", stdin=json.dumps(manifest | {"stringData": {"a": "9"}}))
    data = json.loads(engine.kubectl("get", "secret", "seed", "-n", space, "-o", "json"))["data"]
    assert data["a"] == "OQ=="


def test_kubectl_applies_a_changed_service(engine: EngineProcess, space: str) -> None:
    service = headless_service("web", space)
    service["spec"]["ports"] = [{"name": "a", "port": 80}, {"name": "b", "port": 81}]
    engine.kubectl("apply", "-f", "-", stdin=json.dumps(service))
    service["spec"]["ports"] = [{"name": "b", "port": 81}, {"name": "c", "port": 82}]
    assert "configured" in engine.kubectl("apply", "-f", "-", stdin=json.dumps(service))
    shown = json.loads(engine.kubectl("get", "service", "web", "-n", space, "-o", "json"))
    assert sorted(port["name"] for port in shown["spec"]["ports"]) == ["b", "c"]
