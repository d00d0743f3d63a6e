"""Defaults and rules of the storage kinds, as far as their schemas do not say them. Pure."""

from __future__ import annotations

from labkit.local.access.requests import refusal
from labkit.local.access.rules import Attributes
from labkit.local.api.admission import refuse
from labkit.local.api.bounds import invalid, is_name, not_allowed, required
from labkit.local.api.kinds import Admission
from labkit.local.api.status import Cause
from labkit.local.objects import Obj, get_path, name_of, namespace_of, quantity

CLASS = "local"
"""The one storage class: qcow2 files on this computer."""
CDI = "cdi.kubevirt.io"
SNAPSHOTS = "snapshot.kubevirt.io"
_SIZE = "resources.requests.storage"


def admit_claim(admission: Admission) -> None:
    """Default a new claim; it never changes."""
    new, old = admission.new, admission.old
    spec = new.setdefault("spec", {})
    causes = [] if spec.get("accessModes") else [required("spec.accessModes", "at least 1 access mode is required")]
    if size_of(new) < 1:
        causes.append(required("spec.resources[storage]", "must be greater than zero"))
    spec.setdefault("storageClassName", CLASS)
    spec.setdefault("volumeMode", "Filesystem")
    if old is None:
        new["status"] = {"phase": "Pending"}
    elif not causes and spec != old["spec"]:
        causes.append(not_allowed("spec", "spec is immutable after creation: the embedded engine resizes no claim"))
    refuse(admission, causes)


def admit_data_volume(admission: Admission) -> None:
    """Check a new DataVolume; its spec never changes."""
    new = admission.new
    causes = data_volume_causes(admission, new["spec"], "spec")
    if admission.old is None and admission.lookup("persistentvolumeclaims", namespace_of(new), name_of(new)):
        why = f"Destination PVC {namespace_of(new)}/{name_of(new)} already exists"
        causes.append(Cause("DataVolume.Name", why, "FieldValueDuplicate"))
    _admit_once(admission, causes, {"phase": "Pending", "progress": "N/A"})


def data_volume_causes(admission: Admission, spec: Obj, at: str) -> list[Cause]:
    """What is wrong with a DataVolume's spec. ApiError 403 for a source that the caller may not clone."""
    causes = (
        [] if ("pvc" in spec) != ("storage" in spec) else [required(at, "must have exactly one of pvc and storage")]
    )
    if len(spec["source"]) != 1:
        causes.append(required(f"{at}.source", "must have exactly one source"))
    source, home = spec["source"].get("pvc") or {}, namespace_of(admission.new)
    if source.setdefault("namespace", home) != home:
        right = Attributes("create", CDI, "datavolumes/source", source["namespace"], source["name"])
        if not admission.caller.may(right):
            raise refusal(admission.caller.user, right)
    return causes


def template_causes(admission: Admission) -> list[Cause]:
    """What is wrong with the ``dataVolumeTemplates`` of a VirtualMachine."""
    spec, causes = admission.new["spec"], []
    volumes = get_path(spec, "template.spec.volumes", [])
    used = {get_path(v, "dataVolume.name") or get_path(v, "persistentVolumeClaim.claimName") for v in volumes}
    for n, template in enumerate(spec.get("dataVolumeTemplates") or []):
        at, name = f"spec.dataVolumeTemplates[{n}]", get_path(template, "metadata.name", "")
        if not is_name(name):
            causes.append(invalid(f"{at}.metadata.name", name[:300], "is not a lowercase RFC 1123 subdomain"))
        elif name not in used:
            causes.append(Cause(at, f"{at} must be referenced in the VMI template's 'volumes' list"))
        causes += data_volume_causes(admission, template["spec"], f"{at}.spec")
    return causes


def admit_snapshot(admission: Admission) -> None:
    """A VirtualMachineSnapshot's spec never changes."""
    _admit_once(admission, [], {"phase": "InProgress", "readyToUse": False})


def admit_restore(admission: Admission) -> None:
    """Check a new VirtualMachineRestore; its spec never changes."""
    spec, causes = admission.new["spec"], []
    name, at = spec["virtualMachineSnapshotName"], "spec.virtualMachineSnapshotName"
    snapshot = admission.lookup(f"virtualmachinesnapshots.{SNAPSHOTS}", namespace_of(admission.new), name)
    if snapshot is None or not get_path(snapshot, "status.readyToUse"):
        fault = "does not exist" if snapshot is None else "is not ready to use"
        causes.append(Cause(at, f'VirtualMachineSnapshot "{name}" {fault}'))
    _admit_once(admission, causes, {"complete": False})


def _admit_once(admission: Admission, causes: list[Cause], status: Obj) -> None:
    """Admit what is done once, with its first status; of an object that is there only the spec is looked at."""
    new, old = admission.new, admission.old
    if old is None:
        new["status"] = status
    else:
        causes = [Cause("spec", "spec is immutable after creation")] if new["spec"] != old["spec"] else []
    refuse(admission, causes)


def with_modes(spec: Obj) -> Obj:
    """The spec of a DataVolume's ``storage`` with what it may leave out."""
    return {"accessModes": ["ReadWriteOnce"], **spec}


def size_of(claim: Obj) -> int:
    """The bytes that a claim asks for, in whole MiB."""
    return -int(-quantity(get_path(claim, f"spec.{_SIZE}", 0)) // 2**20) * 2**20
