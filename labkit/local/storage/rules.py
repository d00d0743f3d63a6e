"""Defaults and rules of the storage kinds. Pure."""

from __future__ import annotations

from labkit.local.api.kinds import Admission
from labkit.local.api.status import Cause, invalid
from labkit.local.objects import Obj, get_path, name_of, quantity

CLASS = "local"
"""The one storage class: qcow2 files on this computer."""
_MODES = ("ReadWriteOnce", "ReadWriteOncePod", "ReadOnlyMany", "ReadWriteMany")
_FIXED = "spec is immutable after creation except resources.requests for bound claims"


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
            at = "spec.resources.requests.storage"
            causes.append(Cause(at, "Forbidden: field can not be less than previous value", "FieldValueForbidden"))
        if _fixed(spec) != _fixed(old["spec"]):
            causes.append(Cause("spec", f"Forbidden: {_FIXED}", "FieldValueForbidden"))
    if causes:
        raise invalid("PersistentVolumeClaim", "", name_of(new), causes)


def claim_causes(spec: Obj, at: str) -> list[Cause]:
    """What is wrong with a claim's spec."""
    causes = []
    if not spec.get("accessModes"):
        causes.append(Cause(f"{at}.accessModes", "at least 1 access mode is required", "FieldValueRequired"))
    for mode in spec.get("accessModes") or []:
        if mode not in _MODES:
            fault = f"'{mode}' is not supported; {', '.join(_MODES)}"
            causes.append(Cause(f"{at}.accessModes", fault, "FieldValueNotSupported"))
    if spec.get("volumeMode", "Block") not in ("Block", "Filesystem"):
        causes.append(Cause(f"{at}.volumeMode", "must be Block or Filesystem", "FieldValueNotSupported"))
    size = get_path(spec, "resources.requests.storage")
    if size is None:
        causes.append(Cause(f"{at}.resources[storage]", "Required value", "FieldValueRequired"))
    elif quantity(size) < 1:
        causes.append(Cause(f"{at}.resources[storage]", "must be greater than zero"))
    return causes


def size_of(claim: Obj) -> int:
    """The bytes that a claim asks for, in whole MiB."""
    return -int(-quantity(get_path(claim, "spec.resources.requests.storage", 0)) // 2**20) * 2**20


def _fixed(spec: Obj) -> Obj:
    return {key: value for key, value in spec.items() if key != "resources"}
