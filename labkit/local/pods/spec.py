"""What a pod of containers may ask for: defaults and refusals. Pure.

A pod that a machine's controller makes (a launcher's) never comes through here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from labkit.local.api.admission import refuse
from labkit.local.api.bounds import invalid, not_allowed, required
from labkit.local.api.kinds import Admission
from labkit.local.api.status import Cause
from labkit.local.kubevirt.vmi_status import NODE
from labkit.local.objects import Obj, get_path

FINALIZER = "labkit/containers"
PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_MACHINE = "VirtualMachineInstance"
_PROFILE, _FILE = "RuntimeDefault", re.compile(r"(?!\.)[-._a-zA-Z0-9]+")
_NOT_BUILT = "the embedded engine does not implement this field"


_CONTAINER = """
name image imagePullPolicy command args workingDir
resources.limits.cpu resources.limits.memory resources.requests.cpu resources.requests.memory
env.name env.value env.valueFrom.fieldRef env.valueFrom.secretKeyRef env.valueFrom.configMapKeyRef
envFrom.prefix envFrom.configMapRef envFrom.secretRef ports.name ports.containerPort ports.protocol
volumeMounts.name volumeMounts.mountPath volumeMounts.readOnly volumeMounts.subPath
securityContext.seccompProfile.type
securityContext.runAsUser securityContext.runAsGroup securityContext.runAsNonRoot securityContext.capabilities.drop
securityContext.readOnlyRootFilesystem securityContext.allowPrivilegeEscalation
"""
_PROBE = """
initialDelaySeconds periodSeconds timeoutSeconds successThreshold failureThreshold exec tcpSocket.port
httpGet.path httpGet.port httpGet.scheme httpGet.httpHeaders
"""
_POD = """
restartPolicy terminationGracePeriodSeconds hostname subdomain nodeName dnsPolicy
securityContext.runAsUser securityContext.runAsGroup securityContext.runAsNonRoot
volumes.name volumes.configMap.name volumes.secret.secretName
"""
_EMPTY = "volumes.emptyDir"
_SERVED = frozenset(
    [
        *_POD.split(),
        *(f"{kind}.{field}" for kind in ("containers", "initContainers") for field in _CONTAINER.split()),
        *(f"containers.{probe}.{field}" for probe in PROBES for field in _PROBE.split()),
        *(
            f"volumes.{kind}.{field}"
            for kind in ("configMap", "secret")
            for field in ("optional", "defaultMode", "items")
        ),
    ]
)
"""The fields that are carried out, each with all that is in it."""
_PARTLY = frozenset(path.rsplit(".", n)[0] for path in _SERVED for n in range(1, path.count(".") + 1)) | {_EMPTY}


def stands_for_machine(pod: Obj) -> bool:
    """Whether it is a machine's launcher, which has no containers of ours."""
    return any(owner["kind"] == _MACHINE for owner in pod["metadata"].get("ownerReferences") or ())


def admit_pod(admission: Admission) -> None:
    """Defaults as Kubernetes sets them; fields that are not carried out are refused by name; a spec never changes."""
    new, old = admission.new, admission.old
    faults: list[Cause] = []
    if old is None:
        faults += list(_unsupported(new["spec"], "", "spec"))
        _default(new["spec"])
        faults += _faults(new["spec"])
        new["status"] = {"phase": "Pending"}
        new["metadata"].setdefault("finalizers", []).append(FINALIZER)
    elif new["spec"] != old["spec"]:
        faults.append(not_allowed("spec", "a pod's spec cannot change on the embedded engine: delete it, make another"))
    elif not stands_for_machine(new) and FINALIZER not in (new["metadata"].get("finalizers") or []):
        # Only what has ended its processes may let it go.
        new["metadata"]["finalizers"] = [*(new["metadata"].get("finalizers") or []), FINALIZER]
    if stands_for_machine(new) != (old is not None and stands_for_machine(old)):
        faults.append(not_allowed("metadata.ownerReferences", "a machine's own pod belongs to it, and no other can"))
    refuse(admission, faults)


def _unsupported(value: Any, path: str, at: str) -> Iterator[Cause]:
    """``path`` is where we are in the spec, ``at`` the same with the numbers of a list's entries."""
    if path in _SERVED or value in (None, False, "", []):
        return
    if path and path not in _PARTLY:
        yield Cause(at, _NOT_BUILT, "FieldValueNotSupported")
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from _unsupported(item, path, f"{at}[{n}]")
    else:
        for key, below in value.items():
            yield from _unsupported(below, f"{path}.{key}".removeprefix("."), f"{at}.{key}")


def _default(spec: Obj) -> None:
    usual = {"restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst"}
    spec |= usual | spec | {"nodeName": NODE}
    for container in containers_of(spec):
        name, _, tag = container.get("image", "").rpartition("/")[2].partition(":")
        moves = tag in ("", "latest") and "@" not in name
        container.setdefault("imagePullPolicy", "Always" if moves else "IfNotPresent")
        container.setdefault("resources", {})
        for port in container.get("ports", []):
            port.setdefault("protocol", "TCP")
        for probe in filter(None, map(container.get, PROBES)):
            probe |= {"periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3} | probe


def containers_of(spec: Obj) -> list[Obj]:
    """All of them, in the order in which they start."""
    return [*spec.get("initContainers", ()), *spec["containers"]]


def _faults(spec: Obj) -> Iterator[Cause]:
    volumes = [volume["name"] for volume in spec.get("volumes", ())]
    names = [container["name"] for container in containers_of(spec)]
    for kind, given in (("containers", names), ("volumes", volumes)):
        for name in {name for name in given if given.count(name) > 1}:
            yield Cause(f"spec.{kind}", f'Duplicate value: "{name}"', "FieldValueDuplicate")
    if not spec["containers"]:
        yield required("spec.containers")
    if spec["dnsPolicy"] != "ClusterFirst":
        yield invalid("spec.dnsPolicy", spec["dnsPolicy"], "the embedded engine has ClusterFirst only")
    for n, volume in enumerate(spec.get("volumes", ())):
        yield from _one(volume.keys() - {"name"}, f"spec.volumes[{n}]", "volume type")
    written = [volume["name"] for volume in spec.get("volumes", ()) if "emptyDir" in volume]
    for container in containers_of(spec):
        for cause in _container_faults(container, volumes, written):
            yield replace(cause, field=f"spec.containers[{container['name']}].{cause.field}")


def _container_faults(container: Obj, volumes: Collection[str], written: Collection[str]) -> Iterator[Cause]:
    if not container.get("image"):
        yield required("image")
    if (profile := get_path(container, "securityContext.seccompProfile.type", _PROFILE)) != _PROFILE:
        yield invalid("securityContext.seccompProfile.type", profile, f"the embedded engine has {_PROFILE} only")
    for mount in container.get("volumeMounts", ()):
        if mount["name"] not in volumes:
            yield Cause("volumeMounts", f'Not found: "{mount["name"]}"', "FieldValueNotFound")
        if not re.fullmatch(r"/[^:\0]+", mount["mountPath"]) or ".." in mount["mountPath"].split("/"):
            yield invalid("volumeMounts.mountPath", mount["mountPath"], "must be an absolute path without ..")
        # In a folder that containers write to, the name could be a link to anywhere.
        if (part := mount.get("subPath")) and (mount["name"] in written or not _FILE.fullmatch(part)):
            yield invalid("volumeMounts.subPath", part, "must be the name of one file of a secret or config map")
    for entry in container.get("env", ()):
        at = f"env[{entry['name']}].valueFrom"
        if "valueFrom" in entry:
            yield from _one(entry["valueFrom"], at, "source")
        path = get_path(entry, "valueFrom.fieldRef.fieldPath")
        if path and path not in _FIELDS:
            yield invalid(f"{at}.fieldRef", path, f"known: {', '.join(_FIELDS)}")
    for kind in PROBES:
        if probe := container.get(kind):
            yield from _one(probe.keys() & {"exec", "httpGet", "tcpSocket"}, kind, "handler")


_FIELDS = ("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "status.podIP")


def _one(given: Collection[str], at: str, what: str) -> Iterator[Cause]:
    if not given:
        yield required(at, f"must specify one {what}")
    elif len(given) > 1:
        yield not_allowed(at, f"may not specify more than one {what}")
