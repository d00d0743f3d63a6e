"""What every KubeVirt cluster answers. The cluster is LABKIT_TEST_KUBECONFIG's, else an embedded engine of our own.

Each test has a namespace of its own. Nothing here knows which cluster it talks to, but for tests that need a booted
machine: its image is on the embedded engine only, so elsewhere they are skipped.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import SUBRESOURCES, Answer, Cluster
from tests.support.engine import headless_service, machine, running_engine, seed, until

FOREIGN = os.environ.get("LABKIT_TEST_KUBECONFIG", "")
MARK = {"labkit-test": "conformance"}
APIS = {
    "virtualmachines": "apis/kubevirt.io/v1",
    "virtualmachineinstances": "apis/kubevirt.io/v1",
    "roles": "apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "apis/rbac.authorization.k8s.io/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
    "datavolumes": "apis/cdi.kubevirt.io/v1beta1",
    "virtualmachinesnapshots": "apis/snapshot.kubevirt.io/v1beta1",
    "virtualmachinerestores": "apis/snapshot.kubevirt.io/v1beta1",
}
"""Where a kind is; one that is not named here is in the core group."""


@dataclass(frozen=True)
class Space:
    """A namespace, and the clients for what is in it."""

    cluster: Cluster
    name: str

    def path(self, plural: str, name: str = "", query: str = "") -> str:
        """The path of a collection or an object."""
        path = f"/{APIS.get(plural, 'api/v1')}/namespaces/{self.name}/{plural}"
        return path + (f"/{name}" if name else "") + (f"?{query}" if query else "")

    def post(self, obj: dict[str, Any], query: str = "") -> Answer:
        """Create an object, or try to."""
        kind = obj["kind"].lower()
        plural = kind.removesuffix("y") + "ies" if kind.endswith("cy") else f"{kind}s"
        return self.cluster.ask("POST", self.path(plural, query=query), obj)

    def make(self, *objects: dict[str, Any]) -> Any:
        """Create objects; each must be accepted. The last one, as it was answered."""
        for obj in objects:
            answer = self.post(obj)
            assert answer.code == 201, answer.body
        return answer.document

    def get(self, plural: str, name: str = "", query: str = "") -> Answer:
        """An object, or a list."""
        return self.cluster.ask("GET", self.path(plural, name, query))

    def delete(self, plural: str, name: str = "", query: str = "", **options: Any) -> Answer:
        """Delete an object, or a collection; ``options`` are DeleteOptions."""
        return self.cluster.ask("DELETE", self.path(plural, name, query), options or None)

    def patch(self, plural: str, name: str, body: Any, form: str = "merge", query: str = "") -> Answer:
        """Patch an object; ``form`` is a key of ``PATCHES``."""
        return self.cluster.patch(self.path(plural, name, query), body, form)

    def names(self, plural: str, query: str = "") -> list[str]:
        """The names in a list, but for what every namespace has."""
        found = [item["metadata"]["name"] for item in self.get(plural, query=query).document["items"]]
        return sorted(name for name in found if name not in ("default", "kube-root-ca.crt"))

    def kubectl(self, *words: str, stdin: Any = None, check: bool = True) -> str:
        """What the real kubectl prints; ``stdin`` may be an object."""
        text = stdin if stdin is None or isinstance(stdin, str) else json.dumps(stdin)
        return self.cluster.kubectl(*words, f"--namespace={self.name}", stdin=text, check=check)

    def do(self, verb: str, name: str = "web", plural: str = "virtualmachines", body: Any = None) -> Answer:
        """PUT a subresource of a machine, as virtctl does: without a body unless there is something to say."""
        path = f"{SUBRESOURCES}/namespaces/{self.name}/{plural}/{name}/{verb}"
        return self.cluster.ask("PUT", path, body)

    def see(self, what: str, name: str = "web", plural: str = "virtualmachineinstances") -> Answer:
        """GET a subresource of a machine."""
        return self.cluster.ask("GET", f"{SUBRESOURCES}/namespaces/{self.name}/{plural}/{name}/{what}")

    def condition(self, plural: str, name: str, kind: str) -> dict[str, Any]:
        """A condition of an object, or nothing."""
        answer = self.get(plural, name)
        found = answer.document.get("status", {}).get("conditions", []) if answer.code == 200 else []
        return next((item for item in found if item["type"] == kind), {})


def new_namespace(cluster: Cluster, **labels: str) -> str:
    """A namespace that nobody else has."""
    name = f"labkit-test-{uuid.uuid4().hex[:10]}"
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": MARK | labels}}
    answer = cluster.ask("POST", "/api/v1/namespaces", document)
    assert answer.code == 201, answer.body
    return name


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster under test; in the end none of our namespaces is left in it."""
    if FOREIGN:
        yield from _watched(Cluster(Path(FOREIGN)))
        return
    with running_engine() as engine:
        yield from _watched(engine)
        assert engine.processes() == []
        assert engine.leftovers() == []
        assert "Traceback" not in engine.log.read_text()


def _watched(cluster: Cluster) -> Iterator[Cluster]:
    yield cluster
    ours = "/api/v1/namespaces?labelSelector=labkit-test%3Dconformance"
    until(lambda: cluster.ask("GET", ours).document["items"] == [], 120)


@pytest.fixture
def space(cluster: Cluster) -> Iterator[Space]:
    """A new namespace, removed afterwards."""
    name = new_namespace(cluster)
    found = Space(cluster, name)
    yield found
    for held in found.names("secrets"):  # what a failed test left held would hold the namespace
        found.patch("secrets", held, {"metadata": {"finalizers": None}})
    assert cluster.ask("DELETE", f"/api/v1/namespaces/{name}").code in (200, 404, 409)


@pytest.fixture(scope="session")
def booted(cluster: Cluster) -> Iterator[Space]:
    """A namespace with the machine ``web``, which has booted; tests leave it running and unpaused."""
    if FOREIGN:
        pytest.skip("needs a booted machine, whose image is on the embedded engine only")
    space = Space(cluster, new_namespace(cluster))
    space.make(seed(space.name, hostname="web"), headless_service("web", space.name), machine("web", space.name))
    until(lambda: greets(space), 120)
    yield space
    cluster.ask("DELETE", f"/api/v1/namespaces/{space.name}")


def greets(space: Space) -> bool:
    """Whether the machine ``web`` answers on its port 22."""
    try:
        with space.cluster.stream(space.name, "web", "portforward/22") as stream:
            return bool(stream.recv(5)[:3] == b"SSH")
    except Exception:  # not listening yet, in any of the ways in which that shows
        return False


def note(name: str, *, labels: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """A Secret: the simplest of objects. ``more`` is metadata."""
    meta = {"name": name, "labels": labels or {}, **more}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": {"key": "dmFsdWU="}}


def vm(name: str = "web", strategy: str = "Halted", **spec: Any) -> dict[str, Any]:
    """A VirtualMachine that any KubeVirt accepts and that needs nothing else; ``spec`` changes its template's."""
    found = machine(name, "", strategy=strategy, image="absent")
    del found["metadata"]["namespace"]
    template = found["spec"]["template"]["spec"]
    template["volumes"] = template["volumes"][:1]
    template["domain"]["devices"]["disks"] = template["domain"]["devices"]["disks"][:1]
    template |= spec
    return found


def vmi(name: str = "web", **spec: Any) -> dict[str, Any]:
    """A VirtualMachineInstance whose image is nowhere, so that it never runs."""
    template = vm(name, **spec)["spec"]["template"]["spec"]
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name},
        "spec": template,
    }
