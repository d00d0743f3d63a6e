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
ACCESS = MachineAccess(
    passwords={"student": "abcd-efgh"},
    check_key="ssh-ed25519 AAAA labkit",
    host_key="-----BEGIN KEY-----\n",
    terminal_secret="5ec4e7",
    learner_key="ssh-ed25519 LLLL labkit",
    host_public="ssh-ed25519 HHHH labkit",
)


def meta(name: str) -> dict[str, Any]:
    """The metadata of an object of the lab."""
    return {"name": name, "namespace": "labkit-k3f9q2abcd", "labels": LABELS}


def template(*machines: Machine, **more: Any) -> Template:
    """A template of these machines."""
    given: dict[str, Any] = {"network": Network(), "variables": {}, **more}
    return Template(
        name="hello",
        title="Hello",
        description="",
        duration_minutes=None,
        tags=(),
        machines=machines,
        lifetime=Lifetime(),
        folder=Path("/t"),
        digest="d",
        **given,
    )


def plan(lab: Template, **more: Any) -> LabPlan:
    """What the objects of a lab are made from."""
    return LabPlan("inst000000", "k3f9q2abcd", lab, {machine.name: ACCESS for machine in lab.machines}, **more)


def objects(*machines: Machine, **more: Any) -> list[dict[str, Any]]:
    """All objects of a lab with these machines; `more` is of the plan or, by its name, of the template."""
    of_plan = {key: more.pop(key) for key in ("site", "variables") if key in more}
    return lab_objects(plan(template(*machines, **more), **of_plan))


def machine_spec(machine: Machine, **more: Any) -> dict[str, Any]:
    """The spec of a machine's VirtualMachineInstance, or of its Pod."""
    spec: dict[str, Any] = objects(machine, **more)[-1]["spec"]
    return spec["template"]["spec"] if machine.type == "vm" else spec
