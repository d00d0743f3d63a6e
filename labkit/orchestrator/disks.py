"""Which disks of a VirtualMachine outlive it, and which die with its instance. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Object = Mapping[str, Any]

KEPT = ("persistentVolumeClaim", "dataVolume")
"""Volumes that snapshots capture, and that a machine switched off finds again."""
LOST = ("containerDisk", "emptyDisk", "ephemeral")
"""Volumes whose content dies with the machine's instance."""


def kept(vm: Object) -> tuple[str, ...]:
    """The names of the volumes that outlive the machine's instance."""
    return tuple(_volumes(vm, KEPT))


def lost(vm: Object) -> tuple[str, ...]:
    """The names of the volumes whose content is lost when the machine's instance ends (CD-ROMs hold nothing of its)."""
    return tuple(_volumes(vm, LOST))


def _volumes(vm: Object, sources: tuple[str, ...]) -> Iterator[str]:
    spec = vm["spec"]["template"]["spec"]
    read_only = {disk["name"] for disk in spec["domain"].get("devices", {}).get("disks") or () if "cdrom" in disk}
    for volume in spec.get("volumes") or ():
        if volume["name"] not in read_only and any(source in volume for source in sources):
            yield str(volume["name"])


def claims(body: Object) -> set[str]:
    """The names of the claims that a VirtualMachine's or a Pod's volumes use (a DataVolume's claim has its name)."""
    spec = body["spec"].get("template", body).get("spec") or {}
    used = [(volume, volume.get("ephemeral") or {}) for volume in spec.get("volumes") or ()]
    names = [source.get("persistentVolumeClaim", {}).get("claimName") for pair in used for source in pair]
    return {str(name) for name in (*names, *(v.get("dataVolume", {}).get("name") for v, _ in used)) if name}
