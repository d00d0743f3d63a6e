"""The kinds of storage: rows for the table."""

from __future__ import annotations

from labkit.local.api.columns import AGE, NAME, Column, field
from labkit.local.api.kinds import Kind
from labkit.local.objects import Obj, get_path
from labkit.local.storage.rules import admit_claim

PVC = "persistentvolumeclaims"
_MODES = {"ReadWriteOnce": "RWO", "ReadWriteOncePod": "RWOP", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX"}


def _modes(claim: Obj) -> str:
    return ",".join(_MODES[mode] for mode in get_path(claim, "status.accessModes", []))


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
)  # fmt: skip
