"""What the tests of manifests share: a lab of one installation, and the frame of its objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labkit.manifests.lab import LabPlan, lab_objects
from labkit.manifests.scope import Scope
from labkit.manifests.userdata import MachineAccess
from labkit.templates import Lifetime, Machine, Network, Template

SCOPE = Scope("inst000000", "k3f9q2abcd")
LABELS = {"labkit/installation": "inst000000", "labkit/lab": "k3f9q2abcd"}
ACCESS = MachineAccess({"student": "abcd-efgh"}, "ssh-ed25519 AAAA labkit", "-----BEGIN KEY-----\n", "5ec4e7")


def meta(name: str) -> dict[str, Any]:
    """The metadata of an object of the lab."""
    return {"name": name, "namespace": "labkit-k3f9q2abcd", "labels": LABELS}


def template(*machines: Machine, network: Network = Network()) -> Template:  # noqa: B008 - a value
    """A template of these machines."""
    return Template(
        name="hello",
        title="Hello",
        description="",
        duration_minutes=None,
        tags=(),
        machines=machines,
        network=network,
        lifetime=Lifetime(),
        variables={},
        folder=Path("/t"),
        digest="d",
    )


def objects(*machines: Machine, **more: Any) -> list[dict[str, Any]]:
    """All objects of a lab with these machines."""
    access = {machine.name: ACCESS for machine in machines}
    return lab_objects(LabPlan("inst000000", "k3f9q2abcd", template(*machines), access, **more))
