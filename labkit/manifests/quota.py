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
_LAUNCHER, _LAUNCHER_PER_CPU, _LAUNCHER_CPU = 400 * MIB, 8 * MIB, 100
"""What a launcher pod has beside its guest: bytes, bytes for each of the guest's cores, thousandths of a core.

KubeVirt 1.9 counts 240 MiB, 8 for I/O, 32 with a screen, 53 with a TPM, up to 100 for probes or for guaranteed quality,
beside guest/512 and 8 for each core; and a tenth of a core for each of the guest's.
"""
_IMPORT_MEMORY, _IMPORT_CPU = 1024 * MIB, 1000
_COPIES = 3
"""Room for each persistent disk: itself with its file system's overhead, an import's scratch space, a restored copy."""


@dataclass(frozen=True)
class Share:
    """What one machine uses: cores and bytes of memory (both None where an instancetype says)."""

    vm: bool
    cpu: float | None
    memory: int | None


def quota(scope: Scope, shares: Sequence[Share], claims: Sequence[int | None]) -> Object:
    """The lab's ResourceQuota: requests of all pods with KubeVirt's overhead, and how many objects there may be.

    `claims` are the bytes of each persistent disk; None where what it is cloned from says that.
    """
    vms = str(sum(share.vm for share in shares))
    hard = {
        "pods": str(2 * (len(shares) + len(claims))),
        "count/virtualmachines.kubevirt.io": vms,
        "count/virtualmachineinstances.kubevirt.io": vms,
        "persistentvolumeclaims": str(_COPIES * len(claims)),
        **_storage(claims),
        **_computing(shares, len(claims)),
    }
    return scope.object("v1", "ResourceQuota", names.OBJECTS, spec={"hard": hard})


def _storage(claims: Sequence[int | None]) -> dict[str, str]:
    known = [size for size in claims if size is not None]
    return {"requests.storage": _mebibytes(_COPIES * sum(known))} if len(known) == len(claims) else {}


def _computing(shares: Sequence[Share], imports: int) -> dict[str, str]:
    """Processors and memory, where all machines say theirs."""
    cpu, memory = imports * _IMPORT_CPU, imports * _IMPORT_MEMORY
    for share in shares:
        if share.cpu is None or share.memory is None:
            return {}
        cpu += round(share.cpu * 1000) + (_LAUNCHER_CPU if share.vm else 0)
        memory += share.memory + (_overhead(share.memory, share.cpu) if share.vm else 0)
    return {"requests.cpu": f"{cpu}m", "requests.memory": _mebibytes(memory)}


def _overhead(memory: int, cpu: float) -> int:
    return _LAUNCHER + round(_LAUNCHER_PER_CPU * cpu) + memory // 512


def _mebibytes(size: int) -> str:
    return f"{-(-size // MIB)}Mi"


def limit_range(scope: Scope) -> Object:
    """What a container asks for that does not say: a quota on requests refuses it otherwise.

    No default *limit* is set: it would be laid on KubeVirt's launcher too, which sets none, and end machines larger
    than it.
    """
    limits = [{"type": "Container", "defaultRequest": {"cpu": "50m", "memory": "64Mi"}}]
    return scope.object("v1", "LimitRange", names.OBJECTS, spec={"limits": limits})
