"""What a DataVolume makes and says. Pure."""

from __future__ import annotations

from collections.abc import Callable

from labkit.local.objects import (
    Obj,
    condition,
    merge_conditions,
    name_of,
    namespace_of,
    owner_reference,
    timestamp,
)
from labkit.local.storage.rules import with_modes


def volume_of(vm: Obj, template: Obj) -> Obj:
    """The DataVolume that a VM's template stands for."""
    meta = {**template["metadata"], "namespace": namespace_of(vm), "ownerReferences": [owner_reference(vm)]}
    return {"apiVersion": "cdi.kubevirt.io/v1beta1", "kind": "DataVolume", "metadata": meta, "spec": template["spec"]}


def claim_of(volume: Obj) -> Obj:
    """The claim of a DataVolume, which has its name."""
    spec = volume["spec"].get("pvc") or with_modes(volume["spec"]["storage"])
    meta = {
        "name": name_of(volume),
        "namespace": namespace_of(volume),
        "labels": volume["metadata"].get("labels") or {},
        "ownerReferences": [owner_reference(volume)],
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def tell(phase: str, progress: str = "N/A", fault: str = "", message: str = "") -> Callable[[Obj], None]:
    """A mutation that sets a DataVolume's status. ``phase`` may be a step (Scheduled, InProgress) of its transfer."""

    def mutate(volume: Obj) -> None:
        old, name = volume.get("status", {}), name_of(volume)
        done, cloning = phase == "Succeeded", "pvc" in volume["spec"]["source"]
        step = phase in ("Scheduled", "InProgress")
        bound = condition("Bound", done, "Bound" if done else "Pending", f"PVC {name} {'Bound' if done else 'Pending'}")
        running = condition("Running", phase == "InProgress", fault or ("Completed" if done else phase), message)
        volume["status"] = {
            "claimName": name,
            "phase": f"{'Clone' if cloning else 'Import'}{phase}" if step else phase,
            "progress": "100.0%" if done else progress,
            "restartCount": old.get("restartCount", 0) + (fault == "Error" and phase == "Scheduled"),
            "conditions": merge_conditions(
                old.get("conditions", []),
                [bound, condition("Ready", done, *([] if done else ["TransferRunning"])), running],
                timestamp(),
            ),
        }

    return mutate
