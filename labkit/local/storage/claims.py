"""The disks of claims, and who uses them: machines one at a time, or an operation while no machine does."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from labkit.local.controllers.virtualmachines import VM, VMI
from labkit.local.kubevirt.vmi_status import Problem
from labkit.local.objects import Obj, deleting, get_path, name_of, namespace_of, uid_of
from labkit.local.paths import EnginePaths
from labkit.local.storage.kinds import DV, PVC
from labkit.local.storage.sources import Later
from labkit.local.storage.uses import claims_of
from labkit.local.store import Store

LOCKS = ("snapshotInProgress", "restoreInProgress")
"""Where a VM's status names what must not be disturbed."""


class Claims:
    """What machines and operations ask about claims."""

    def __init__(self, store: Store, paths: EnginePaths) -> None:
        self._store = store
        self._paths = paths
        self._locked: set[str] = set()

    def folder(self, owner: Obj) -> Path:
        """Where the disks of a claim or of a snapshot are."""
        return self._paths.volumes / uid_of(owner)

    def file(self, claim: Obj) -> Path:
        """A claim's disk; it exists once it is complete."""
        return self.folder(claim) / "disk.qcow2"

    def snapshot_file(self, snapshot: Obj, volume: str) -> Path:
        """Where a snapshot keeps the disk of one of its volumes."""
        return self.folder(snapshot) / f"{volume}.qcow2"

    def bound(self, namespace: str, name: str) -> Obj:
        """A claim that has its disk. Raises Later."""
        claim = self._store.get(PVC, namespace, name)
        if claim is None or get_path(claim, "status.phase") != "Bound":
            raise Later("ClaimNotReady", f"PVC {namespace}/{name} is not there, or not bound yet")
        return claim

    def files(self, vmi: Obj) -> Mapping[str, Path]:
        """The disks of the claims that a machine uses, by the claims' names."""
        space = namespace_of(vmi)
        return {name: self.file(self._store.require(PVC, space, name)) for name in claims_of(vmi["spec"])}

    def users(self, claim: Obj) -> list[tuple[str, bool]]:
        """The machines that have the claim's disk now, each with whether it writes to it."""
        name, space = name_of(claim), namespace_of(claim)
        using = [(vmi, claims_of(vmi["spec"])) for vmi in self._store.all(VMI, space)]
        # A machine has its runtime folder from just before it opens its disks until its process has ended. One that
        # was put away will go on with what its disks hold now.
        return [
            (name_of(vmi), uses[name])
            for vmi, uses in using
            if name in uses and any(map(Path.exists, self._paths.machine(uid_of(vmi)).present))
        ]

    def obstacle(self, vmi: Obj) -> Problem | None:
        """What keeps a machine from having its claims now."""
        vm = self._store.get(VM, namespace_of(vmi), name_of(vmi))
        for lock in LOCKS:
            if holder := get_path(vm, f"status.{lock}"):
                why = f"the disks of VirtualMachine {name_of(vmi)} are held by {holder} ({lock})"
                return Problem("Synchronized", "FailedAttachVolume", why, "Pending")
        for name, writes in claims_of(vmi["spec"]).items():
            claim, volume = (self._store.get(kind, namespace_of(vmi), name) for kind in (PVC, DV))
            if get_path(volume, "status.phase") == "Failed":
                said = next(
                    (c["message"] for c in get_path(volume, "status.conditions", []) if c["type"] == "Running"), ""
                )
                why = f"DataVolume {name} failed: {said}"
                return Problem("Synchronized", "FailedDataVolumeImport", why, "Pending")
            if get_path(volume, "status.phase", "Succeeded") != "Succeeded":
                return Problem("DataVolumesReady", "NotAllDVsReady", "Not all of the VMI's DVs are ready", "Pending")
            if claim is None or deleting(claim):
                gone = "does not exist, waiting for it to appear" if claim is None else "is being deleted"
                return Problem("Synchronized", "FailedPvcNotFound", f"PVC {namespace_of(vmi)}/{name} {gone}", "Pending")
            if get_path(claim, "status.phase") != "Bound":
                why = f"0/1 nodes are available: persistentvolumeclaim '{name}' is not bound yet"
                return Problem("PodScheduled", "Unschedulable", why)
            if uid_of(claim) in self._locked:
                return Problem("Synchronized", "FailedAttachVolume", f"claim '{name}' is being copied or replaced")
            for user, writing in self.users(claim):
                if user != name_of(vmi) and (writes or writing):
                    why = f"claim '{name}' is used by the machine '{user}': one machine at a time can write to it"
                    return Problem("Synchronized", "FailedAttachVolume", why)
        return None

    @contextmanager
    def locked(self, claims: Collection[Obj], reason: str) -> Iterator[None]:
        """Keep machines from starting on claims while their disks are copied or replaced. Raises Later."""
        uids = {uid_of(claim) for claim in claims}
        for claim in claims:
            used = [f"machine '{name}'" for name, writes in self.users(claim) if writes]
            used += ["another operation"] if uid_of(claim) in self._locked else []
            if used:
                raise Later(reason, f"PVC {namespace_of(claim)}/{name_of(claim)} is used by {used[0]}")
        self._locked |= uids
        try:
            yield
        finally:
            self._locked -= uids
