"""The objects of one lab, in the order in which they must be made. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from labkit.manifests import container, names, network
from labkit.manifests.images import EMBEDDED
from labkit.manifests.network import Surroundings
from labkit.manifests.quota import Share, limit_range, quota
from labkit.manifests.scope import Object, Scope
from labkit.manifests.userdata import MachineAccess, user_data
from labkit.manifests.vm import virtual_machine
from labkit.templates import Machine, Template


@dataclass(frozen=True)
class LabPlan:
    """All that a lab's objects depend on. `access` has an entry for each machine of the template.

    `registry` is where the engine finds the bundled images; `around` is what a cluster is like around a lab.
    """

    installation: str
    lab: str
    template: Template
    access: Mapping[str, MachineAccess]
    registry: str = EMBEDDED
    around: Surroundings = field(default_factory=Surroundings)


def namespace(installation: str, lab: str) -> Object:
    """The lab's namespace, which is the lab: what is in it goes when it goes."""
    scope = Scope(installation, lab)
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": scope.namespace,
            "labels": scope.labels() | {"pod-security.kubernetes.io/enforce": "baseline"},
            "annotations": {names.TICKET_EPOCH: "0"},
        },
    }


def access_secret(installation: str, lab: str, drawn: Mapping[str, str]) -> Object:
    """The Secret that keeps what was drawn at random for this lab, so that a repeated start draws nothing anew."""
    return Scope(installation, lab).object("v1", "Secret", names.ACCESS_SECRET, stringData=dict(drawn))


def lab_objects(plan: LabPlan) -> list[Object]:
    """Everything in the lab's namespace, in order: limits, walls, then each machine with what it needs."""
    scope, template = Scope(plan.installation, plan.lab), plan.template
    return [
        quota(scope, [_share(machine) for machine in template.machines]),
        limit_range(scope),
        network.network_policy(scope, template.network.egress, plan.around),
        *(network.service(scope, machine.name, machine.name) for machine in template.machines),
        *(found for machine in template.machines for found in _machine(scope, plan, machine)),
    ]


def _share(machine: Machine) -> Share:
    return Share(machine.type == "vm", machine.cpu, machine.memory_bytes)


def _machine(scope: Scope, plan: LabPlan, machine: Machine) -> Iterator[Object]:
    access = plan.access[machine.name]
    if machine.type == "vm":
        data = {"userdata": user_data(machine, access)}
        yield scope.object("v1", "Secret", names.userdata_secret(machine.name), stringData=data)
        yield virtual_machine(scope, machine, plan.registry)
        return
    if container.terminal_files(machine):
        yield container.files(scope, machine, access)
    yield container.pod(scope, machine, plan.registry)
