"""Defaults and rules of the storage kinds. Pure."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from labkit.local.access.rules import Attributes
from labkit.local.api.kinds import Admission
from labkit.local.api.status import Cause, forbidden, invalid
from labkit.local.objects import Obj, get_path, name_of, namespace_of, quantity

CLASS = "local"
"""The one storage class: qcow2 files on this computer."""
CDI = "cdi.kubevirt.io"
SNAPSHOTS = "snapshot.kubevirt.io"
POLICIES = {
    "targetReadinessPolicy": ("WaitGracePeriod", "StopTarget", "FailImmediate", "WaitEventually"),
    "volumeRestorePolicy": ("RandomizeNames", "InPlace", "PrefixTargetName"),
    "volumeOwnershipPolicy": ("Vm", "None"),
}
_CHECKSUM = re.compile("(md5:[0-9a-f]{32}|sha1:[0-9a-f]{40}|sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})", re.IGNORECASE)
_IMAGE = re.compile(
    r"docker://(localhost|[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)+|[a-zA-Z0-9.-]+(?=:))(:[0-9]+)?/[a-z0-9][\w./:@-]*"
)
_SOURCES = {"PersistentVolumeClaim": (None, ""), "VolumeSnapshot": ("snapshot.storage.k8s.io",)}
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
    origin = spec.get("dataSource") or {"kind": "PersistentVolumeClaim"}
    if origin.get("apiGroup") not in _SOURCES.get(str(origin.get("kind")), ()):
        fault = f"must be a {' or a '.join(_SOURCES)}"
        causes.append(Cause(f"{at}.dataSource", fault, "FieldValueNotSupported"))
    size = get_path(spec, "resources.requests.storage")
    if size is None:
        causes.append(Cause(f"{at}.resources[storage]", "Required value", "FieldValueRequired"))
    elif quantity(size) < 1:
        causes.append(Cause(f"{at}.resources[storage]", "must be greater than zero"))
    return causes


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
    if causes:
        raise invalid("DataVolume", CDI, name_of(new), causes)


def data_volume_causes(admission: Admission, spec: Obj, at: str) -> list[Cause]:
    """What is wrong with a DataVolume's spec. ApiError 403 for a source that the caller may not clone."""
    causes = []
    claims = [key for key in ("pvc", "storage") if spec.get(key) is not None]
    sources = [(key, value) for key, value in (spec.get("source") or {}).items() if value is not None]
    if len(claims) != 1:
        causes.append(Cause(at, "must have exactly one of pvc and storage", "FieldValueRequired"))
    for key in claims:
        wanted = {"accessModes": ["ReadWriteOnce"]} if key == "storage" else {}
        causes += claim_causes(wanted | spec[key], f"{at}.{key}")
    if spec.get("contentType") not in (None, "", "kubevirt"):
        causes.append(Cause(f"{at}.contentType", "must be kubevirt", "FieldValueNotSupported"))
    if len(sources) != 1:
        causes.append(Cause(f"{at}.source", "must have exactly one source", "FieldValueRequired"))
        return causes
    kind, source = sources[0]
    if kind == "pvc":
        home = namespace_of(admission.new)
        if not source.get("name"):
            causes.append(Cause(f"{at}.source.pvc.name", "Required value", "FieldValueRequired"))
        elif source.setdefault("namespace", home) != home:
            right = Attributes("create", CDI, "datavolumes/source", source["namespace"], source["name"])
            if not admission.caller.may(right):
                what = f"clone the claim {source['namespace']}/{source['name']}"
                raise forbidden(
                    f"user {admission.caller.user.name} may not {what}: no right to create {right.resource}"
                )
    elif kind != "blank":
        causes += _address_causes(kind, source, f"{at}.source.{kind}")
    return causes


def _address_causes(kind: str, source: Obj, at: str) -> list[Cause]:
    causes = []
    url = urlsplit(source.get("url") or "")
    if kind == "registry" and not _IMAGE.fullmatch(source.get("url") or ""):
        causes.append(Cause(f"{at}.url", "must be docker://HOST/NAME, with :TAG or @DIGEST or neither"))
    elif kind == "http" and (url.scheme not in ("http", "https") or not url.hostname or "@" in url.netloc):
        causes.append(Cause(f"{at}.url", "must be an http or https address, without a user or password in it"))
    if source.get("checksum") and not _CHECKSUM.fullmatch(source["checksum"]):
        causes.append(Cause(f"{at}.checksum", "must be md5:, sha1:, sha256: or sha512: and the digits of that sum"))
    return causes


def template_causes(admission: Admission) -> list[Cause]:
    """What is wrong with the ``dataVolumeTemplates`` of a VirtualMachine."""
    spec: Any = admission.new["spec"]
    volumes = get_path(spec, "template.spec.volumes", [])
    used = {
        get_path(volume, "dataVolume.name") or get_path(volume, "persistentVolumeClaim.claimName") for volume in volumes
    }
    causes = []
    for n, template in enumerate(spec.get("dataVolumeTemplates") or []):
        at = f"spec.dataVolumeTemplates[{n}]"
        if (name := get_path(template, "metadata.name")) is None:
            causes.append(Cause(f"{at}.name", "must not be empty", "FieldValueRequired"))
        elif name not in used:
            causes.append(Cause(at, f"{at} must be referenced in the VMI template's 'volumes' list"))
        causes += data_volume_causes(admission, template.get("spec") or {}, f"{at}.spec")
    return causes


def admit_snapshot(admission: Admission) -> None:
    """Check a new VirtualMachineSnapshot; its spec never changes."""
    spec = admission.new.get("spec") or {}
    causes = _target_causes(spec.get("source"), "spec.source")
    causes += _choice_causes(spec, {"deletionPolicy": ("Delete", "Retain")})
    try:
        seconds_of(spec.get("failureDeadline") or "5m")
    except ValueError as error:
        causes.append(Cause("spec.failureDeadline", str(error)))
    _admit_once(admission, causes, {"phase": "InProgress", "readyToUse": False})


def admit_restore(admission: Admission) -> None:
    """Check a new VirtualMachineRestore; its spec never changes."""
    spec, space = admission.new.get("spec") or {}, namespace_of(admission.new)
    causes = _target_causes(spec.get("target"), "spec.target") + _choice_causes(spec, POLICIES)
    name = spec.get("virtualMachineSnapshotName") or ""
    snapshot = admission.lookup(f"virtualmachinesnapshots.{SNAPSHOTS}", space, name)
    at = "spec.virtualMachineSnapshotName"
    if snapshot is None:
        causes.append(Cause(at, f'VirtualMachineSnapshot "{name}" does not exist'))
    elif not get_path(snapshot, "status.readyToUse"):
        causes.append(Cause(at, f'VirtualMachineSnapshot "{name}" is not ready to use'))
    elif spec.get("volumeRestorePolicy") == "InPlace" and snapshot["spec"]["source"] != spec.get("target"):
        causes.append(Cause("spec.volumeRestorePolicy", "InPlace can restore the snapshot's own VM only"))
    _admit_once(admission, causes, {"complete": False})


def _admit_once(admission: Admission, causes: list[Cause], status: Obj) -> None:
    new, old = admission.new, admission.old
    if old is None:
        new["status"] = status
    else:
        changed = new.get("spec") != old.get("spec")
        causes = [Cause("spec", "spec is immutable after creation")] if changed else []
    if causes:
        raise invalid(new["kind"], SNAPSHOTS, name_of(new), causes)


def _target_causes(target: Obj | None, at: str) -> list[Cause]:
    wanted = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine"}
    target = target or {}
    causes = [
        Cause(f"{at}.{key}", f"must be {value}", "FieldValueNotSupported")
        for key, value in wanted.items()
        if target.get(key) != value
    ]
    return causes if target.get("name") else [*causes, Cause(f"{at}.name", "Required value", "FieldValueRequired")]


def _choice_causes(spec: Obj, choices: dict[str, tuple[str, ...]]) -> list[Cause]:
    return [
        Cause(f"spec.{key}", f"'{spec[key]}' is not one of {', '.join(known)}", "FieldValueNotSupported")
        for key, known in choices.items()
        if spec.get(key) and spec[key] not in known
    ]


def seconds_of(duration: str) -> float:
    """The seconds of a Go duration such as ``5m`` or ``1h30m0s``; ValueError for anything else."""
    if not re.fullmatch(r"0|([0-9.]+(h|ms|m|s))+", duration):
        raise ValueError(f"'{duration}' is not a duration such as 5m")
    units = {"h": 3600, "m": 60, "s": 1, "ms": 0.001}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"([0-9.]+)(h|ms|m|s)", duration))


def size_of(claim: Obj) -> int:
    """The bytes that a claim asks for, in whole MiB."""
    return -int(-quantity(get_path(claim, "spec.resources.requests.storage", 0)) // 2**20) * 2**20


def _fixed(spec: Obj) -> Obj:
    return {key: value for key, value in spec.items() if key != "resources"}
