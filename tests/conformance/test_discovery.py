"""How a client finds out what it talks to: versions, groups, kinds, health; and what it hears of what is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conformance.conftest import Space
from tests.support.cluster import Cluster


def test_the_version_is_a_kubernetes_version(cluster: Cluster) -> None:
    found = cluster.ask("GET", "/version").document
    assert found["gitVersion"].startswith("v1.")
    assert {"major", "minor", "gitCommit", "buildDate", "goVersion", "compiler", "platform"} <= found.keys()


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health_is_told_in_one_word(cluster: Cluster, path: str) -> None:
    answer = cluster.ask("GET", path)
    assert (answer.code, answer.body) == (200, b"ok")


def test_virtctl_finds_kubevirts_version_by_its_preferred_api(cluster: Cluster) -> None:
    group = cluster.ask("GET", "/apis/subresources.kubevirt.io").document
    assert group["kind"] == "APIGroup"
    assert group["preferredVersion"]["groupVersion"] == "subresources.kubevirt.io/v1"
    version = cluster.ask("GET", f"/apis/{group['preferredVersion']['groupVersion']}/version")
    assert (version.code, "gitVersion" in version.document) == (200, True)


def test_kubevirt_says_that_it_is_well(cluster: Cluster) -> None:
    assert cluster.ask("GET", "/apis/subresources.kubevirt.io/v1/healthz").code == 200


def test_every_group_that_is_listed_can_be_read(cluster: Cluster) -> None:
    groups = cluster.ask("GET", "/apis", Accept="application/json").document["groups"]
    assert {"kubevirt.io", "subresources.kubevirt.io", "networking.k8s.io"} <= {group["name"] for group in groups}
    for group in groups:
        for version in group["versions"]:
            listed = cluster.ask("GET", f"/apis/{version['groupVersion']}").document
            assert (listed["kind"], listed["groupVersion"]) == ("APIResourceList", version["groupVersion"])


def test_a_kind_says_its_names_its_scope_and_its_verbs(cluster: Cluster) -> None:
    listed = {item["name"]: item for item in cluster.ask("GET", "/apis/kubevirt.io/v1").document["resources"]}
    vms = listed["virtualmachines"]
    assert (vms["kind"], vms["singularName"], vms["namespaced"]) == ("VirtualMachine", "virtualmachine", True)
    assert {"vm", "vms"} <= set(vms["shortNames"])
    every = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
    assert every <= set(vms["verbs"])
    assert "virtualmachines/status" in listed
    assert "virtualmachineinstances/status" not in listed


def test_kubectl_lists_kinds_and_versions(cluster: Cluster) -> None:
    kinds = cluster.kubectl("api-resources", "--no-headers", "--api-group=kubevirt.io")
    assert {"virtualmachines", "virtualmachineinstances"} <= {line.split()[0] for line in kinds.splitlines()}
    assert "namespaces" in cluster.kubectl("api-resources", "--namespaced=false", "-o", "name")
    assert "kubevirt.io/v1" in cluster.kubectl("api-versions").splitlines()


def test_kubectl_reads_the_servers_version(cluster: Cluster) -> None:
    found = json.loads(cluster.run_kubectl("version", "-o", "json").stdout)
    assert found["serverVersion"]["gitVersion"].startswith("v1.")


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api/v2",
        "/api/v1/nothings",
        "/apis/nothing.example.org",
        "/apis/nothing.example.org/v1/things",
        "/apis/kubevirt.io/v9/virtualmachines",
        "/apis/kubevirt.io/v1/nothings",
    ],
)
def test_what_is_not_served_is_not_found(cluster: Cluster, path: str) -> None:
    assert cluster.ask("GET", path).code == 404


@pytest.mark.parametrize("given", ["Bearer wrong", "Bearer a.b.c", "Basic d3Jvbmc6d3Jvbmc="])
def test_a_wrong_credential_is_refused(cluster: Cluster, given: str, tmp_path: Path) -> None:
    stranger = cluster.as_bearer("wrong", tmp_path)
    assert stranger.ask("GET", "/api/v1/secrets", Authorization=given).refusal == (401, "Unauthorized")


@pytest.mark.parametrize(
    ("method", "plural"),
    [("PUT", "secrets"), ("PATCH", "secrets"), ("PUT", "virtualmachines"), ("PATCH", "virtualmachineinstances")],
)
def test_a_collection_cannot_be_replaced_or_patched(space: Space, method: str, plural: str) -> None:
    assert space.cluster.ask(method, space.path(plural), {}).refusal == (405, "MethodNotAllowed")


def test_a_machine_does_not_scale_and_says_so(space: Space) -> None:
    assert space.get("virtualmachines", "web/scale").code in (404, 405)
    said = space.kubectl("scale", "vm/web", "--replicas=2", check=False)
    assert "NotFound" in said or "not find" in said or "not found" in said
