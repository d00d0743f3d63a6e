"""Snapshots of a VM's claims, and restores of them; with memory, which is ours and not KubeVirt's, of all its disks."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import ClassVar

from labkit.local.api.kinds import Admission
from labkit.local.controllers.events import Recorder
from labkit.local.controllers.keeping import Keeping
from labkit.local.controllers.machines import Machines
from labkit.local.controllers.virtualmachines import VM, VMI
from labkit.local.files import make_private
from labkit.local.kubevirt.admission import admit_vm, set_strategy
from labkit.local.objects import Obj, get_path, name_of, namespace_of, owner_reference, timestamp, uid_of
from labkit.local.storage import disks, online
from labkit.local.storage.claims import Claims
from labkit.local.storage.kinds import DV, PVC, RESTORE, SNAPSHOT
from labkit.local.storage.operations import Operations
from labkit.local.storage.rules import admit_claim
from labkit.local.storage.sources import Later
from labkit.local.storage.uses import use_of
from labkit.local.store import Store

MEMORY = "labkit/memory"
"""Annotation of a snapshot that is to have the machine's memory, and all its disks: `true`."""


class Snapshots(Operations):
    """The controller of VirtualMachineSnapshots.

    What is captured beside the disks is kept in ``status.captured``. That is believed: no client can write a status.
    """

    kind, lock = SNAPSHOT, "snapshotInProgress"
    failed: ClassVar[Obj] = {"phase": "Failed", "readyToUse": False}

    def __init__(self, store: Store, recorder: Recorder, claims: Claims, machines: Machines, keeping: Keeping) -> None:
        super().__init__(store, recorder, claims)
        self._machines, self._keeping = machines, keeping

    async def perform(self, obj: Obj) -> Obj:
        """Copy every claim's disk as it is at one moment."""
        space = namespace_of(obj)
        vm = self._store.get(VM, space, obj["spec"]["source"]["name"])
        if vm is None:
            raise Later("SourceNotFound", "Source does not exist")
        self.hold(obj, vm)
        uses = {volume["name"]: use_of(volume) for volume in get_path(vm, "spec.template.spec.volumes", [])}
        claims = {name: self._claims.bound(space, use.claim) for name, use in uses.items() if use and not use.ephemeral}
        taken, whole = timestamp(), obj["metadata"].get("annotations", {}).get(MEMORY) == "true"
        indications, about = await (self._copy_machine if whole else self._copy)(obj, vm, claims)
        excluded = [] if whole else [name for name in uses if name not in claims]
        if excluded:
            indications.append(("PartialSnapshot", f"only claims are captured, not: {', '.join(excluded)}"))
        meta = {key: vm["metadata"][key] for key in ("name", "labels", "annotations") if key in vm["metadata"]}
        return {
            "phase": "Succeeded",
            "readyToUse": True,
            "creationTime": taken,
            "sourceUID": uid_of(vm),
            "indications": [word for word, _ in indications],
            "sourceIndications": [{"indication": word, "message": why} for word, why in indications],
            "snapshotVolumes": {"includedVolumes": list(claims), "excludedVolumes": excluded},
            "captured": {
                "virtualMachine": {"metadata": meta, "spec": vm["spec"]},
                "claims": {name: found["spec"] for name, found in claims.items()},
                **about,
            },
        }

    async def _copy_machine(self, obj: Obj, vm: Obj, claims: Mapping[str, Obj]) -> tuple[list[tuple[str, str]], Obj]:
        """Copy memory, devices and every disk as they are at one moment, at which the guest stands still."""
        folder = make_private(self._claims.folder(obj) / "machine")
        vmi = self._store.get(VMI, namespace_of(vm), name_of(vm))
        if vmi is None or get_path(vmi, "status.phase") != "Running":
            raise Later("SourceNotReady", f"VirtualMachine {name_of(vm)} does not run, so it has no memory")
        async with self._keeping.still(vmi, folder):
            for volume, claim in claims.items():
                await disks.copy(self._claims.file(claim), self._claims.snapshot_file(obj, volume))
        return [("Memory", "the machine stood still, and is whole")], {"machine": uid_of(vmi)}

    async def _copy(self, obj: Obj, vm: Obj, claims: Mapping[str, Obj]) -> tuple[list[tuple[str, str]], Obj]:
        make_private(self._claims.folder(obj))
        vmi = self._store.get(VMI, namespace_of(vm), name_of(vm))
        machine = self._machines.running(vmi) if vmi and get_path(vmi, "status.phase") == "Running" else None
        used = {}
        if vmi is not None and machine is not None:
            nodes = {disk["name"]: f"disk{n}" for n, disk in enumerate(vmi["spec"]["domain"]["devices"]["disks"])}
            uses = {volume["name"]: use_of(volume) for volume in vmi["spec"].get("volumes") or []}
            used = {use.claim: nodes[name] for name, use in uses.items() if use and not use.ephemeral}
        copies, resting = {}, []
        for volume, claim in claims.items():
            target = self._claims.snapshot_file(obj, volume)
            if node := used.get(name_of(claim)):
                copies[node] = disks.virtual_size(self._claims.file(claim)), target
            else:
                resting.append((claim, target))
        with self._claims.locked([claim for claim, _ in resting], "InUse"):
            for claim, target in resting:
                await disks.copy(self._claims.file(claim), target)
            return await online.backup(machine, copies) if machine and copies else [], {}


class Restores(Operations):
    """The controller of VirtualMachineRestores. The restored VM is halted, as on KubeVirt."""

    kind, lock = RESTORE, "restoreInProgress"

    def __init__(self, store: Store, recorder: Recorder, claims: Claims, keeping: Keeping) -> None:
        super().__init__(store, recorder, claims)
        self._keeping = keeping

    async def perform(self, obj: Obj) -> Obj:
        """Bring back every captured claim, then the VM's spec."""
        space, spec = namespace_of(obj), obj["spec"]
        snapshot = self._store.get(SNAPSHOT, space, spec["virtualMachineSnapshotName"])
        if snapshot is None or (captured := get_path(snapshot, "status.captured")) is None:
            raise Later("SnapshotNotFound", f"VirtualMachineSnapshot {spec['virtualMachineSnapshotName']} is gone")
        vm = self._store.get(VM, space, spec["target"]["name"])
        if vm is not None:
            self.hold(obj, vm)
            if self._store.get(VMI, space, name_of(vm)) is not None:
                raise Later("TargetNotReady", f"VirtualMachine {name_of(vm)} must be stopped before it is restored")
        names = {volume: self._claim(obj, volume, spec) for volume, spec in captured["claims"].items()}
        claims = {volume: self._claims.bound(space, name) for volume, name in names.items()}
        for volume, claim in claims.items():
            await disks.copy(self._claims.snapshot_file(snapshot, volume), self._claims.file(claim))
        gone = self._restore_vm(obj, captured["virtualMachine"], vm, names)
        if uid := captured.get("machine"):
            await self._keeping.put_back(uid, self._claims.folder(snapshot) / "machine")
            mark = {"restoredMachine": uid}
            self._store.update(VM, space, spec["target"]["name"], lambda now: now.setdefault("status", {}).update(mark))
        restores = [{"volumeName": volume, "persistentVolumeClaim": name} for volume, name in names.items()]
        return {"complete": True, "restoreTime": timestamp(), "restores": restores, "deletedDataVolumes": gone}

    def _claim(self, obj: Obj, volume: str, spec: Obj) -> str:
        """The name of a new claim for a captured disk."""
        space, name = namespace_of(obj), f"restore-{uid_of(obj)}-{volume}"
        if self._store.get(PVC, space, name) is None:
            meta = {"name": name, "namespace": space}
            claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}
            admit_claim(Admission(claim, None, self._store.get))
            self._store.create(PVC, claim)
        return name

    def _restore_vm(self, obj: Obj, captured: Obj, vm: Obj | None, restored: dict[str, str]) -> list[str]:
        """The VM as it was captured, with the restored claims; the names of its DataVolumes that go."""
        space, spec, replaced = namespace_of(obj), copy.deepcopy(captured["spec"]), set()
        set_strategy(spec, "Halted")
        for volume in spec["template"]["spec"].get("volumes") or []:
            use, name = use_of(volume), restored.get(volume["name"])
            if use and name and use.claim != name:
                replaced.add(use.claim)
                volume.pop("dataVolume", None)
                volume["persistentVolumeClaim"] = {"claimName": name}
        templates = spec.pop("dataVolumeTemplates", None) or []
        if kept := [item for item in templates if item["metadata"]["name"] not in replaced]:
            spec["dataVolumeTemplates"] = kept
        before = get_path(vm, "spec.dataVolumeTemplates", [])
        gone = [item["metadata"]["name"] for item in before if item["metadata"]["name"] in replaced]
        for name in gone:
            if self._store.get(DV, space, name) is not None:
                self._store.delete(DV, space, name)
        if vm is None:
            meta = captured["metadata"] | {"name": obj["spec"]["target"]["name"], "namespace": space}
            new = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": meta, "spec": spec}
            admit_vm(Admission(new, None, self._store.get))
            vm = self._store.create(VM, new)
        else:
            self._store.update(VM, space, name_of(vm), lambda now: now.update(spec=spec))
        owner = {"ownerReferences": [owner_reference(vm)]}
        for name in restored.values():
            self._store.update(PVC, space, name, lambda now: now["metadata"].update(owner))
        return gone
