"""A VM's disks, and the volumes behind them. Pure."""

from __future__ import annotations

from labkit.manifests import names
from labkit.manifests.scope import Object
from labkit.manifests.site import Site
from labkit.templates import Disk, Image, Machine, Template

_BUS = {
    ("linux", "disk"): "virtio",
    ("linux", "cdrom"): "sata",
    ("linux", "lun"): "scsi",
    ("windows", "disk"): "sata",
    ("windows", "cdrom"): "sata",
    ("windows", "lun"): "sata",
}
"""What a guest of either kind can use without a driver being installed."""


def disks(machine: Machine) -> list[Object]:
    """What the guest sees: its own disk, the author's, and the user data (on Windows as a CD, for its reader)."""
    seed = Disk(names.SEED, "", type="cdrom" if machine.os == "windows" else "disk")
    found = [_disk(machine.os, disk) for disk in (Disk(names.ROOT, ""), *machine.disks, seed)]
    orders = [disk.boot for disk in machine.disks if disk.boot]
    if orders:
        # Where any disk has an order, those without one are not booted from.
        found[0]["bootOrder"] = max(orders) + 1
    return found


def _disk(system: str, disk: Disk) -> Object:
    target: Object = {"bus": disk.bus or _BUS[system, disk.type]}
    if disk.read_only:
        target["readonly"] = True
    order = {"bootOrder": disk.boot} if disk.boot else {}
    return {"name": disk.name, disk.type: target, **order}


def volumes(template: Template, machine: Machine, site: Site) -> list[Object]:
    """Where it comes from. User data holds passwords, so it lies in a Secret, whatever its size."""
    seed = {"cloudInitNoCloud": {"secretRef": {"name": names.userdata_secret(machine.name)}}}
    return [
        {"name": names.ROOT, **_content(machine, names.ROOT, machine.image, site)},
        *({"name": disk.name, **_source(template, machine, disk, site)} for disk in machine.disks),
        {"name": names.SEED, **seed},
    ]


def _content(machine: Machine, disk: str, image: Image, site: Site) -> Object:
    if image.imported:
        return {"dataVolume": {"name": names.own_volume(machine.name, disk)}}
    return {"containerDisk": {"image": site.image(image)}}


def _source(template: Template, machine: Machine, disk: Disk, site: Site) -> Object:
    name = disk.reference
    if disk.image is not None:
        return _content(machine, disk.name, disk.image, site)
    match disk.source:
        case "empty":
            return {"emptyDisk": {"capacity": str(disk.size_bytes)}}
        case "volume":
            filled = any(volume.name == name and volume.image for volume in template.volumes)
            return {"dataVolume": {"name": name}} if filled else {"persistentVolumeClaim": {"claimName": name}}
        case "ephemeral":
            return {"ephemeral": {"persistentVolumeClaim": {"claimName": name}}}
        case "configMap":
            return {"configMap": {"name": names.file_set(name)}}
        case _:
            return {"secret": {"secretName": names.file_set(name)}}
