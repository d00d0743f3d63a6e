"""A machine that is a VM, as a VirtualMachine. Pure."""

from __future__ import annotations

from labkit.manifests import names
from labkit.manifests.disks import disks, volumes
from labkit.manifests.images import reference
from labkit.manifests.panes import panes_text
from labkit.manifests.scope import Object, Scope
from labkit.model import PaneType
from labkit.templates import Machine

_GRACE_SECONDS = 5


def virtual_machine(scope: Scope, machine: Machine, registry: str) -> Object:
    """The VirtualMachine. It is not started anew when its guest is switched off, only where it crashed."""
    metadata = {
        "labels": scope.labels(machine.name),
        "annotations": {names.PANES: panes_text(machine.panes)},
    }
    template = {"metadata": metadata, "spec": _spec(machine, registry)}
    spec = {"runStrategy": "RerunOnFailure", "template": template}
    return scope.object("kubevirt.io/v1", "VirtualMachine", machine.name, spec=spec)


def _spec(machine: Machine, registry: str) -> Object:
    devices: Object = {
        "disks": disks(machine),
        "interfaces": [{"name": "default", "bridge": {}}],
        "rng": {},
        "logSerialConsole": False,
        **_pointer(machine),
    }
    return {
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "evictionStrategy": "None",
        "domain": {
            "cpu": {"cores": machine.cpu},
            "memory": {"guest": f"{machine.memory_bytes // 2**20}Mi"},
            "devices": devices,
        },
        "networks": [{"name": "default", "pod": {}}],
        "volumes": volumes(machine, reference(machine.image, registry)),
    }


def _pointer(machine: Machine) -> Object:
    """An absolute pointer, without which the mouse in a browser drifts away from the guest's."""
    if not any(pane.type is PaneType.VNC for pane in machine.panes):
        return {}
    return {"inputs": [{"name": "tablet", "type": "tablet", "bus": "usb"}]}
