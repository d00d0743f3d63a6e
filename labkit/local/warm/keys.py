"""Which machines can be clones, and of what. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from labkit.local.objects import Obj, get_path
from labkit.local.paths import MachinePaths
from labkit.local.qemu import argv, plan
from labkit.local.qemu.images import SEED_BYTES

_VERSION = 2
"""Of what a template consists of, and of how one is made and woken."""
_NOWHERE = MachinePaths(Path("/template"), Path("/template"))
_NO_MAC = "02:00:00:00:00:00"
_NO_ADDRESS = "10.0.2.15"
_KEPT = ("containerDisk", "emptyDisk", "cloudInitNoCloud")
_SEED_ROOM = SEED_BYTES // 2


def unfit(vmi: Obj) -> str:
    """Why a machine must boot: one sentence, or nothing where it can be a clone."""
    spec = vmi["spec"]
    volumes = spec.get("volumes", [])
    interface: Obj = next(iter(get_path(spec, "domain.devices.interfaces", [])), {})
    found = (
        (any(not set(volume) & {*_KEPT} for volume in volumes), "it has a disk that outlives it or comes from a claim"),
        (not any("containerDisk" in volume for volume in volumes), "it has no disk from an image"),
        (any(_networks(volume.get("cloudInitNoCloud", {})) for volume in volumes), "its seed configures the network"),
        (interface.get("model") not in (None, "virtio"), "its network card keeps its address over a reset"),
        (not plan.has_acpi(vmi), "it has no ACPI"),
        (spec.get("startStrategy") == "Paused", "it is to start paused"),
        ("serial" in get_path(spec, "domain.firmware", {}), "it names the serial number of its firmware"),
    )
    return next((why for holds, why in found if holds), "")


def fits(seed: Mapping[str, bytes]) -> bool:
    """Whether a seed has room on a disk of the size that all templates' seeds have."""
    return sum(map(len, seed.values())) <= _SEED_ROOM


def hardware(vmi: Obj, paths: MachinePaths, acceleration: str, memory: argv.MemoryFile | None) -> argv.MachineConfig:
    """A template's configuration: a machine's, but for what is its own."""
    tap = 0 if plan.wants_network(vmi) else None
    config = plan.machine_config(vmi, paths, acceleration, tap, _NO_MAC)
    nic = replace(config.nic, mac=_NO_MAC, tap_fd=None, address=_NO_ADDRESS) if config.nic else None
    nobody = "00000000-0000-4000-8000-000000000000"
    return replace(config, name="template", uuid=nobody, nic=nic, memory_file=memory)


def key(vmi: Obj, acceleration: str, disks: Iterable[Path], host: Sequence[str]) -> str:
    """A digest of all that a template depends on.

    ``disks`` are the files of the images, each inside one build; ``host`` is QEMU's version and the processor's.
    """
    sizes = [volume["emptyDisk"] for volume in vmi["spec"].get("volumes", []) if "emptyDisk" in volume]
    line = argv.arguments(hardware(vmi, _NOWHERE, acceleration, None))
    parts = [_VERSION, line, [str(disk) for disk in disks], sizes, list(host)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _networks(seed: Obj) -> bool:
    return any(key.startswith("networkData") for key in seed)
