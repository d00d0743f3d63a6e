"""Defaults and rules of the storage kinds, as far as their schemas do not say them. Pure."""

from __future__ import annotations

import re

from labkit.local.access.rules import Attributes
from labkit.local.api.bounds import is_name, not_allowed, required
from labkit.local.api.kinds import Admission
from labkit.local.api.status import Cause, forbidden, invalid
from labkit.local.objects import Obj, get_path, name_of, namespace_of, quantity

CLASS = "local"
"""The one storage class: qcow2 files on this computer."""
CDI = "cdi.kubevirt.io"
SNAPSHOTS = "snapshot.kubevirt.io"
_SIZE = "resources.requests.storage"


def admit_claim(admission: Admission) -> None:
    """Default a new claim; later it can only grow."""
    new, old = admission.new, admission.old
    spec = new.setdefault("spec", {})
    causes = claim_causes(spec, "spec")
    spec.setdefault("storageClassName", CLASS)
    spec.setdefault("volumeMode", "Filesystem")
    if old is None:
        new["status"] = {"phase": "Pending"}
    elif not causes:
        if size_of(new) < size_of(old):
            causes.append(not_allowed(f"spec.{_SIZE}", "field can not be less than previous value"))
        if {**spec, "resources": old["spec"]["resources"]} != old["spec"]:
            why = "spec is immutable after creation except resources.requests for bound claims"
            causes.append(not_allowed("spec", why))
    _refuse(new, "", causes)


def claim_causes(spec: Obj, at: str) -> list[Cause]:
    """What is wrong with a claim's spec."""
    causes = [] if spec.get("accessModes") else [required(f"{at}.accessModes", "at least 1 access mode is required")]
    size = get_path(spec, _SIZE)
    if size is None:
        return [*causes, required(f"{at}.resources[storage]")]
    return causes if quantity(size) >= 1 else [*causes, Cause(f"{at}.resources[storage]", "must be greater than zero")]


def admit_data_volume(admission: Admission) -> None:
    """Check a new DataVolume; its spec never changes."""
    new, old = admission.new, admission.old
    causes = data_volume_causes(admission, new.get("spec") or {}, "spec")
    if old is None:
        new["status"] = {"phase": "Pending", "progress": "N/A"}
        if admission.lookup("persistentvolumeclaims", namespace_of(new), name_of(new)):
            why = f"Destination PVC {namespace_of(new)}/{name_of(new)} already exists"
            causes.append(Cause("DataVolume.Name", why, "FieldValueDuplicate"))
    elif new.get("spec") != old.get("spec"):
        causes = [Cause("DataVolume.spec", "Cannot update DataVolume Spec")]
    _refuse(new, CDI, causes)


def data_volume_causes(admission: Admission, spec: Obj, at: str) -> list[Cause]:
    """What is wrong with a DataVolume's spec. ApiError 403 for a source that the caller may not clone."""
    claims = [key for key in ("pvc", "storage") if key in spec]
    sources = spec.get("source") or {}
    causes = [] if len(claims) == 1 else [required(at, "must have exactly one of pvc and storage")]
    causes += [] if len(sources) == 1 else [required(f"{at}.source", "must have exactly one source")]
    for key in claims:
        causes += claim_causes(with_modes(spec[key]) if key == "storage" else spec[key], f"{at}.{key}")
    for kind, field in (("http", "url"), ("registry", "url"), ("pvc", "name")):
        if kind in sources and not sources[kind].get(field):
            causes.append(required(f"{at}.source.{kind}.{field}"))
    source, home = sources.get("pvc") or {}, namespace_of(admission.new)
    if source.setdefault("namespace", home) != home:
        right = Attributes("create", CDI, "datavolumes/source", source["namespace"], source.get("name", ""))
        if not admission.caller.may(right):
            who, what = admission.caller.user.name, f"{right.namespace}/{right.name}"
            raise forbidden(f'User "{who}" may not clone the claim {what}: no right to create {right.resource} there')
    return causes


def template_causes(admission: Admission) -> list[Cause]:
    """What is wrong with the ``dataVolumeTemplates`` of a VirtualMachine."""
    spec, causes = admission.new["spec"], []
    volumes = get_path(spec, "template.spec.volumes", [])
    used = {get_path(v, "dataVolume.name") or get_path(v, "persistentVolumeClaim.claimName") for v in volumes}
    for n, template in enumerate(spec.get("dataVolumeTemplates") or []):
        at = f"spec.dataVolumeTemplates[{n}]"
        if (name := get_path(template, "metadata.name")) is None:
            causes.append(required(f"{at}.name"))
        elif not is_name(name):
            causes.append(_unfit(f"{at}.metadata.name", name))
        elif name not in used:
            causes.append(Cause(at, f"{at} must be referenced in the VMI template's 'volumes' list"))
        causes += data_volume_causes(admission, template.get("spec") or {}, f"{at}.spec")
    return causes


def admit_snapshot(admission: Admission) -> None:
    """Check a new VirtualMachineSnapshot; its spec never changes."""
    _admit_once(admission, _target_causes(admission.new, "source"), {"phase": "InProgress", "readyToUse": False})


def admit_restore(admission: Admission) -> None:
    """Check a new VirtualMachineRestore; its spec never changes."""
    spec, space = admission.new.get("spec") or {}, namespace_of(admission.new)
    name, at = spec.get("virtualMachineSnapshotName") or "", "spec.virtualMachineSnapshotName"
    snapshot = admission.lookup(f"virtualmachinesnapshots.{SNAPSHOTS}", space, name)
    causes = _target_causes(admission.new, "target")
    if snapshot is None:
        causes.append(Cause(at, f'VirtualMachineSnapshot "{name}" does not exist'))
    elif not get_path(snapshot, "status.readyToUse"):
        causes.append(Cause(at, f'VirtualMachineSnapshot "{name}" is not ready to use'))
    elif spec.get("volumeRestorePolicy") == "InPlace" and snapshot["spec"]["source"] != spec.get("target"):
        causes.append(Cause("spec.volumeRestorePolicy", "InPlace can restore the snapshot's own VM only"))
    _admit_once(admission, causes, {"complete": False})


def _target_causes(obj: Obj, key: str) -> list[Cause]:
    paths = (f"spec.{key}.{part}" for part in ("apiGroup", "kind", "name"))
    causes = [required(path) for path in paths if not get_path(obj, path)]
    name = get_path(obj, f"spec.{key}.name") or ""
    return causes if is_name(name) or causes else [_unfit(f"spec.{key}.name", name)]


def _unfit(at: str, name: str) -> Cause:
    return Cause(at, f"Invalid value: '{name[:300]}' is not a lowercase RFC 1123 subdomain")


def _admit_once(admission: Admission, causes: list[Cause], status: Obj) -> None:
    new, old = admission.new, admission.old
    if old is None:
        new["status"] = status
    else:
        changed = new.get("spec") != old.get("spec")
        causes = [Cause("spec", "spec is immutable after creation")] if changed else []
    _refuse(new, SNAPSHOTS, causes)


def _refuse(obj: Obj, group: str, causes: list[Cause]) -> None:
    if causes:
        raise invalid(obj["kind"], group, name_of(obj), causes)


def with_modes(spec: Obj) -> Obj:
    """The spec of a DataVolume's ``storage`` with what it may leave out."""
    return {"accessModes": ["ReadWriteOnce"], **spec}


def seconds_of(duration: str) -> float:
    """The seconds of a Go duration such as ``5m`` or ``1h30m0s``."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"([0-9.]+)(h|ms|m|s)", duration))


def size_of(claim: Obj) -> int:
    """The bytes that a claim asks for, in whole MiB."""
    return -int(-quantity(get_path(claim, f"spec.{_SIZE}", 0)) // 2**20) * 2**20
