"""Schemas: what kubectl explains, and the documents that it takes them from."""

from __future__ import annotations

import pytest

from tests.support.cluster import Cluster


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("secrets", "FIELDS:"),
        ("secrets.data", "FIELD: data <map[string]string>"),
        ("namespaces.status.phase", "FIELD: phase <string>"),
        ("vm", "GROUP:      kubevirt.io"),
        ("vm.spec.runStrategy", "FIELD: runStrategy <string>"),
        ("vmi.spec.domain.cpu.cores", "FIELD: cores <integer>"),
        ("vmi.spec.volumes.containerDisk", "image"),
    ],
)
def test_kubectl_explains(cluster: Cluster, what: str, said: str) -> None:
    assert said in cluster.kubectl("explain", what)


def test_kubectl_explains_everything_below(cluster: Cluster) -> None:
    assert "resourceVersion" in cluster.kubectl("explain", "secret", "--recursive")


def test_kubectl_says_that_a_field_is_not_there(cluster: Cluster) -> None:
    assert 'field "nothing" does not exist' in cluster.kubectl("explain", "vm.spec.nothing", check=False)


def test_every_group_has_a_document_of_its_own(cluster: Cluster) -> None:
    paths = cluster.ask("GET", "/openapi/v3").document["paths"]
    assert {"api/v1", "apis/kubevirt.io/v1"} <= paths.keys()
    found = cluster.ask("GET", paths["apis/kubevirt.io/v1"]["serverRelativeURL"]).document
    kinds = [
        kind["kind"]
        for schema in found["components"]["schemas"].values()
        for kind in schema.get("x-kubernetes-group-version-kind", [])
    ]
    assert {"VirtualMachine", "VirtualMachineInstance"} <= set(kinds)


def test_the_older_document_names_the_kinds_too(cluster: Cluster) -> None:
    found = cluster.ask("GET", "/openapi/v2", Accept="application/json").document
    assert found["swagger"] == "2.0"
    assert any(name.endswith("VirtualMachine") for name in found["definitions"])
