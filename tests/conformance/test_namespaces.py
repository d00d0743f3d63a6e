"""Namespaces: what they carry, and how they go with everything in them."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Space, new_namespace, note, vm, vmi
from tests.support.cluster import Cluster
from tests.support.engine import headless_service, until


def test_a_namespace_is_active_and_labelled_with_its_name(space: Space) -> None:
    found = space.cluster.ask("GET", f"/api/v1/namespaces/{space.name}").document
    assert found["status"]["phase"] == "Active"
    assert found["spec"] == {"finalizers": ["kubernetes"]}
    assert found["metadata"]["labels"]["kubernetes.io/metadata.name"] == space.name


@pytest.mark.parametrize("name", ["Upper", "a.b", "../x", "x" * 64])
def test_a_namespace_is_a_dns_label(cluster: Cluster, name: str) -> None:
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert cluster.ask("POST", "/api/v1/namespaces", document).refusal == (422, "Invalid")


def test_nothing_is_made_in_a_namespace_that_is_not_there(cluster: Cluster) -> None:
    answer = Space(cluster, "labkit-test-nowhere").post(note("a"))
    assert answer.refusal == (404, "NotFound")
    assert answer.message == 'namespaces "labkit-test-nowhere" not found'


def test_a_namespace_takes_everything_with_it(cluster: Cluster) -> None:
    space = Space(cluster, new_namespace(cluster))
    space.make(note("a"), headless_service("web", space.name), vm(), vmi("alone"))
    answer = cluster.ask("DELETE", f"/api/v1/namespaces/{space.name}")
    assert (answer.code, answer.document["status"]["phase"]) == (200, "Terminating")
    until(lambda: cluster.ask("GET", f"/api/v1/namespaces/{space.name}").code == 404, 60)
    for plural in ("secrets", "services", "virtualmachines", "virtualmachineinstances", "events"):
        assert space.names(plural) == []


def test_a_terminating_namespace_takes_nothing_new_and_waits_for_what_is_held(space: Space) -> None:
    space.make(note("a", finalizers=["labkit.test/hold"]))
    space.cluster.ask("DELETE", f"/api/v1/namespaces/{space.name}")
    late = space.post(note("b"))
    assert late.refusal == (403, "Forbidden")
    assert "because it is being terminated" in late.message
    assert late.document["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    until(lambda: "deletionTimestamp" in space.get("secrets", "a").document["metadata"], 30)
    remaining = until(lambda: condition(space, "NamespaceFinalizersRemaining"), 30)
    assert (remaining["status"], "labkit.test/hold" in remaining["message"]) == ("True", True)
    space.patch("secrets", "a", {"metadata": {"finalizers": None}})
    until(lambda: space.cluster.ask("GET", f"/api/v1/namespaces/{space.name}").code == 404, 60)


def condition(space: Space, kind: str) -> dict:
    """A condition of the namespace."""
    status = space.cluster.ask("GET", f"/api/v1/namespaces/{space.name}").document["status"]
    return next((item for item in status.get("conditions", []) if item["type"] == kind), {})


def test_a_new_namespace_gets_what_every_namespace_has(space: Space) -> None:
    until(lambda: space.get("serviceaccounts", "default").code == 200, 10)


def test_a_namespace_that_goes_is_told_to_its_watchers(cluster: Cluster) -> None:
    name = new_namespace(cluster)
    since = cluster.ask("GET", "/api/v1/namespaces").document["metadata"]["resourceVersion"]
    cluster.ask("DELETE", f"/api/v1/namespaces/{name}")
    until(lambda: cluster.ask("GET", f"/api/v1/namespaces/{name}").code == 404, 60)
    query = f"watch=1&resourceVersion={since}&timeoutSeconds=1&fieldSelector=metadata.name%3D{name}"
    types = [line[:20] for line in cluster.ask("GET", f"/api/v1/namespaces?{query}").body.splitlines()]
    assert (b"MODIFIED" in types[0], b"DELETED" in types[-1]) == (True, True)
