"""Disks that outlive a switch-off: claims, and DataVolumes that fill them. Pure."""

from __future__ import annotations

from labkit.manifests import names
from labkit.manifests.scope import Object, Scope
from labkit.manifests.site import Site
from labkit.templates import Image, Machine, Template, Volume


def volume(scope: Scope, wanted: Volume, site: Site) -> Object:
    """A volume of the lab's: a claim, or a DataVolume that makes one of its name."""
    claim: Object = {"accessModes": [wanted.access]}
    if wanted.size_bytes is not None:
        claim["resources"] = {"requests": {"storage": str(wanted.size_bytes)}}
    if wanted.storage_class:
        claim["storageClassName"] = wanted.storage_class
    if wanted.image is None:
        return scope.object("v1", "PersistentVolumeClaim", wanted.name, spec=claim)
    spec = {"source": _source(wanted.image, site), "storage": claim}
    return scope.object("cdi.kubevirt.io/v1beta1", "DataVolume", wanted.name, spec=spec)


def own_volumes(scope: Scope, machine: Machine, site: Site) -> list[Object]:
    """The volumes of a VM alone. Not as its `dataVolumeTemplates`, where KubeVirt's schema knows no checksum."""
    return [
        volume(scope, Volume(names.own_volume(machine.name, disk), image.size_bytes, image), site)
        for disk, image in imported(machine).items()
    ]


def imported(machine: Machine) -> dict[str, Image]:
    """The disks of a VM for which a volume of its own is made, by name."""
    images = {names.ROOT: machine.image} | {disk.name: disk.image for disk in machine.disks if disk.image}
    return {name: image for name, image in images.items() if machine.type == "vm" and image.imported}


def claimed(template: Template, machine: Machine | None) -> list[int | None]:
    """The sizes of the claims of a machine, or (None) of the lab's own volumes."""
    if machine is None:
        return [wanted.size_bytes for wanted in template.volumes]
    return [image.size_bytes for image in imported(machine).values()]


def _source(image: Image, site: Site) -> Object:
    if image.source == "url":
        checksum = {"checksum": f"sha256:{image.sha256}"} if image.sha256 else {}
        return {"http": {"url": image.reference, **checksum}}
    if image.source == "clone":
        space, _, name = image.reference.partition("/")
        return {"pvc": {"namespace": space, "name": name}}
    return {"registry": {"url": f"docker://{site.image(image)}"}}
