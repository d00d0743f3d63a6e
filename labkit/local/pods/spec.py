"""What a pod of containers may ask for: defaults and refusals. Pure.

A pod that a machine's controller makes (a launcher's) never comes through here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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
_NOT_BUILT = "the embedded engine does not implement this field"


def _tree(text: str, **more: Any) -> Obj:
    return {**dict.fromkeys(text.split()), **more}


_ITEMS = _tree("key path mode")
_REFERENCE = _tree("name optional")
_HTTP = _tree("path port scheme", httpHeaders=_tree("name value"))
_PROBE = _tree(
    "initialDelaySeconds periodSeconds timeoutSeconds successThreshold failureThreshold",
    exec=_tree("command"), httpGet=_HTTP, tcpSocket=_tree("port"),
)  # fmt: skip
_KEY = _tree("name key optional")
_SOURCE = {"fieldRef": _tree("apiVersion fieldPath"), "secretKeyRef": _KEY, "configMapKeyRef": _KEY}
_CONTAINER = _tree(
    "name image imagePullPolicy command args workingDir resources",
    env=_tree("name value", valueFrom=_SOURCE),
    envFrom=_tree("prefix", configMapRef=_REFERENCE, secretRef=_REFERENCE),
    ports=_tree("name containerPort protocol"),
    volumeMounts=_tree("name mountPath readOnly"),
    securityContext=_tree(
        "runAsUser runAsGroup runAsNonRoot readOnlyRootFilesystem allowPrivilegeEscalation",
        capabilities=_tree("drop"),
    ),
)  # fmt: skip
_SPEC = _tree(
    "restartPolicy terminationGracePeriodSeconds hostname subdomain nodeName dnsPolicy",
    containers=_CONTAINER | dict.fromkeys(PROBES, _PROBE),
    initContainers=_CONTAINER,
    securityContext=_tree("runAsUser runAsGroup runAsNonRoot"),
    volumes=_tree(
        "name",
        emptyDir={},
        secret=_tree("secretName optional defaultMode", items=_ITEMS),
        configMap=_tree("name optional defaultMode", items=_ITEMS),
    ),
)  # fmt: skip
"""The fields that are carried out; None: with all that is in it."""


def stands_for_machine(pod: Obj) -> bool:
    """Whether it is a machine's launcher, which has no containers of ours."""
    return any(owner["kind"] == _MACHINE for owner in pod["metadata"].get("ownerReferences") or ())


def admit_pod(admission: Admission) -> None:
    """Defaults as Kubernetes sets them; fields that are not carried out are refused by name; a spec never changes."""
    new, old = admission.new, admission.old
    faults: list[Cause] = []
    if old is None:
        faults += list(_unsupported(_SPEC, new["spec"], "spec"))
        _default(new["spec"])
        faults += _faults(new["spec"])
        new["status"] = {"phase": "Pending", "qosClass": _quality(new["spec"])}
        new["metadata"].setdefault("finalizers", []).append(FINALIZER)
    elif new["spec"] != old["spec"]:
        faults.append(not_allowed("spec", "a pod's spec cannot change on the embedded engine: delete it, make another"))
    elif not stands_for_machine(new) and FINALIZER not in (new["metadata"].get("finalizers") or []):
        # Only what has ended its processes may let it go.
        new["metadata"]["finalizers"] = [*(new["metadata"].get("finalizers") or []), FINALIZER]
    if stands_for_machine(new) != (old is not None and stands_for_machine(old)):
        faults.append(not_allowed("metadata.ownerReferences", "a machine's own pod belongs to it, and no other can"))
    refuse(admission, faults)


def _unsupported(tree: Obj | None, value: Any, path: str) -> Iterator[Cause]:
    if tree is None or value in (None, False, "", []):
        return
    if isinstance(value, list):
        for n, item in enumerate(value):
            yield from _unsupported(tree, item, f"{path}[{n}]")
        return
    for key, below in value.items():
        if key in tree:
            yield from _unsupported(tree[key], below, f"{path}.{key}")
        elif below not in (None, False, "", []):
            yield Cause(f"{path}.{key}", _NOT_BUILT, "FieldValueNotSupported")


def _default(spec: Obj) -> None:
    for key, value in (
        ("restartPolicy", "Always"),
        ("terminationGracePeriodSeconds", 30),
        ("dnsPolicy", "ClusterFirst"),
    ):
        spec.setdefault(key, value)
    spec["nodeName"] = NODE
    for container in containers_of(spec):
        latest = container.get("image", "").rpartition("/")[2].partition(":")[2] in ("", "latest")
        container.setdefault(
            "imagePullPolicy", "Always" if latest and "@" not in container["image"] else "IfNotPresent"
        )
        container.setdefault("resources", {})
        for port in container.get("ports", []):
            port.setdefault("protocol", "TCP")
        for probe in filter(None, map(container.get, PROBES)):
            for key, value in (("period", 10), ("timeout", 1)):
                probe.setdefault(f"{key}Seconds", value)
            for key, value in (("success", 1), ("failure", 3)):
                probe.setdefault(f"{key}Threshold", value)


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
    for container in containers_of(spec):
        at = f"spec.containers[{container['name']}]"
        if not container.get("image"):
            yield required(f"{at}.image")
        for mount in container.get("volumeMounts", ()):
            if mount["name"] not in volumes:
                yield Cause(f"{at}.volumeMounts", f'Not found: "{mount["name"]}"', "FieldValueNotFound")
            if not re.fullmatch(r"/[^:\0]+", mount["mountPath"]) or ".." in mount["mountPath"].split("/"):
                yield invalid(f"{at}.volumeMounts.mountPath", mount["mountPath"], "must be an absolute path without ..")
        for entry in container.get("env", ()):
            if "valueFrom" in entry:
                yield from _one(entry["valueFrom"].keys(), f"{at}.env[{entry['name']}].valueFrom", "source")
                path = get_path(entry, "valueFrom.fieldRef.fieldPath", "metadata.name")
                if path not in FIELDS:
                    yield invalid(f"{at}.env[{entry['name']}].valueFrom.fieldRef", path, f"known: {', '.join(FIELDS)}")
        for kind in PROBES:
            if probe := container.get(kind):
                yield from _one(probe.keys() & {"exec", "httpGet", "tcpSocket"}, f"{at}.{kind}", "handler")


FIELDS = ("metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "status.podIP")


def _one(given: Any, at: str, what: str) -> Iterator[Cause]:
    if not given:
        yield required(at, f"must specify one {what}")
    elif len(given) > 1:
        yield not_allowed(at, f"may not specify more than one {what}")


def _quality(spec: Obj) -> str:
    asked = [container["resources"] for container in spec["containers"]]
    if not any(asked):
        return "BestEffort"
    limited = all({"cpu", "memory"} <= given.get("limits", {}).keys() for given in asked)
    same = all(given.get("requests", given["limits"]) == given["limits"] for given in asked) if limited else False
    return "Guaranteed" if same else "Burstable"
