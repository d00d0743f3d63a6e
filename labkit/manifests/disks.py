"""A VM's disks and the volumes behind them. Pure."""

from __future__ import annotations

from labkit.manifests import names
from labkit.manifests.scope import Object
from labkit.templates import Machine

ROOT, SEED = "root", "seed"
_BUS = {"disk": {"bus": "virtio"}}


def disks(machine: Machine) -> list[Object]:
    """What the guest sees."""
    return [{"name": ROOT, **_BUS}, {"name": SEED, **_BUS}]


def volumes(machine: Machine, image: str) -> list[Object]:
    """Where it comes from. User data holds passwords, so it lies in a Secret, whatever its size."""
    seed = {"secretRef": {"name": names.userdata_secret(machine.name)}}
    return [{"name": ROOT, "containerDisk": {"image": image}}, {"name": SEED, "cloudInitNoCloud": seed}]
