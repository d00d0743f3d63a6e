"""Snapshots of a VM's claims, and restores of them. Memory is never part of either."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

from labkit.local.api.kinds import Admission
from labkit.local.controllers.events import Recorder
from labkit.local.controllers.machines import Machines
from labkit.local.controllers.virtualmachines import VM, VMI
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
_BY_POLICY = {"InPlace": "{claim}", "PrefixTargetName": "{target}-{volume}"}
"""What a restored claim is called; in any other case it gets a name of its own."""


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
        kept = [] if obj["spec"].get("deletionPolicy") == "Retain" else [owner_reference(obj)]
        return self._store.create(
            CONTENT,
            {
                "apiVersion": f"{SNAPSHOTS}/v1beta1",
                "kind": "VirtualMachineSnapshotContent",
                "metadata": {"name": name, "namespace": space, "ownerReferences": kept},
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
        restores = [await self._volume(obj, content, backup) for backup in content["spec"]["volumeBackups"]]
        gone = self._restore_vm(obj, content, vm, {item["volumeName"]: item for item in restores})
        return {"complete": True, "restoreTime": timestamp(), "restores": restores, "deletedDataVolumes": gone}

    def _check_stopped(self, obj: Obj, vm: Obj) -> None:
        policy = obj["spec"].get("targetReadinessPolicy") or "WaitGracePeriod"
        if self._store.get(VMI, namespace_of(vm), name_of(vm)) is None:
            return
        why = f"VirtualMachine {name_of(vm)} must be stopped before it is restored"
        if policy == "FailImmediate" or (policy == "WaitGracePeriod" and _age(obj) > _GRACE_SECONDS):
            raise OperationError(why)
        if policy == "StopTarget":
            self._store.update(VM, namespace_of(vm), name_of(vm), lambda now: _halt(now["spec"]))
        raise Later("TargetNotReady", why)

    async def _volume(self, obj: Obj, content: Obj, backup: Obj) -> Obj:
        """One claim, new or (InPlace) with its old content."""
        space, volume, policy = namespace_of(obj), backup["volumeName"], obj["spec"].get("volumeRestorePolicy")
        before = backup["persistentVolumeClaim"]["metadata"]["name"]
        pattern = _BY_POLICY.get(policy, f"restore-{uid_of(obj)}-{{volume}}")
        name = pattern.format(claim=before, target=obj["spec"]["target"]["name"], volume=volume)
        claim = self._store.get(PVC, space, name)
        if claim is None:
            origin = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot"}
            origin["name"] = backup["volumeSnapshotName"]
            meta = {"name": name, "namespace": space, "annotations": {"restore.kubevirt.io/name": name_of(obj)}}
            claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta}
            claim["spec"] = backup["persistentVolumeClaim"]["spec"] | {"dataSource": origin}
            admit_claim(Admission(claim, None, self._store.get))
            self._store.create(PVC, claim)
        elif policy == "InPlace":
            with self._claims.locked([claim], "InUse"):
                await disks.copy(self._claims.snapshot_file(content, backup), self._claims.file(claim))
                await disks.grow(self._claims.file(claim), size_of(claim))
        elif get_path(claim, "metadata.annotations", {}).get("restore.kubevirt.io/name") != name_of(obj):
            raise OperationError(f"a PersistentVolumeClaim {name} exists that is not of this restore")
        self._claims.bound(space, name)
        snapshot = {"volumeSnapshotName": backup["volumeSnapshotName"]}
        return {"volumeName": volume, "persistentVolumeClaim": name, **snapshot}

    def _restore_vm(self, obj: Obj, content: Obj, vm: Obj | None, restores: dict[str, Obj]) -> list[str]:
        """The VM as it was captured, with the restored claims; the names of its DataVolumes that go."""
        space, captured = namespace_of(obj), copy.deepcopy(content["spec"]["source"]["virtualMachine"])
        spec, replaced = captured["spec"], set()
        _halt(spec)
        for volume in spec["template"]["spec"].get("volumes") or []:
            use, restored = use_of(volume), restores.get(volume["name"])
            if use and restored and use.claim != restored["persistentVolumeClaim"]:
                replaced.add(use.claim)
                volume.pop("dataVolume", None)
                volume["persistentVolumeClaim"] = {"claimName": restored["persistentVolumeClaim"]}
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
        if obj["spec"].get("volumeOwnershipPolicy") != "None" and obj["spec"].get("volumeRestorePolicy") != "InPlace":
            for item in restores.values():
                self._store.update(PVC, space, item["persistentVolumeClaim"], lambda now: now["metadata"].update(owner))
        return gone


def _halt(spec: Obj) -> None:
    if "running" in spec:
        spec["running"] = False
    else:
        spec["runStrategy"] = "Halted"
