"""The objects of one lab, in the order in which they must be made. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.manifests import names
from labkit.manifests.userdata import MachineAccess, user_data
from labkit.model import Pane
from labkit.templates import Machine, Template, image_reference

Object = dict[str, Any]

_GRACE_SECONDS = 5


@dataclass(frozen=True)
class LabPlan:
    """All that a lab's objects depend on. `access` has an entry for each machine of the template."""

    installation: str
    lab: str
    template: Template
    access: Mapping[str, MachineAccess]


def namespace(installation: str, lab: str) -> Object:
    """The lab's namespace, which is the lab: what is in it goes when it goes."""
    labels = names.labels(installation, lab) | {"pod-security.kubernetes.io/enforce": "baseline"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": names.namespace_of(lab),
            "labels": labels,
            "annotations": {names.TICKET_EPOCH: "0"},
        },
    }


def access_secret(installation: str, lab: str, drawn: Mapping[str, str]) -> Object:
    """The Secret that keeps what was drawn at random for this lab, so that a repeated start draws nothing anew."""
    return _object(installation, lab, "v1", "Secret", names.ACCESS_SECRET, stringData=dict(drawn))


def lab_objects(plan: LabPlan) -> list[Object]:
    """Everything in the lab's namespace, in order: policy, then a Secret, a Service and a machine for each machine."""
    objects = [_network_policy(plan)]
    for machine in plan.template.machines:
        objects += [_user_data(plan, machine), _service(plan, machine), _virtual_machine(plan, machine)]
    return objects


def _object(installation: str, lab: str, version: str, kind: str, name: str, **body: Any) -> Object:
    metadata = {"name": name, "namespace": names.namespace_of(lab), "labels": names.labels(installation, lab)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}


def _network_policy(plan: LabPlan) -> Object:
    """The lab's own traffic, cluster DNS, and KubeVirt's portforward (which comes from virt-api's pods): no more."""
    own: Object = {"podSelector": {}}
    virt_api = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kubevirt"}}}
    dns = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}
    dns_ports = [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]
    spec = {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [own]}, {"from": [virt_api]}],
        "egress": [{"to": [own]}, {"to": [dns], "ports": dns_ports}],
    }
    return _object(plan.installation, plan.lab, "networking.k8s.io/v1", "NetworkPolicy", "labkit", spec=spec)


def _user_data(plan: LabPlan, machine: Machine) -> Object:
    text = user_data(machine, plan.access[machine.name])
    name = names.userdata_secret(machine.name)
    return _object(plan.installation, plan.lab, "v1", "Secret", name, stringData={"userdata": text})


def _service(plan: LabPlan, machine: Machine) -> Object:
    """A headless Service, so that the machine's name resolves in every machine of the lab, ready or not."""
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {names.MACHINE: machine.name},
    }
    return _object(plan.installation, plan.lab, "v1", "Service", machine.name, spec=spec)


def _virtual_machine(plan: LabPlan, machine: Machine) -> Object:
    metadata = {
        "labels": names.labels(plan.installation, plan.lab, machine.name),
        "annotations": {names.PANES: json.dumps([_pane(pane) for pane in machine.panes])},
    }
    spec = {"runStrategy": "RerunOnFailure", "template": {"metadata": metadata, "spec": _machine_spec(machine)}}
    return _object(plan.installation, plan.lab, "kubevirt.io/v1", "VirtualMachine", machine.name, spec=spec)


def _machine_spec(machine: Machine) -> Object:
    disks = [{"name": name, "disk": {"bus": "virtio"}} for name in ("root", "seed")]
    seed = {"secretRef": {"name": names.userdata_secret(machine.name)}}
    return {
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "domain": {
            "cpu": {"cores": machine.cpu},
            "memory": {"guest": f"{(machine.memory_bytes or 0) // 2**20}Mi"},
            "devices": {
                "disks": disks,
                "interfaces": [{"name": "default", "bridge": {}}],
                "rng": {},
                "logSerialConsole": False,
            },
        },
        "networks": [{"name": "default", "pod": {}}],
        "volumes": [
            {"name": "root", "containerDisk": {"image": image_reference(machine.image)}},
            {"name": "seed", "cloudInitNoCloud": seed},
        ],
    }


def _pane(pane: Pane) -> Object:
    found = {"name": pane.name, "type": pane.type.value, "title": pane.title}
    return found if pane.port is None else {**found, "port": pane.port}
