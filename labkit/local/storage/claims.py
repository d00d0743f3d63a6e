"""PersistentVolumeClaims: each one a disk file, which machines use one at a time."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from labkit.local.controllers.events import Recorder
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.controllers.virtualmachines import VMI
from labkit.local.files import make_private, remove_tree
from labkit.local.kubevirt.vmi_status import Problem
from labkit.local.objects import (
    Obj,
    condition,
    deleting,
    get_path,
    merge_conditions,
    name_of,
    namespace_of,
    timestamp,
    uid_of,
)
from labkit.local.paths import EnginePaths
from labkit.local.storage import disks
from labkit.local.storage.kinds import PVC
from labkit.local.storage.rules import CLASS, size_of
from labkit.local.storage.uses import claims_of
from labkit.local.store import Change, Store

FINALIZER = "kubernetes.io/pvc-protection"
_RETRY_SECONDS = 10.0


class Claims:
    """The controller of claims."""

    def __init__(self, store: Store, recorder: Recorder, paths: EnginePaths) -> None:
        self._store = store
        self._recorder = recorder
        self._paths = paths
        self.queue = WorkQueue("claim", self.reconcile)
        store.listen(self._on_change)

    def start(self) -> None:
        """Look at every claim once, and at every folder: those of nothing go."""
        for claim in self._store.all(PVC):
            self.queue.add((namespace_of(claim), name_of(claim)))
        for folder in make_private(self._paths.volumes).iterdir():
            self.queue.add(("", folder.name))

    def _on_change(self, change: Change) -> None:
        space = namespace_of(change.obj)
        if change.kind == PVC:
            self.queue.add((space, name_of(change.obj)))
        elif change.kind == VMI:
            for name in claims_of(change.obj["spec"]):
                self.queue.add((space, name))
        if change.type == "DELETED" and change.kind == PVC:
            self.queue.add(("", uid_of(change.obj)))

    # For machines

    def file(self, claim: Obj) -> Path:
        """A claim's disk; it exists once it is complete."""
        return self._paths.volumes / uid_of(claim) / "disk.qcow2"

    def files(self, vmi: Obj) -> Mapping[str, Path]:
        """The disks of the claims that a machine uses, by the claims' names."""
        space = namespace_of(vmi)
        return {name: self.file(self._store.require(PVC, space, name)) for name in claims_of(vmi["spec"])}

    def users(self, claim: Obj) -> list[tuple[str, bool]]:
        """The machines that have the claim's disk now, each with whether it writes to it."""
        name, space = name_of(claim), namespace_of(claim)
        using = [(vmi, claims_of(vmi["spec"])) for vmi in self._store.all(VMI, space)]
        # A machine has its runtime folder from just before it opens its disks until its process has ended.
        return [
            (name_of(vmi), uses[name])
            for vmi, uses in using
            if name in uses and self._paths.machine(uid_of(vmi)).runtime.exists()
        ]

    def obstacle(self, vmi: Obj) -> Problem | None:
        """What keeps a machine from having its claims now."""
        for name, writes in claims_of(vmi["spec"]).items():
            claim = self._store.get(PVC, namespace_of(vmi), name)
            if claim is None or deleting(claim):
                gone = "does not exist, waiting for it to appear" if claim is None else "is being deleted"
                return Problem("Synchronized", "FailedPvcNotFound", f"PVC {namespace_of(vmi)}/{name} {gone}", "Pending")
            if get_path(claim, "status.phase") != "Bound":
                why = f"0/1 nodes are available: persistentvolumeclaim '{name}' is not bound yet"
                return Problem("PodScheduled", "Unschedulable", why)
            for user, writing in self.users(claim):
                if user != name_of(vmi) and (writes or writing):
                    why = f"claim '{name}' is used by the machine '{user}': one machine at a time can write to it"
                    return Problem("Synchronized", "FailedAttachVolume", why)
        return None

    # Claims

    async def reconcile(self, key: Key) -> float | None:
        """One claim: its disk made, grown, or let go; or (without a namespace) one folder by its owner's uid."""
        if not key[0]:
            return await self._remove_unowned(key[1])
        claim = self._store.get(PVC, *key)
        if claim is None:
            return None
        used = self.users(claim)
        if deleting(claim):
            if not used:
                self._store.update(PVC, *key, _let_go)
            return None
        if (wanted := claim["spec"]["storageClassName"]) != CLASS:
            why = f"storageclass.storage.k8s.io \"{wanted}\" not found: the embedded engine has '{CLASS}' only"
            self._recorder.record(claim, "ProvisioningFailed", why, warning=True)
            return None
        file, size = self.file(claim), size_of(claim)
        try:
            if not file.exists():
                self._check_room(size)
                await disks.create(file, size)
            elif not used and disks.virtual_size(file) < size:
                self._check_room(size)
                await disks.grow(file, size)
        except (disks.DiskError, OSError) as error:
            self._recorder.record(claim, "ProvisioningFailed", str(error), warning=True)
            return _RETRY_SECONDS
        self._bind(claim, disks.virtual_size(file))
        return None

    def _check_room(self, size: int) -> None:
        free = shutil.disk_usage(self._paths.volumes).free
        if size > free:
            found = f"{size // 2**20} MiB are asked for, {free // 2**20} MiB are free"
            raise disks.DiskError(f"the disk under {self._paths.volumes} cannot hold the claim: {found}")

    def _bind(self, claim: Obj, size: int) -> None:
        key = namespace_of(claim), name_of(claim)
        now = self._store.get(PVC, *key)
        if now is None or uid_of(now) != uid_of(claim):
            return
        spec = now["spec"]
        waits = size < size_of(now)
        before = get_path(now, "status.capacity.storage", str(size))
        status = {
            "phase": "Bound",
            "accessModes": spec["accessModes"],
            "capacity": {"storage": before if waits else spec["resources"]["requests"]["storage"]},
        }
        if waits:
            why = condition("Resizing", True, "", "it grows once no machine uses it")
            status["conditions"] = merge_conditions(get_path(now, "status.conditions", []), [why], timestamp())
        self._store.update(PVC, *key, set_status(status))
        if get_path(now, "status.phase") != "Bound":
            self._recorder.record(now, "ProvisioningSucceeded", f"Successfully provisioned volume pvc-{uid_of(now)}")

    async def _remove_unowned(self, uid: str) -> None:
        if self._store.by_uid(uid) is None:
            await asyncio.to_thread(remove_tree, self._paths.volumes / uid)


def set_status(status: Obj) -> Callable[[Obj], None]:
    """A mutation that replaces an object's status."""

    def mutate(obj: Obj) -> None:
        obj["status"] = status

    return mutate


def _let_go(claim: Obj) -> None:
    claim["metadata"]["finalizers"] = [name for name in claim["metadata"]["finalizers"] if name != FINALIZER]
