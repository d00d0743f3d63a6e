"""Which claims a machine uses, and how. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.local.objects import Obj, get_path


@dataclass(frozen=True)
class Use:
    """A volume's claim. An ``ephemeral`` use writes to a layer that goes with the machine."""

    claim: str
    read_only: bool = False
    ephemeral: bool = False


def use_of(volume: Obj) -> Use | None:
    """The claim behind a volume; a DataVolume's claim has its name."""
    if source := volume.get("persistentVolumeClaim"):
        return Use(source.get("claimName", ""), read_only=bool(source.get("readOnly")))
    if source := volume.get("dataVolume"):
        return Use(source.get("name", ""))
    if source := volume.get("ephemeral"):
        return Use(get_path(source, "persistentVolumeClaim.claimName", ""), ephemeral=True)
    return None


def claims_of(spec: Obj) -> dict[str, bool]:
    """The claims that a machine's spec uses: name, and whether it writes to it."""
    disks = {disk["name"]: disk for disk in get_path(spec, "domain.devices.disks", [])}
    found: dict[str, bool] = {}
    for volume in spec.get("volumes") or []:
        if use := use_of(volume):
            disk = disks.get(volume["name"], {})
            writes = not (use.read_only or use.ephemeral or "cdrom" in disk or get_path(disk, "disk.readonly"))
            found[use.claim] = found.get(use.claim, False) or writes
    return found
