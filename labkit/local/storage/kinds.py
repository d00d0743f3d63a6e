"""The kinds of storage: rows for the table."""

from __future__ import annotations

from labkit.local.api.columns import AGE, NAME, Column, field
from labkit.local.api.fields import Tree, not_built
from labkit.local.api.kinds import Kind
from labkit.local.objects import Obj, get_path
from labkit.local.storage.rules import CDI, admit_claim, admit_data_volume

PVC = "persistentvolumeclaims"
DV = f"datavolumes.{CDI}"
_MODES = {"ReadWriteOnce": "RWO", "ReadWriteOncePod": "RWOP", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX"}

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
)  # fmt: skip
