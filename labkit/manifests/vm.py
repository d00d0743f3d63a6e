"""A machine that is a VM, as a VirtualMachine. Pure."""

from __future__ import annotations

from typing import Any

from labkit.manifests import login, names
from labkit.manifests.disks import disks, volumes
from labkit.manifests.overrides import merged
from labkit.manifests.panes import panes_text
from labkit.manifests.ready import probe
from labkit.manifests.scope import Object, Scope
from labkit.manifests.site import Site
from labkit.model import PaneType
from labkit.templates import Machine, Template

_GRACE_SECONDS = 5
_POD_NETWORK = "default"


def virtual_machine(scope: Scope, template: Template, machine: Machine, site: Site, host_key: str) -> Object:
    """The VirtualMachine. It is not started anew when its guest is switched off, only where it crashed."""
    annotations = {names.PANES: panes_text(machine.panes)}
    if machine.users:
        annotations[names.LOGIN] = login.written(machine.users[0].name, host_key)
    metadata = {"labels": scope.labels(machine.name), "annotations": annotations}
    own = machine_spec(template, machine, site)
    spec: Object = {"runStrategy": "RerunOnFailure", "template": {"metadata": metadata, "spec": own}}
    for key, kind in (("instancetype", "Instancetype"), ("preference", "Preference")):
        if name := getattr(machine, key):
            spec[key] = {"kind": f"VirtualMachineCluster{kind}", "name": name}
    return scope.object("kubevirt.io/v1", "VirtualMachine", machine.name, spec=spec)


def machine_spec(template: Template, machine: Machine, site: Site) -> Object:
    """The spec of its VirtualMachineInstance, the author's own fields laid over it."""
    spec: Object = merged(_spec(template, machine, site), machine.overrides)
    return spec


def _spec(template: Template, machine: Machine, site: Site) -> Object:
    own = [{"name": _POD_NETWORK, "pod": {}}]
    further = [{"name": found.name, "multus": {"networkName": found.network}} for found in machine.networks]
    spec = {
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "evictionStrategy": "None",  # nothing of a lab can move to another node: its disks and address cannot
        "domain": {**_size(machine), "devices": _devices(machine, template.network.binding)},
        "networks": [*own, *further],
        "volumes": volumes(template, machine, site),
        **probe(machine),
    }
    return merged(spec, WINDOWS) if machine.os == "windows" else spec


def _size(machine: Machine) -> Object:
    """Nothing where an instancetype says it: KubeVirt refuses both."""
    if machine.memory_bytes is None:
        return {}
    return {"cpu": {"cores": round(machine.cpu or 1)}, "memory": {"guest": f"{machine.memory_bytes >> 20}Mi"}}


def _devices(machine: Machine, binding: str) -> Object:
    model = {"model": "e1000e"} if machine.os == "windows" else {}
    further = [
        {"name": found.name, "bridge": {}, **model, **({"macAddress": found.mac} if found.mac else {})}
        for found in machine.networks
    ]
    devices: Object = {
        "disks": disks(machine),
        "interfaces": [{"name": _POD_NETWORK, binding: {}, **model}, *further],
        "rng": {},
        "logSerialConsole": False,  # what a learner types is nobody's else to read
    }
    if machine.os == "windows" or any(pane.type is PaneType.VNC for pane in machine.panes):
        # An absolute pointer, without which the mouse in a browser drifts away from the guest's.
        devices["inputs"] = [{"name": "tablet", "type": "tablet", "bus": "usb"}]
    return devices


WINDOWS: dict[str, Any] = {
    "terminationGracePeriodSeconds": 60,
    "domain": {
        "clock": {
            "utc": {},
            "timer": {
                "hpet": {"present": False},
                "hyperv": {},
                "pit": {"tickPolicy": "delay"},
                "rtc": {"tickPolicy": "catchup"},
            },
        },
        "features": {
            "acpi": {},
            "apic": {},
            "hyperv": {
                "frequencies": {},
                "ipi": {},
                "relaxed": {},
                "reset": {},
                "runtime": {},
                "spinlocks": {"spinlocks": 8191},
                "synic": {},
                "synictimer": {"direct": {}},
                "tlbflush": {},
                "vapic": {},
                "vpindex": {},
            },
            "smm": {},
        },
        "firmware": {"bootloader": {"efi": {"secureBoot": True}}},
        "devices": {"tpm": {}},
    },
}
"""What Windows 11 asks for (EFI, Secure Boot, TPM), and what makes Windows fast on KVM: Hyper-V's own interfaces."""
