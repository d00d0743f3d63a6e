"""Disks that outlive a switch-off: claims, and DataVolumes that fill them. Pure."""

from __future__ import annotations

from labkit.manifests import names
from labkit.manifests.scope import Object, Scope
from labkit.manifests.site import Site
from labkit.templates import Image, Machine, Template, Volume

_CDI = "cdi.kubevirt.io/v1beta1"


def volume(scope: Scope, wanted: Volume, site: Site) -> Object:
    """A volume of the lab's: a claim, or a DataVolume that makes one of its name."""
    claim: Object = {"accessModes": [wanted.access], **_room(wanted.size_bytes)}
    if wanted.storage_class:
        claim["storageClassName"] = wanted.storage_class
    if wanted.image is None:
        return scope.object("v1", "PersistentVolumeClaim", wanted.name, spec=claim)
    spec = {"source": _source(wanted.image, site), "storage": claim}
    return scope.object(_CDI, "DataVolume", wanted.name, spec=spec)


def own_volumes(machine: Machine, site: Site) -> list[Object]:
    """The DataVolume templates of a VM: the disks that are made of an image for it alone, and go with it."""
    return [_template(names.own_volume(machine.name, disk), image, site) for disk, image in imported(machine).items()]


def imported(machine: Machine) -> dict[str, Image]:
    """The disks of a VM for which a volume of its own is made, by name."""
    images = {names.ROOT: machine.image} | {disk.name: disk.image for disk in machine.disks if disk.image}
    return {name: image for name, image in images.items() if machine.type == "vm" and image.imported}


def claimed(template: Template, machine: Machine | None) -> list[int | None]:
    """The sizes of the claims of a machine, or (None) of the lab's own volumes."""
    if machine is None:
        return [wanted.size_bytes for wanted in template.volumes]
    return [image.size_bytes for image in imported(machine).values()]


def _template(name: str, image: Image, site: Site) -> Object:
    storage = {"accessModes": ["ReadWriteOnce"], **_room(image.size_bytes)}
    return {"metadata": {"name": name}, "spec": {"source": _source(image, site), "storage": storage}}


def _room(size: int | None) -> Object:
    return {"resources": {"requests": {"storage": str(size)}}} if size is not None else {}


def _source(image: Image, site: Site) -> Object:
    if image.source == "url":
        checksum = {"checksum": f"sha256:{image.sha256}"} if image.sha256 else {}
        return {"http": {"url": image.reference, **checksum}}
    if image.source == "clone":
        space, _, name = image.reference.partition("/")
        return {"pvc": {"namespace": space, "name": name}}
    return {"registry": {"url": f"docker://{site.image(image)}"}}
