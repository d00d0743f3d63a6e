"""The objects of one lab, in the order in which they must be made. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter

from labkit.manifests import files, names, network, storage
from labkit.manifests.container import pod
from labkit.manifests.quota import Share, limit_range, quota
from labkit.manifests.rights import gateway_rights
from labkit.manifests.scope import Object, Scope
from labkit.manifests.site import Site
from labkit.manifests.userdata import MachineAccess, user_data
from labkit.manifests.vm import machine_spec, virtual_machine
from labkit.templates import Machine, Template


@dataclass(frozen=True)
class LabPlan:
    """All that a lab's objects depend on. `access` has an entry for each machine of the template.

    `variables` are those that are known before the start.
    """

    installation: str
    lab: str
    template: Template
    access: Mapping[str, MachineAccess]
    site: Site = field(default_factory=Site)
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def scope(self) -> Scope:
        return Scope(self.installation, self.lab)


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
    """Everything in the lab's namespace, in the order in which it must be made: a machine behind those it waits for."""
    order = TopologicalSorter({machine.name: machine.after for machine in plan.template.machines}).static_order()
    machines = [plan.template.machine(name) for name in order]
    return [*shared_objects(plan), *(found for machine in machines for found in machine_objects(plan, machine))]


def shared_objects(plan: LabPlan) -> list[Object]:
    """What is there for all machines: limits first, then walls, names, and what several may use."""
    scope, template = plan.scope, plan.template
    owners = [None, *template.machines]
    claims = [size for owner in owners for size in storage.claimed(template, owner)]
    shares = [Share(machine.type == "vm", machine.cpu, machine.memory_bytes) for machine in template.machines]
    return [
        quota(scope, shares, claims),
        limit_range(scope),
        network.network_policy(scope, template.network, plan.site),
        *gateway_rights(scope, plan.site),
        *(service for machine in template.machines for service in network.services(scope, machine)),
        *(files.file_set(scope, found, plan.variables) for found in template.file_sets),
        *(storage.volume(scope, found, plan.site) for found in template.volumes),
    ]


def machine_objects(plan: LabPlan, machine: Machine) -> list[Object]:
    """One machine: the Secret with what goes into it, its own volumes, then the VirtualMachine or the Pod."""
    scope, access = plan.scope, plan.access[machine.name]
    if machine.type == "vm":
        data = {"userdata": user_data(machine, access, plan.variables)}
        secret = scope.object("v1", "Secret", names.userdata_secret(machine.name), stringData=data)
        own = storage.own_volumes(scope, machine, plan.site)
        return [secret, *own, virtual_machine(scope, plan.template, machine, plan.site, access.host_public)]
    secrets = [files.files_secret(scope, machine, access, plan.variables)] if files.placed(machine) else []
    return [*secrets, pod(scope, machine, plan.site, plan.variables)]


def machine_specs(template: Template, site: Site) -> dict[str, Object]:
    """What each VM of a lab asks the engine for, by name: so much is known before a lab is started."""
    return {
        machine.name: machine_spec(template, machine, site) for machine in template.machines if machine.type == "vm"
    }
