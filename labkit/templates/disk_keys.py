"""The tables of images, disks and folders: where bytes come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.documents import Row, Wrong, mapping, refusing, scalar
from labkit.errors import NotFound
from labkit.templates import scalars
from labkit.templates.catalogue import bundled_image
from labkit.templates.schema import Disk, Image, Mount


def known_image(text: str) -> str:
    """The name of a bundled image."""
    try:
        return bundled_image(text).name
    except NotFound as error:
        raise Wrong(str(error)) from None


SOURCES = (
    Row("bundled", scalar(known_image), "an image that labkit builds itself: [their names](#bundled-images)"),
    Row("registry", scalar(scalars.reference), "an image with its registry: for a vm, a containerDisk"),
    Row("url", scalar(scalars.url), "a disk image (qcow2, raw, also packed) on a web server; needs `size` (vm)"),
    Row("clone", scalar(scalars.object_name), "a copy of a PersistentVolumeClaim, NAMESPACE/NAME (vm, cluster)"),
)
PATH = (
    "is not built in this version; import the file with 'labkit images import FILE NAME', and write "
    "{registry: localhost/labkit/NAME}"
)
IMAGE = (
    *SOURCES,
    Row("path", refusing(PATH), "not built in this version: import the file into the images instead"),
    Row("sha256", scalar(scalars.sha256), "for `url`: its checksum, 64 hex digits"),
    Row(
        "size",
        scalar(scalars.disk_size),
        "makes the disk a volume of its own of this size, which outlives a switch-off (vm)",
    ),
)


def image_from(sha256: str | None, size: int | None, path: None, **sources: str | None) -> Image:
    """Exactly one source, and what belongs to it."""
    source, reference = _one_of(sources, "names no source; write for example {bundled: tiny}")
    if sha256 is not None and source != "url":
        raise Wrong("belongs to an image from 'url'; leave it out", key="sha256")
    return Image(source, reference, sha256, size)


def needs_size(image: Image) -> None:
    """Raises Wrong for an image from a web server without a size: nobody knows it before it is there."""
    if image.source == "url" and image.size_bytes is None:
        raise Wrong("is fetched into a volume of its own; say how large that is to be: size: 10Gi", key="image")


def _one_of(given: Mapping[str, Any], nothing: str) -> tuple[str, Any]:
    """The one key that has a value. Raises Wrong for none, and for more."""
    found = [(key, value) for key, value in given.items() if value is not None]
    if not found:
        raise Wrong(nothing)
    if len(found) > 1:
        raise Wrong(f"names {' and '.join(key for key, _ in found)}; keep one of them", key=found[1][0])
    return found[0]


SETS = (
    Row("volume", scalar(scalars.label), "a volume of the lab: [volumes](#volumes)"),
    Row("configMap", scalar(scalars.label), "files of the lab: [files in sets](#files-in-sets)"),
    Row("secret", scalar(scalars.label), "the same, from `secrets`"),
)
DISK = (
    Row("name", scalar(scalars.label), "its name", required=True, example="name: data"),
    Row("empty", scalar(scalars.disk_size), "an empty disk of this size, lost at switch-off"),
    Row("image", mapping(IMAGE, image_from), "the content of an [image](#images)"),
    *SETS,
    Row("ephemeral", scalar(scalars.label), "a volume of the lab below a layer that is lost at switch-off"),
    Row("type", scalar(scalars.one_of("disk", "cdrom", "lun")), "without it, `disk`", default="disk"),
    Row("bus", scalar(scalars.one_of("virtio", "sata", "scsi", "usb")), "without it, what suits type and `os`"),
    Row("readOnly", scalar(scalars.truth), "`true`: the machine cannot write to it", default=False),
    Row("boot", scalar(scalars.whole(1, 16)), "its place in the boot order: 1 is tried first"),
)


def disk_from(name: str, type: str, bus: str | None, readOnly: bool, boot: int | None, **sources: Any) -> Disk:
    source, value = _one_of(sources, "says nothing of what is on it; write for example 'empty: 2Gi'")
    if type == "lun" and source != "volume":
        raise Wrong("a lun is a volume of the lab; write 'volume: NAME'", key="type")
    if source == "image":
        needs_size(value)
    placed = {"empty": "size_bytes", "image": "image"}.get(source, "reference")
    return Disk(name, source, type=type, bus=bus, read_only=readOnly, boot=boot, **{placed: value})


MOUNT = (
    Row("path", scalar(scalars.guest_path), "where it is seen in the container", required=True, example="path: /data"),
    Row("empty", scalar(scalars.disk_size), "an empty folder with room for this much, lost with the container"),
    *SETS,
    Row("readOnly", scalar(scalars.truth), "`true`: the container cannot write to it", default=False),
)


def mount_from(path: str, readOnly: bool, **sources: Any) -> Mount:
    source, value = _one_of(sources, "says nothing of what is in it; write for example 'empty: 1Gi'")
    return Mount(path, source, read_only=readOnly, **{"size_bytes" if source == "empty" else "reference": value})
