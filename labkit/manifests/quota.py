"""What a lab may use, at most: made before anything that counts. Pure.

It guards the cluster from labkit (a machine made twice, a controller gone wild) and from what runs on behalf of a lab,
such as CDI's importers: learners make no objects. It must never be what keeps a lab from starting, so what varies from
one KubeVirt to the next is rounded up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.manifests import names
from labkit.manifests.scope import Object, Scope

MIB = 1 << 20
_LAUNCHER = 400 * MIB
_LAUNCHER_CPU_MIB = 8 * MIB
"""A launcher pod's own memory. KubeVirt 1.9 counts 240 MiB, 8 for I/O, 32 with a screen, 53 with a TPM, up to 100 for
probes or for guaranteed quality, beside guest/512 and 8 for each processor."""
_IMPORT_MEMORY, _IMPORT_CPU = 1024 * MIB, 1000
_COPIES = 3
"""Room for each persistent disk: itself with its file system's overhead, an import's scratch space, a restored copy."""


@dataclass(frozen=True)
class Share:
    """What one machine uses: processors, memory in bytes (both None where an instancetype says), its disks' bytes."""

    vm: bool
    cpu: int | None
    memory: int | None
    claims: tuple[int, ...] = ()


def quota(scope: Scope, shares: Sequence[Share]) -> Object:
    """The lab's ResourceQuota: requests of all pods with KubeVirt's overhead, and how many objects there may be."""
    vms = sum(share.vm for share in shares)
    disks = [size for share in shares for size in share.claims]
    hard = {
        "pods": str(2 * (len(shares) + len(disks))),
        "count/virtualmachines.kubevirt.io": str(vms),
        "count/virtualmachineinstances.kubevirt.io": str(vms),
        "persistentvolumeclaims": str(_COPIES * len(disks)),
        "requests.storage": _mebibytes(_COPIES * sum(disks)),
        **_computing(shares, len(disks)),
    }
    return scope.object("v1", "ResourceQuota", names.OBJECTS, spec={"hard": hard})


def _computing(shares: Sequence[Share], imports: int) -> dict[str, str]:
    """Processors and memory, where all machines say theirs."""
    cpu, memory = imports * _IMPORT_CPU, imports * _IMPORT_MEMORY
    for share in shares:
        if share.cpu is None or share.memory is None:
            return {}
        cpu += share.cpu * 1000 + (100 if share.vm else 0)
        memory += share.memory + (_overhead(share.memory, share.cpu) if share.vm else 0)
    return {"requests.cpu": f"{cpu}m", "requests.memory": _mebibytes(memory)}


def _overhead(memory: int, cpu: int) -> int:
    return _LAUNCHER + _LAUNCHER_CPU_MIB * cpu + memory // 512


def _mebibytes(size: int) -> str:
    return f"{-(-size // MIB)}Mi"


def limit_range(scope: Scope) -> Object:
    """What a container asks for that does not say: a quota on requests refuses it otherwise.

    No default *limit* is set: it would be laid on KubeVirt's launcher too, which sets none, and end machines larger
    than it.
    """
    limits = [{"type": "Container", "defaultRequest": {"cpu": "50m", "memory": "64Mi"}}]
    return scope.object("v1", "LimitRange", names.OBJECTS, spec={"limits": limits})
