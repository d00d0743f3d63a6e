"""PersistentVolumeClaims and DataVolumes: their disks made, filled and removed."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from labkit.local.api.kinds import Admission
from labkit.local.api.status import ApiError
from labkit.local.controllers.events import Recorder
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.controllers.virtualmachines import VM, VMI
from labkit.local.files import make_private, remove_tree
from labkit.local.objects import (
    Obj,
    controller_uid,
    deleting,
    get_path,
    name_of,
    namespace_of,
    uid_of,
    without_finalizer,
)
from labkit.local.paths import EnginePaths
from labkit.local.qemu import images
from labkit.local.storage import datavolumes, disks, sources
from labkit.local.storage.claims import Claims
from labkit.local.storage.kinds import DV, PVC, SNAPSHOT
from labkit.local.storage.rules import CLASS, admit_claim, size_of
from labkit.local.storage.sources import Later
from labkit.local.storage.uses import claims_of
from labkit.local.store import Change, Store

FINALIZER = "kubernetes.io/pvc-protection"
_BUILT = "docker://localhost/labkit/"
"""Images that were built or imported here: no registry is asked."""
_RETRY_SECONDS = 2.0
_LONGEST_RETRY = 300.0


class Provisioner:
    """The controller of claims and DataVolumes. ``anywhere``: images may come from this computer too."""

    def __init__(self, store: Store, recorder: Recorder, claims: Claims, paths: EnginePaths, anywhere: bool) -> None:
        self._store = store
        self._recorder = recorder
        self._claims = claims
        self._volumes, self._images = make_private(paths.volumes), paths.images
        self._anywhere = anywhere
        self._filling: dict[Key, asyncio.Timeout] = {}
        self._not_before: dict[str, float] = {}
        self.queue = WorkQueue("claim", self.reconcile)
        store.listen(self._on_change)

    def start(self) -> None:
        """Look at every claim once, and at every folder: those of nothing go."""
        for kind in (PVC, DV, VM):
            for obj in self._store.all(kind):
                self._look(kind, obj)
        for folder in self._volumes.iterdir():
            remove_tree(folder / "work")
            self.queue.add(("", folder.name))

    def _on_change(self, change: Change) -> None:
        obj, key = change.obj, (namespace_of(change.obj), name_of(change.obj))
        self._look(change.kind, obj)
        if change.kind == PVC and (deleting(obj) or change.type == "DELETED") and key in self._filling:
            self._filling[key].reschedule(0)
        if change.kind in (PVC, SNAPSHOT) and change.type == "DELETED":
            self.queue.add(("", uid_of(obj)))

    def _look(self, kind: str, obj: Obj) -> None:
        names: Iterable[str] = [name_of(obj)] if kind in (PVC, DV) else []
        if kind == VMI:
            names = claims_of(obj["spec"])
        elif kind == VM:
            names = [template["metadata"]["name"] for template in obj["spec"].get("dataVolumeTemplates") or []]
        for name in names:
            self.queue.add((namespace_of(obj), name))

    async def reconcile(self, key: Key) -> float | None:
        """One claim and its DataVolume; or (without a namespace) one folder by its owner's uid."""
        if not key[0]:
            await self._remove_unowned(key[1])
            return None
        claim = self._store.get(PVC, *key) or self._new_claim(key)
        if claim is None:
            return None
        if deleting(claim):
            if not self._claims.users(claim):
                self._store.update(PVC, *key, without_finalizer(FINALIZER))
            return None
        volume = self._store.get(DV, *key)
        if volume is not None and controller_uid(claim) != uid_of(volume):
            volume = None
        if (wanted := claim["spec"]["storageClassName"]) != CLASS:
            why = f"storageclass.storage.k8s.io \"{wanted}\" not found: the embedded engine has '{CLASS}' only"
            self._waits(claim, volume, Later("ProvisioningFailed", why))
            return None
        if get_path(volume, "status.phase") == "Failed":
            return None
        if (wait := self._not_before.get(uid_of(claim), 0) - time.monotonic()) > 0:
            return wait
        try:
            async with asyncio.timeout(None) as self._filling[key]:
                await self._fill(claim, volume)
        except TimeoutError:
            return 0  # The claim has been deleted.
        except (Later, disks.DiskError, OSError) as error:
            return self._waits(claim, volume, error)
        finally:
            self._filling.pop(key, None)
        self._bind(claim, volume)
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
                self._tell(volume, "Pending", fault=error.reason, message=str(error))
                self._recorder.record(volume, "ErrClaimNotValid", str(error), warning=True)
                raise
        return None

    async def _fill(self, claim: Obj, volume: Obj | None) -> None:
        """Make a claim's disk, as large as it must be. Raises Later, DiskError, OSError."""
        file, size = self._claims.file(claim), size_of(claim)
        if not file.exists():
            make_private(file.parent)
            kind, source = next(iter(volume["spec"]["source"].items())) if volume else ("blank", {})
            if kind == "blank":
                await disks.create(file, size)
            elif kind == "pvc":
                origin = self._claims.bound(source["namespace"], source["name"])
                with self._claims.locked([origin], "CloneSourceInUse"):
                    self._tell(volume, "InProgress")
                    if (found := disks.virtual_size(self._claims.file(origin))) > size:
                        why = "target resources requests storage size is smaller than the source: that has"
                        raise disks.DiskError(f"{why} {found} bytes, more than {size}")
                    await disks.copy(self._claims.file(origin), file)
            else:
                await self._import(volume, kind, source, file, size)
        if get_path(claim, "status.phase") != "Bound":
            await disks.grow(file, size)

    async def _import(self, volume: Obj | None, kind: str, source: Obj, file: Path, size: int) -> None:
        self._tell(volume, "InProgress")
        shown = -1

        def tell(hundredths: float) -> None:
            nonlocal shown
            if int(hundredths) > shown:
                shown = int(hundredths)
                self._tell(volume, "InProgress", f"{hundredths:.2f}%")

        image = make_private(file.parent / "work") / "image"
        largest = size + size // 8 + 2**24
        try:
            if kind == "registry" and source["url"].startswith(_BUILT):
                # A copy: what is converted is first repaired, where it has leaks.
                built = images.resolve(source["url"].removeprefix("docker://"), self._images)
                await asyncio.to_thread(shutil.copyfile, built, image)
            elif kind == "http":
                checksum = source.get("checksum") or ""
                await sources.download(source["url"], image, largest, checksum, self._anywhere, tell)
            else:
                await sources.pull(source["url"], image, largest, self._anywhere)
            await disks.convert(image, file, size)
        except images.ImageError as error:
            raise Later("ErrImagePull", str(error)) from error
        finally:
            await asyncio.to_thread(remove_tree, image.parent)

    def _waits(self, claim: Obj, volume: Obj | None, why: Exception) -> float | None:
        """Say why a claim has no disk yet; the seconds until the next try, if there is one."""
        final = isinstance(why, disks.DiskError) and os.strerror(errno.ENOSPC) not in str(why)
        reason = why.reason if isinstance(why, Later) else "ProvisioningFailed"
        volume = self._tell(volume, "Failed" if final else "Scheduled", fault=reason, message=str(why))
        self._recorder.record(volume or claim, reason, str(why), warning=True)
        if final and volume:
            return None
        tries = get_path(volume, "status.restartCount", 0) if reason == "Error" else 1
        delay: float = min(_RETRY_SECONDS * 2 ** min(tries, 9), _LONGEST_RETRY)
        self._not_before[uid_of(claim)] = time.monotonic() + delay
        return delay

    def _tell(
        self, volume: Obj | None, phase: str, progress: str = "N/A", fault: str = "", message: str = ""
    ) -> Obj | None:
        """Write a DataVolume's status, where there still is one."""
        if volume is None or self._store.by_uid(uid_of(volume)) is None:
            return None
        change = datavolumes.tell(phase, progress, fault, message)
        return self._store.update(DV, namespace_of(volume), name_of(volume), change)

    def _bind(self, claim: Obj, volume: Obj | None) -> None:
        if get_path(claim, "status.phase") != "Bound" and self._store.by_uid(uid_of(claim)):
            spec = claim["spec"]
            status = {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": spec["resources"]["requests"]}
            self._store.update(PVC, namespace_of(claim), name_of(claim), lambda now: now.update(status=status))
            what = f"Successfully provisioned volume pvc-{uid_of(claim)}"
            self._recorder.record(claim, "ProvisioningSucceeded", what)
        self._tell(volume, "Succeeded")

    async def _remove_unowned(self, uid: str) -> None:
        self._not_before.pop(uid, None)
        if self._store.by_uid(uid) is None:
            await asyncio.to_thread(remove_tree, self._volumes / uid)
