"""What Kubernetes checks of values though its schemas do not say so: each value's bounds, rules between them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_network
from typing import Any

from labkit.local.api.kinds import Kind
from labkit.local.api.status import Cause
from labkit.local.objects import Obj

_PORT = {"minimum": 1, "maximum": 65535}
_PROTOCOL = {"enum": ["SCTP", "TCP", "UDP"]}
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_WORD = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_KINDS, _PATH_KINDS = ("namespaces", "services"), "rbac.authorization.k8s.io"
_ANNOTATION_BYTES = 256 * 2**10

BOUNDS: dict[str, Obj] = {
    "api.coordination.v1.LeaseSpec.leaseDurationSeconds": {"minimum": 1, "maximum": 2**31 - 1},
    "api.coordination.v1.LeaseSpec.leaseTransitions": {"minimum": 0, "maximum": 2**31 - 1},
    "api.core.v1.LimitRangeItem.type": {"enum": ["Container", "PersistentVolumeClaim", "Pod"]},
    "api.core.v1.PersistentVolumeClaimSpec.accessModes[]": {
        "enum": ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]
    },
    "api.core.v1.PersistentVolumeClaimSpec.volumeMode": {"enum": ["Block", "Filesystem"]},
    "api.core.v1.ServicePort.name": {"pattern": "([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?"},
    "api.core.v1.ServicePort.port": _PORT,
    "api.core.v1.ServicePort.protocol": _PROTOCOL,
    "api.core.v1.ServicePort.targetPort": {"format": "port"},
    "api.networking.v1.IPBlock.cidr": {"format": "cidr"},
    "api.networking.v1.IPBlock.except[]": {"format": "cidr"},
    "api.networking.v1.NetworkPolicyPort.endPort": _PORT,
    "api.networking.v1.NetworkPolicyPort.port": {"format": "port"},
    "api.networking.v1.NetworkPolicyPort.protocol": _PROTOCOL,
    "api.networking.v1.NetworkPolicySpec.policyTypes[]": {"enum": ["Egress", "Ingress"]},
    "api.rbac.v1.RoleRef.kind": {"enum": ["ClusterRole", "Role"]},
    "api.rbac.v1.Subject.kind": {"enum": ["Group", "ServiceAccount", "User"]},
    "apimachinery.pkg.apis.meta.v1.DeleteOptions.gracePeriodSeconds": {"minimum": 0, "maximum": 2**63},
    "apimachinery.pkg.apis.meta.v1.DeleteOptions.propagationPolicy": {"enum": ["Background", "Foreground", "Orphan"]},
    "apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement.operator": {
        "enum": ["DoesNotExist", "Exists", "In", "NotIn"]
    },
}
"""OpenAPI keywords by definition (``io.k8s.`` in front) and property; ``[]`` is each entry of a list."""


def invalid(at: str, value: Any, why: str) -> Cause:
    """A fault of a value, in Kubernetes' words."""
    return Cause(at, f"Invalid value: {json.dumps(value)}: {why}")


def required(at: str, why: str = "") -> Cause:
    """A gap."""
    return Cause(at, f"Required value{why and ': '}{why}", "FieldValueRequired")


def not_allowed(at: str, why: str) -> Cause:
    """Something that may not be there now."""
    return Cause(at, f"Forbidden: {why}", "FieldValueForbidden")


def out_of_bounds(node: Obj, value: Any, path: str) -> list[Cause]:
    """The fault of a single value, by the keywords of its node."""
    if value not in node.get("enum", [value]):
        known = ", ".join(f'"{word}"' for word in node["enum"])
        return [Cause(path, f'Unsupported value: "{value}": supported values: {known}', "FieldValueNotSupported")]
    if "minimum" in node and not node["minimum"] <= value <= node["maximum"]:
        return [invalid(path, value, f"must be between {node['minimum']} and {node['maximum']}, inclusive")]
    if "pattern" in node and not re.fullmatch(node["pattern"], value):
        return [invalid(path, value, f"must match {node['pattern']}")]
    fits, why = _FORMATS.get(node.get("format", ""), (bool, ""))
    return [invalid(path, value, why)] if why and not fits(value) else []


def _is_port(value: int | str) -> bool:
    return 1 <= value <= 65535 if isinstance(value, int) else bool(_PORT_NAME.fullmatch(value))


def _is_cidr(value: str) -> bool:
    try:
        return "/" in value and bool(ip_network(value))
    except ValueError:
        return False


_FORMATS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "cidr": (_is_cidr, "must be a valid CIDR value, such as 10.0.0.0/8"),
    "port": (_is_port, "must be between 1 and 65535, or a name of up to 15 of a-z, 0-9 and '-' with a letter"),
}


def _service(spec: Obj) -> list[Cause]:
    values = (spec.get("selector") or {}).items()
    bad = [(key, value) for key, value in values if value and not _WORD.fullmatch(value)]
    faults = [invalid(f"selector[{key}]", value, "is not the value of a label") for key, value in bad]
    ports = spec.get("ports") or []
    keys = [(port.get("port"), port.get("protocol") or "TCP") for port in ports]
    first: dict[Any, int] = {}
    for n, (name, key) in enumerate(zip((port.get("name") for port in ports), keys, strict=True)):
        if not name and len(ports) > 1:
            faults.append(required(f"ports[{n}].name"))
        if name and first.setdefault(name, n) != n:
            faults.append(Cause(f"ports[{n}].name", f'Duplicate value: "{name}"', "FieldValueDuplicate"))
        if first.setdefault(key, n) != n:
            faults.append(Cause(f"ports[{n}]", f"Duplicate value: {key[0]}/{key[1]}", "FieldValueDuplicate"))
    return faults


def _policy_port(rule: Obj) -> list[Cause]:
    first, last = rule.get("port"), rule.get("endPort")
    if last is not None and not isinstance(first, int):
        return [not_allowed("endPort", "may not be specified when `port` is not a number")]
    early = last is not None and last < first
    return [invalid("endPort", last, "must be greater than or equal to `port`")] if early else []


def _peer(peer: Obj) -> list[Cause]:
    given = [name for name, value in peer.items() if value is not None]
    if not given:
        return [required("", "must specify a peer")]
    several = "ipBlock" in given and len(given) > 1
    return [not_allowed("ipBlock", "may not be specified when another peer is specified")] if several else []


def _ip_block(block: Obj) -> list[Cause]:
    parts = [(n, text) for n, text in enumerate(block.get("except") or []) if _is_cidr(text)]
    whole = ip_network(block["cidr"]) if _is_cidr(block.get("cidr", "")) else None
    why = "must be a strict subset of `cidr`"
    return [invalid(f"except[{n}]", text, why) for n, text in parts if whole and not _strictly_in(text, whole)]


def _strictly_in(text: str, whole: Any) -> bool:
    part: Any = ip_network(text)
    return bool(part.version == whole.version and part != whole and part.subnet_of(whole))


def _expression(rule: Obj) -> list[Cause]:
    listed = rule.get("operator") in ("In", "NotIn")
    if listed and not rule.get("values"):
        return [required("values", "must be specified when `operator` is 'In' or 'NotIn'")]
    wrong = rule.get("values") and not listed
    return (
        [not_allowed("values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")] if wrong else []
    )


def _policy_rule(rule: Obj) -> list[Cause]:
    urls = rule.get("nonResourceURLs")
    if urls and rule.get("resources"):
        return [invalid("nonResourceURLs", urls, "rules cannot apply to both regular resources and non-resource URLs")]
    return [required(key) for key in (("verbs",) if urls else ("verbs", "apiGroups", "resources")) if not rule.get(key)]


def _metadata(meta: Obj) -> Iterator[Cause]:
    for part in ("labels", "annotations", "finalizers"):
        for key in meta.get(part) or ():
            if not _is_qualified(key.lower() if part == "annotations" else key):
                yield invalid(part, key[:300], "is not a name of the form [PREFIX/]WORD")
    for value in (meta.get("labels") or {}).values():
        if value and not _WORD.fullmatch(value):
            why = "must be empty, or up to 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends"
            yield invalid("labels", value[:300], why)
    if sum(len(text.encode()) for item in (meta.get("annotations") or {}).items() for text in item) > _ANNOTATION_BYTES:
        yield Cause("annotations", f"Too long: may not be more than {_ANNOTATION_BYTES} bytes", "FieldValueTooLong")
    owners = meta.get("ownerReferences") or []
    yield from (
        required(f"ownerReferences[{n}].{part}")
        for n, owner in enumerate(owners)
        for part in ("apiVersion", "kind", "name", "uid")
        if owner.get(part) == ""
    )
    if sum(owner.get("controller") is True for owner in owners) > 1:
        yield Cause("ownerReferences", "Only one reference can have Controller set to true")


def _is_qualified(key: str) -> bool:
    prefix, slash, word = key.rpartition("/")
    return bool(_WORD.fullmatch(word)) and (not slash or bool(_SUBDOMAIN.fullmatch(prefix)))


def is_name(text: str) -> bool:
    """Whether an object of most kinds may be called so."""
    return bool(_SUBDOMAIN.fullmatch(text))


def misnamed(kind: Kind, name: str) -> list[Cause]:
    """What is wrong with the name of an object of a kind."""
    if not name:
        return [required("metadata.name", "name or generateName is required")]
    if kind.group == _PATH_KINDS:
        bad = name in (".", "..") or "/" in name or "%" in name
        return [invalid("metadata.name", name[:300], "may not be '.', '..' or contain '/' or '%'")] * bad
    pattern, what = (_LABEL, "label") if kind.key in _LABEL_KINDS else (_SUBDOMAIN, "subdomain")
    fits = pattern.fullmatch(name)
    return [] if fits else [invalid("metadata.name", name[:300], f"is not a lowercase RFC 1123 {what}")]


RULES: dict[str, Callable[[Obj], Iterable[Cause]]] = {
    "api.core.v1.ServiceSpec": _service,
    "api.networking.v1.IPBlock": _ip_block,
    "api.networking.v1.NetworkPolicyPeer": _peer,
    "api.networking.v1.NetworkPolicyPort": _policy_port,
    "api.rbac.v1.PolicyRule": _policy_rule,
    "apimachinery.pkg.apis.meta.v1.LabelSelectorRequirement": _expression,
    "apimachinery.pkg.apis.meta.v1.ObjectMeta": _metadata,
}
"""Rules between the fields of an object, by definition; the causes' fields are relative to it."""
