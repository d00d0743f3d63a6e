"""Snapshots of a VM's claims, and restores of them. Memory is never part of either."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

from labkit.local.api.kinds import Admission
from labkit.local.controllers.events import Recorder
from labkit.local.controllers.machines import Machines
from labkit.local.controllers.virtualmachines import VM, VMI
from labkit.local.files import make_private
from labkit.local.kubevirt.admission import admit_vm
from labkit.local.objects import Obj, get_path, name_of, namespace_of, owner_reference, parse_time, timestamp, uid_of
from labkit.local.storage import disks, online
from labkit.local.storage.claims import Claims
from labkit.local.storage.kinds import CONTENT, DV, PVC, RESTORE, SNAPSHOT
from labkit.local.storage.operations import OperationError, Operations
from labkit.local.storage.rules import SNAPSHOTS, admit_claim, seconds_of, size_of
from labkit.local.storage.sources import Later
from labkit.local.storage.uses import use_of
from labkit.local.store import Store

_GRACE_SECONDS = 300


def _age(obj: Obj) -> float:
    return (datetime.now(UTC) - parse_time(obj["metadata"]["creationTimestamp"])).total_seconds()


class Snapshots(Operations):
    """The controller of VirtualMachineSnapshots."""

    kind, lock = SNAPSHOT, "snapshotInProgress"

    def __init__(self, store: Store, recorder: Recorder, claims: Claims, machines: Machines) -> None:
        super().__init__(store, recorder, claims)
        self._machines = machines

    def left(self, obj: Obj) -> float | None:
        """Until ``failureDeadline``; 0 means that there is none."""
        deadline = seconds_of(obj["spec"].get("failureDeadline") or "5m")
        return deadline - _age(obj) if deadline else None

    def failed(self) -> Obj:
        """It is not ready to use, and never will be."""
        return {"phase": "Failed", "readyToUse": False}

    async def perform(self, obj: Obj) -> Obj:
        """Copy every claim's disk as it is at one moment."""
        space = namespace_of(obj)
        vm = self._store.get(VM, space, obj["spec"]["source"]["name"])
        if vm is None:
            raise Later("SourceNotFound", "Source does not exist")
        self.hold(obj, vm)
        content = self._content(obj, vm)
        taken, indications = timestamp(), await self._copy(vm, content)
        volumes = [volume["name"] for volume in vm["spec"]["template"]["spec"].get("volumes") or []]
        included = [backup["volumeName"] for backup in content["spec"]["volumeBackups"]]
        excluded = [name for name in volumes if name not in included]
        if excluded:
            indications.append(("PartialSnapshot", f"only claims are captured, not: {', '.join(excluded)}"))
        ready = {"readyToUse": True, "creationTime": taken}
        self._store.update(CONTENT, space, name_of(content), lambda now: now["status"].update(ready))
        return ready | {
            "phase": "Succeeded",
            "sourceUID": uid_of(vm),
            "virtualMachineSnapshotContentName": name_of(content),
            "indications": [word for word, _ in indications],
            "sourceIndications": [{"indication": word, "message": why} for word, why in indications],
            "snapshotVolumes": {"includedVolumes": included, "excludedVolumes": excluded},
        }

    def _content(self, obj: Obj, vm: Obj) -> Obj:
        """The object that says what is captured; it stays as it was when the snapshot began."""
        space, name = namespace_of(obj), f"vmsnapshot-content-{uid_of(obj)}"
        if found := self._store.get(CONTENT, space, name):
            return found
        backups = []
        for volume in vm["spec"]["template"]["spec"].get("volumes") or []:
            if (use := use_of(volume)) and not use.ephemeral:
                claim = self._claims.bound(space, use.claim)
                backups.append(
                    {
                        "volumeName": volume["name"],
                        "persistentVolumeClaim": {"metadata": {"name": use.claim}, "spec": claim["spec"]},
                        "volumeSnapshotName": f"vmsnapshot-{uid_of(obj)}-volume-{volume['name']}",
                    }
                )
        meta = {key: vm["metadata"][key] for key in ("name", "labels", "annotations") if key in vm["metadata"]}
        return self._store.create(
            CONTENT,
            {
                "apiVersion": f"{SNAPSHOTS}/v1beta1",
                "kind": "VirtualMachineSnapshotContent",
                "metadata": {"name": name, "namespace": space, "ownerReferences": [owner_reference(obj)]},
                "spec": {
                    "virtualMachineSnapshotName": name_of(obj),
                    "source": {"virtualMachine": {"metadata": meta, "spec": vm["spec"]}},
                    "volumeBackups": backups,
                },
                "status": {"readyToUse": False},
            },
        )

    async def _copy(self, vm: Obj, content: Obj) -> list[tuple[str, str]]:
        space = namespace_of(vm)
        make_private(self._claims.folder(content))
        vmi = self._store.get(VMI, space, name_of(vm))
        machine = self._machines.running(vmi) if vmi and get_path(vmi, "status.phase") == "Running" else None
        used = {}
        if vmi is not None and machine is not None:
            nodes = {disk["name"]: f"disk{n}" for n, disk in enumerate(vmi["spec"]["domain"]["devices"]["disks"])}
            uses = {volume["name"]: use_of(volume) for volume in vmi["spec"].get("volumes") or []}
            used = {use.claim: nodes[name] for name, use in uses.items() if use and not use.ephemeral}
        copies, resting = {}, []
        for backup in content["spec"]["volumeBackups"]:
            claim = self._claims.bound(space, backup["persistentVolumeClaim"]["metadata"]["name"])
            target = self._claims.snapshot_file(content, backup)
            if node := used.get(name_of(claim)):
                copies[node] = disks.virtual_size(self._claims.file(claim)), target
            else:
                resting.append((claim, target))
        with self._claims.locked([claim for claim, _ in resting], "InUse"):
            for claim, target in resting:
                await disks.copy(self._claims.file(claim), target)
            return await online.backup(machine, copies) if machine and copies else []


class Restores(Operations):
    """The controller of VirtualMachineRestores. The restored VM is halted, as on KubeVirt."""

    kind, lock = RESTORE, "restoreInProgress"

    async def perform(self, obj: Obj) -> Obj:
        """Bring back every captured claim, then the VM's spec."""
        space, spec = namespace_of(obj), obj["spec"]
        snapshot = self._store.get(SNAPSHOT, space, spec["virtualMachineSnapshotName"])
        content = self._store.get(CONTENT, space, get_path(snapshot, "status.virtualMachineSnapshotContentName", ""))
        if content is None:
            raise OperationError(f"VirtualMachineSnapshot {spec['virtualMachineSnapshotName']} is gone")
        vm = self._store.get(VM, space, spec["target"]["name"])
        if vm is not None:
            self.hold(obj, vm)
            self._check_stopped(obj, vm)
        names = {backup["volumeName"]: self._claim(obj, backup) for backup in content["spec"]["volumeBackups"]}
        claims = {volume: self._claims.bound(space, name) for volume, name in names.items()}
        for backup in content["spec"]["volumeBackups"]:
            claim = claims[backup["volumeName"]]
            with self._claims.locked([claim], "InUse"):
                await disks.copy(self._claims.snapshot_file(content, backup), self._claims.file(claim))
                await disks.grow(self._claims.file(claim), size_of(claim))
        gone = self._restore_vm(obj, content, vm, names)
        restores = [
            {
                "volumeName": backup["volumeName"],
                "persistentVolumeClaim": names[backup["volumeName"]],
                "volumeSnapshotName": backup["volumeSnapshotName"],
            }
            for backup in content["spec"]["volumeBackups"]
        ]
        return {"complete": True, "restoreTime": timestamp(), "restores": restores, "deletedDataVolumes": gone}

    def _check_stopped(self, obj: Obj, vm: Obj) -> None:
        if self._store.get(VMI, namespace_of(vm), name_of(vm)) is not None:
            why = f"VirtualMachine {name_of(vm)} must be stopped before it is restored"
            raise OperationError(why) if _age(obj) > _GRACE_SECONDS else Later("TargetNotReady", why)

    def _claim(self, obj: Obj, backup: Obj) -> str:
        """The name of the claim that gets a captured disk: the one it was taken from (InPlace), or a new one."""
        space, captured = namespace_of(obj), backup["persistentVolumeClaim"]
        in_place = obj["spec"].get("volumeRestorePolicy") == "InPlace"
        name = captured["metadata"]["name"] if in_place else f"restore-{uid_of(obj)}-{backup['volumeName']}"
        if self._store.get(PVC, space, name) is None:
            meta = {"name": name, "namespace": space}
            claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": captured["spec"]}
            admit_claim(Admission(claim, None, self._store.get))
            self._store.create(PVC, claim)
        return str(name)

    def _restore_vm(self, obj: Obj, content: Obj, vm: Obj | None, restored: dict[str, str]) -> list[str]:
        """The VM as it was captured, with the restored claims; the names of its DataVolumes that go."""
        space, captured = namespace_of(obj), copy.deepcopy(content["spec"]["source"]["virtualMachine"])
        spec, replaced = captured["spec"], set()
        _halt(spec)
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
        if obj["spec"].get("volumeRestorePolicy") != "InPlace":
            owner = {"ownerReferences": [owner_reference(vm)]}
            for name in restored.values():
                self._store.update(PVC, space, name, lambda now: now["metadata"].update(owner))
        return gone


def _halt(spec: Obj) -> None:
    if "running" in spec:
        spec["running"] = False
    else:
        spec["runStrategy"] = "Halted"
