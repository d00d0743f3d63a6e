"""PersistentVolumeClaims: each one a disk file, which machines use one at a time."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from labkit.local.api.kinds import Admission
from labkit.local.api.status import ApiError
from labkit.local.controllers.events import Recorder
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.controllers.virtualmachines import VM, VMI
from labkit.local.files import make_private, remove_tree
from labkit.local.kubevirt.vmi_status import Problem
from labkit.local.objects import (
    Obj,
    condition,
    controller_uid,
    deleting,
    get_path,
    merge_conditions,
    name_of,
    namespace_of,
    timestamp,
    uid_of,
)  # fmt: skip
from labkit.local.paths import EnginePaths
from labkit.local.storage import datavolumes, disks, sources
from labkit.local.storage.kinds import CONTENT, DV, PVC
from labkit.local.storage.rules import CLASS, admit_claim, size_of
from labkit.local.storage.sources import Later
from labkit.local.storage.uses import claims_of
from labkit.local.store import Change, Store

FINALIZER = "kubernetes.io/pvc-protection"
_RETRY_SECONDS = 2.0
_LONGEST_RETRY = 300.0
LOCKS = ("snapshotInProgress", "restoreInProgress")
"""Where a VM's status names what must not be disturbed."""


class Claims:
    """The controller of claims."""

    def __init__(self, store: Store, recorder: Recorder, paths: EnginePaths, anywhere: bool) -> None:
        self._store = store
        self._recorder = recorder
        self._paths = paths
        self._anywhere = anywhere
        self._filling: dict[Key, asyncio.Timeout] = {}
        self._not_before: dict[str, float] = {}
        self._locked: set[str] = set()
        self.queue = WorkQueue("claim", self.reconcile)
        store.listen(self._on_change)

    def start(self) -> None:
        """Look at every claim once, and at every folder: those of nothing go."""
        for kind in (PVC, DV, VM):
            for obj in self._store.all(kind):
                self._look(kind, obj)
        for folder in make_private(self._paths.volumes).iterdir():
            remove_tree(folder / "work")
            self.queue.add(("", folder.name))

    def _on_change(self, change: Change) -> None:
        obj, key = change.obj, (namespace_of(change.obj), name_of(change.obj))
        self._look(change.kind, obj)
        if change.kind == PVC and (deleting(obj) or change.type == "DELETED") and key in self._filling:
            self._filling[key].reschedule(0)
        if change.kind in (PVC, CONTENT) and change.type == "DELETED":
            self.queue.add(("", uid_of(obj)))

    def _look(self, kind: str, obj: Obj) -> None:
        names: Iterable[str] = [name_of(obj)] if kind in (PVC, DV) else []
        if kind == VMI:
            names = claims_of(obj["spec"])
        elif kind == VM:
            names = [template["metadata"]["name"] for template in obj["spec"].get("dataVolumeTemplates") or []]
        for name in names:
            self.queue.add((namespace_of(obj), name))

    # For machines

    def file(self, claim: Obj) -> Path:
        """A claim's disk; it exists once it is complete."""
        return self._paths.volumes / uid_of(claim) / "disk.qcow2"

    def snapshot_file(self, content: Obj, backup: Obj) -> Path:
        """Where a snapshot keeps the disk of one of its volumes."""
        return self._paths.volumes / uid_of(content) / f"{backup['volumeName']}.qcow2"

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
        # A machine has its runtime folder from just before it opens its disks until its process has ended.
        return [
            (name_of(vmi), uses[name])
            for vmi, uses in using
            if name in uses and self._paths.machine(uid_of(vmi)).runtime.exists()
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
                why = f"DataVolume {name} failed: its condition Running says why"
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

    # Claims

    async def reconcile(self, key: Key) -> float | None:
        """One claim and its DataVolume; or (without a namespace) one folder by its owner's uid."""
        if not key[0]:
            await self._remove_unowned(key[1])
            return None
        claim = self._store.get(PVC, *key) or self._new_claim(key)
        if claim is None:
            return None
        if deleting(claim):
            if not self.users(claim):
                self._store.update(PVC, *key, _let_go)
            return None
        volume = self._store.get(DV, *key)
        if volume is not None and controller_uid(claim) != uid_of(volume):
            volume = None
        if (wanted := claim["spec"]["storageClassName"]) != CLASS:
            why = f"storageclass.storage.k8s.io \"{wanted}\" not found: the embedded engine has '{CLASS}' only"
            return self._waits(key, claim, Later("ProvisioningFailed", why))
        if get_path(volume, "status.phase") == "Failed":
            return None
        if (wait := self._not_before.get(uid_of(claim), 0) - time.monotonic()) > 0:
            return wait
        try:
            async with asyncio.timeout(None) as self._filling[key]:
                await self._fill(key, claim, volume)
        except TimeoutError:
            return 0  # The claim has been deleted.
        except (Later, disks.DiskError, OSError) as error:
            return self._waits(key, claim, error)
        finally:
            self._filling.pop(key, None)
        self._bind(key, claim)
        return None

    def _new_claim(self, key: Key) -> Obj | None:
        """A DataVolume's claim, where it is still due; a template's DataVolume, where that is."""
        volume = self._store.get(DV, *key)
        if volume is None:
            for vm in self._store.all(VM, key[0]):
                for template in vm["spec"].get("dataVolumeTemplates") or []:
                    if template["metadata"]["name"] == key[1] and not deleting(vm):
                        self._store.create(DV, datavolumes.volume_of(vm, template))
        elif not deleting(volume) and get_path(volume, "status.phase") not in ("Succeeded", "Failed"):
            claim = datavolumes.claim_of(volume)
            try:
                admit_claim(Admission(claim, None, self._store.get))
                return self._store.create(PVC, claim)
            except ApiError as error:
                self._tell(key, "Pending", fault=error.reason, message=str(error))
                self._recorder.record(volume, "ErrClaimNotValid", str(error), warning=True)
                raise
        return None

    async def _fill(self, key: Key, claim: Obj, volume: Obj | None) -> None:
        """Make a claim's disk if there is none, as large as it must be. Raises Later, DiskError, OSError."""
        file, size = self.file(claim), size_of(claim)
        if not file.exists():
            self._check_room(size)
            kind, source = datavolumes.origin_of(claim, volume)
            if kind == "blank":
                await disks.create(file, size)
            elif kind == "pvc":
                origin = self.bound(source["namespace"], source["name"])
                with self.locked([origin], "CloneSourceInUse"):
                    self._tell(key, "InProgress")
                    await self._copy(self.file(origin), file, size)
            elif kind == "snapshot":
                await self._copy(self._snapshot(key[0], source["name"]), file, size)
            else:
                await self._import(key, kind, source, file, size)
        if disks.virtual_size(file) < size and not self.users(claim):
            with self.locked([claim], "Resizing"):
                self._check_room(size)
                await disks.grow(file, size)

    def _snapshot(self, space: str, name: str) -> Path:
        for content in self._store.all(CONTENT, space):
            for backup in content["spec"]["volumeBackups"]:
                if backup["volumeSnapshotName"] == name and content["status"]["readyToUse"]:
                    return self.snapshot_file(content, backup)
        raise Later("ProvisioningFailed", f"no finished VirtualMachineSnapshot holds the VolumeSnapshot {name}")

    async def _copy(self, source: Path, file: Path, size: int) -> None:
        if disks.virtual_size(source) > size:
            found = f"{disks.virtual_size(source)} bytes, more than {size}"
            raise disks.DiskError(
                f"target resources requests storage size is smaller than the source: that has {found}"
            )
        await disks.copy(source, file)

    async def _import(self, key: Key, kind: str, source: Obj, file: Path, size: int) -> None:
        self._tell(key, "InProgress")
        shown = -1

        def tell(hundredths: float) -> None:
            nonlocal shown
            if int(hundredths) > shown:
                shown = int(hundredths)
                self._tell(key, "InProgress", f"{hundredths:.2f}%")

        image = make_private(file.parent / "work") / "image"
        largest = size + size // 8 + 2**24
        try:
            if kind == "http":
                checksum = source.get("checksum") or ""
                await sources.download(source["url"], image, largest, checksum, self._anywhere, tell)
            else:
                await sources.pull(source["url"], image, largest, self._anywhere)
            await disks.convert(image, file, size)
        finally:
            await asyncio.to_thread(remove_tree, image.parent)

    def _waits(self, key: Key, claim: Obj, why: Exception) -> float | None:
        """Say why a claim has no disk yet; the seconds until the next try, if there is one."""
        final = isinstance(why, disks.DiskError) and os.strerror(errno.ENOSPC) not in str(why)
        reason = why.reason if isinstance(why, Later) else "ProvisioningFailed"
        volume = self._tell(key, "Failed" if final else "Scheduled", fault=reason, message=str(why))
        self._recorder.record(volume or claim, reason, str(why), warning=True)
        if final and volume:
            return None
        tries = get_path(volume, "status.restartCount", 0) if reason == "Error" else 1
        delay: float = min(_RETRY_SECONDS * 2**tries, _LONGEST_RETRY)
        self._not_before[uid_of(claim)] = time.monotonic() + delay
        return delay

    def _tell(self, key: Key, phase: str, progress: str = "N/A", fault: str = "", message: str = "") -> Obj | None:
        """Write a DataVolume's status, where there is one."""
        if self._store.get(DV, *key) is None:
            return None
        return self._store.update(DV, *key, datavolumes.tell(phase, progress, fault, message))

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

    def _check_room(self, size: int) -> None:
        free = shutil.disk_usage(self._paths.volumes).free
        if size > free:
            found = f"{size // 2**20} MiB are asked for, {free // 2**20} MiB are free"
            raise Later("ProvisioningFailed", f"the disk under {self._paths.volumes} cannot hold the claim: {found}")

    def _bind(self, key: Key, claim: Obj) -> None:
        now, size = self._store.get(PVC, *key), disks.virtual_size(self.file(claim))
        if now is None or uid_of(now) != uid_of(claim):
            return
        spec, waits = now["spec"], size < size_of(now)
        capacity = (
            get_path(now, "status.capacity.storage", str(size)) if waits else spec["resources"]["requests"]["storage"]
        )
        status = {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": {"storage": capacity}}
        if waits:
            why = condition("Resizing", True, "", "it grows once no machine uses it")
            status["conditions"] = merge_conditions(get_path(now, "status.conditions", []), [why], timestamp())
        self._store.update(PVC, *key, set_status(status))
        if get_path(now, "status.phase") != "Bound":
            self._recorder.record(now, "ProvisioningSucceeded", f"Successfully provisioned volume pvc-{uid_of(now)}")
            self._tell(key, "Succeeded")

    async def _remove_unowned(self, uid: str) -> None:
        self._not_before.pop(uid, None)
        if self._store.by_uid(uid) is None:
            await asyncio.to_thread(remove_tree, self._paths.volumes / uid)


def set_status(status: Obj) -> Callable[[Obj], None]:
    """A mutation that replaces an object's status."""

    def mutate(obj: Obj) -> None:
        obj["status"] = status

    return mutate


def _let_go(claim: Obj) -> None:
    claim["metadata"]["finalizers"] = [name for name in claim["metadata"]["finalizers"] if name != FINALIZER]
