"""The kinds of storage: rows for the table."""

from __future__ import annotations

from collections.abc import Callable

from labkit.local.api.columns import AGE, NAME, Column, age, field
from labkit.local.api.fields import Tree, not_built
from labkit.local.api.kinds import READ_VERBS, Kind
from labkit.local.objects import Obj, get_path
from labkit.local.storage.rules import (
    CDI,
    POLICIES,
    SNAPSHOTS,
    admit_claim,
    admit_data_volume,
    admit_restore,
    admit_snapshot,
)  # fmt: skip

PVC = "persistentvolumeclaims"
DV = f"datavolumes.{CDI}"
SNAPSHOT = f"virtualmachinesnapshots.{SNAPSHOTS}"
CONTENT = f"virtualmachinesnapshotcontents.{SNAPSHOTS}"
RESTORE = f"virtualmachinerestores.{SNAPSHOTS}"
_MODES = {"ReadWriteOnce": "RWO", "ReadWriteOncePod": "RWOP", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX"}

_TARGET: Tree = dict.fromkeys(("apiGroup", "kind", "name"), "string")
_CLAIM: Tree = {
    "accessModes": ["string"],
    "resources": {"requests": {"*": "quantity"}, **not_built("limits")},
    "storageClassName": "string",
    "volumeMode": "string",
    **not_built("dataSource", "dataSourceRef", "selector", "volumeAttributesClassName", "volumeName"),
}
DATA_VOLUME_SPEC: Tree = {
    "source": {
        "blank": {},
        "http": {
            "url": "string",
            "checksum": "string",
            **not_built("certConfigMap", "extraHeaders", "insecureSkipVerify", "secretExtraHeaders", "secretRef"),
        },
        "registry": {
            "url": "string",
            **not_built("certConfigMap", "imageStream", "platform", "pullMethod", "secretRef"),
        },
        "pvc": {"namespace": "string", "name": "string"},
        **not_built("gcs", "imageio", "s3", "snapshot", "upload", "vddk"),
    },
    "pvc": _CLAIM,
    "storage": _CLAIM,
    "contentType": "string",
    **not_built(
        "checkpoints", "finalCheckpoint", "preallocation", "priorityClassName", "serviceAccountName", "sourceRef"
    ),
}


def _modes(claim: Obj) -> str:
    return ",".join(_MODES[mode] for mode in get_path(claim, "status.accessModes", []))


def _ago(dotted: str) -> Callable[[Obj], str]:
    return lambda obj: age(get_path(obj, dotted)) if get_path(obj, dotted) else ""


KINDS: tuple[Kind, ...] = (
    Kind(
        "", "v1", "PersistentVolumeClaim", PVC, "persistentvolumeclaim",
        refused=tuple(f"spec.{name}" for name in (
            "selector", "volumeName", "dataSourceRef", "volumeAttributesClassName", "resources.limits",
        )),
        short_names=("pvc",),
        admit=admit_claim,
        finalizers=("kubernetes.io/pvc-protection",),
        columns=(
            NAME,
            Column("Status", lambda o: "Terminating" if "deletionTimestamp" in o["metadata"] else o["status"]["phase"]),
            Column("Volume", field("spec.volumeName")),
            Column("Capacity", field("status.capacity.storage")),
            Column("Access Modes", _modes),
            Column("StorageClass", field("spec.storageClassName")),
            AGE,
            Column("VolumeMode", field("spec.volumeMode"), wide=True),
        ),
    ),
    Kind(
        CDI, "v1beta1", "DataVolume", "datavolumes", "datavolume",
        fields={"spec": DATA_VOLUME_SPEC},
        short_names=("dv", "dvs"),
        categories=("all",),
        admit=admit_data_volume,
        status_route=True,
        counts_generations=True,
        columns=(
            NAME,
            Column("Phase", field("status.phase")),
            Column("Progress", field("status.progress")),
            Column("Restarts", lambda o: get_path(o, "status.restartCount", 0), type="integer"),
            AGE,
        ),
    ),
    Kind(
        SNAPSHOTS, "v1beta1", "VirtualMachineSnapshot", "virtualmachinesnapshots", "virtualmachinesnapshot",
        fields={"spec": {"source": _TARGET, "failureDeadline": "string", "deletionPolicy": "string"}},
        other_versions=("v1alpha1",),
        short_names=("vmsnapshot", "vmsnapshots"),
        categories=("all",),
        admit=admit_snapshot,
        status_route=True,
        counts_generations=True,
        columns=(
            NAME,
            Column("SourceKind", field("spec.source.kind")),
            Column("SourceName", field("spec.source.name")),
            Column("Phase", field("status.phase")),
            Column("ReadyToUse", field("status.readyToUse"), type="boolean"),
            Column("CreationTime", _ago("status.creationTime")),
            Column("Error", field("status.error.message")),
        ),
    ),
    Kind(
        SNAPSHOTS, "v1beta1", "VirtualMachineSnapshotContent",
        "virtualmachinesnapshotcontents", "virtualmachinesnapshotcontent",
        fields={"spec": "any"},
        other_versions=("v1alpha1",),
        short_names=("vmsnapshotcontent", "vmsnapshotcontents"),
        categories=("all",),
        verbs=(*READ_VERBS, "delete", "deletecollection"),
        columns=(
            NAME,
            Column("ReadyToUse", field("status.readyToUse"), type="boolean"),
            Column("CreationTime", _ago("status.creationTime")),
        ),
    ),
    Kind(
        SNAPSHOTS, "v1beta1", "VirtualMachineRestore", "virtualmachinerestores", "virtualmachinerestore",
        fields={
            "spec": {
                "target": _TARGET,
                "virtualMachineSnapshotName": "string",
                **dict.fromkeys(POLICIES, "string"),
                **not_built("patches", "volumeRestoreOverrides"),
            }
        },
        other_versions=("v1alpha1",),
        short_names=("vmrestore", "vmrestores"),
        categories=("all",),
        admit=admit_restore,
        status_route=True,
        counts_generations=True,
        columns=(
            NAME,
            Column("TargetKind", field("spec.target.kind")),
            Column("TargetName", field("spec.target.name")),
            Column("Complete", field("status.complete"), type="boolean"),
            Column("RestoreTime", _ago("status.restoreTime")),
        ),
    ),
)  # fmt: skip
