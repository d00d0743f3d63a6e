"""The kinds of storage: rows for the table."""

from __future__ import annotations

from collections.abc import Callable

from labkit.local.api.columns import AGE, NAME, Column, age, field
from labkit.local.api.kinds import Admit, Kind, Tree
from labkit.local.api.schemas import not_built
from labkit.local.objects import Obj, deleting, get_path
from labkit.local.storage import rules
from labkit.local.storage.rules import CDI, SNAPSHOTS

PVC = "persistentvolumeclaims"
DV = f"datavolumes.{CDI}"
SNAPSHOT = f"virtualmachinesnapshots.{SNAPSHOTS}"
RESTORE = f"virtualmachinerestores.{SNAPSHOTS}"

_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_FOREIGN = ("dataSource", "dataSourceRef", "selector", "volumeAttributesClassName", "volumeName")
_TARGET: Tree = {"apiGroup!": "kubevirt.io|", "kind!": "VirtualMachine|", "name!": "~[a-z0-9]([-a-z0-9.]*[a-z0-9])?"}
_CLAIM: Tree = {
    "resources!": {"requests!": {"storage!": "quantity"}, **not_built("limits")},
    "storageClassName": "string",
    "volumeMode": "Block|Filesystem",
    **not_built(*_FOREIGN),
}
_ACCESS: Tree = ["|".join(_MODES)]
_SUMS = "(md5:[0-9a-fA-F]{32}|sha1:[0-9a-fA-F]{40}|sha256:[0-9a-fA-F]{64}|sha512:[0-9a-fA-F]{128})?"
_REGISTRY = r"(localhost|[\w-]+(\.[\w-]+)+|[\w.-]+(?=:))(:[0-9]+)?/[a-z0-9][\w./:@-]*"
DATA_VOLUME_SPEC: Tree = {
    "source!": {
        "blank": {},
        "http": {
            # No user and password: the address is shown in conditions and events.
            "url!": r"~https?://[^\s/@]+(/\S*)?",
            "checksum": f"~{_SUMS}",
            **not_built("certConfigMap", "extraHeaders", "insecureSkipVerify", "secretExtraHeaders", "secretRef"),
        },
        "registry": {
            "url!": f"~docker://{_REGISTRY}",
            **not_built("certConfigMap", "imageStream", "platform", "pullMethod", "secretRef"),
        },
        "pvc": {"namespace": "string", "name!": "string"},
        **not_built("gcs", "imageio", "s3", "snapshot", "upload", "vddk"),
    },
    "pvc": {"accessModes!": _ACCESS, **_CLAIM},
    "storage": {"accessModes": _ACCESS, **_CLAIM},
    "contentType": "kubevirt|",
    **not_built(
        "checkpoints", "finalCheckpoint", "preallocation", "priorityClassName", "serviceAccountName", "sourceRef"
    ),
}
_RESTORE: Tree = {
    "target!": _TARGET,
    "virtualMachineSnapshotName!": "string",
    "targetReadinessPolicy": "WaitGracePeriod|",
    "volumeRestorePolicy": "RandomizeNames|",
    "volumeOwnershipPolicy": "Vm|",
    **not_built("patches", "volumeRestoreOverrides"),
}
_SNAPSHOT: Tree = {
    "source!": _TARGET,
    "deletionPolicy": "Delete|",
    **not_built("failureDeadline"),
}


def _columns(**paths: str) -> tuple[Column, ...]:
    """NAME and one column for each field; the name of one that holds a time ends so."""
    return (NAME, *(Column(name, _ago(path) if path.endswith("Time") else field(path)) for name, path in paths.items()))


def _ago(dotted: str) -> Callable[[Obj], str]:
    return lambda obj: age(get_path(obj, dotted)) if get_path(obj, dotted) else ""


def _custom(group: str, kind: str, spec: Tree, short: tuple[str, str], admit: Admit, *columns: Column) -> Kind:
    fields = {"spec!": spec}
    return Kind(
        kind, group, "v1beta1", fields, short_names=short, categories=("all",), admit=admit, columns=columns,
        counts_generations=True,
    )  # fmt: skip


KINDS: tuple[Kind, ...] = (
    Kind(
        "PersistentVolumeClaim",
        refused=("spec.resources.limits", *(f"spec.{name}" for name in _FOREIGN)),
        short_names=("pvc",),
        admit=rules.admit_claim,
        finalizers=("kubernetes.io/pvc-protection",),
        columns=(
            NAME,
            Column("Status", lambda o: "Terminating" if deleting(o) else get_path(o, "status.phase")),
            *_columns(Volume="spec.volumeName", Capacity="status.capacity.storage")[1:],
            Column("Access Modes", lambda o: ",".join(_MODES[m] for m in get_path(o, "status.accessModes", []))),
            Column("StorageClass", field("spec.storageClassName")),
            AGE,
            Column("VolumeMode", field("spec.volumeMode"), wide=True),
        ),
    ),
    _custom(
        CDI, "DataVolume", DATA_VOLUME_SPEC, ("dv", "dvs"), rules.admit_data_volume,
        *_columns(Phase="status.phase", Progress="status.progress"),
        Column("Restarts", lambda o: get_path(o, "status.restartCount", 0), type="integer"),
        AGE,
    ),
    _custom(
        SNAPSHOTS, "VirtualMachineSnapshot", _SNAPSHOT, ("vmsnapshot", "vmsnapshots"), rules.admit_snapshot,
        *_columns(
            SourceKind="spec.source.kind", SourceName="spec.source.name", Phase="status.phase",
            ReadyToUse="status.readyToUse", CreationTime="status.creationTime", Error="status.error.message",
        ),
    ),
    _custom(
        SNAPSHOTS, "VirtualMachineRestore", _RESTORE, ("vmrestore", "vmrestores"), rules.admit_restore,
        *_columns(
            TargetKind="spec.target.kind", TargetName="spec.target.name", Complete="status.complete",
            RestoreTime="status.restoreTime",
        ),
    ),
)  # fmt: skip
