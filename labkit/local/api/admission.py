"""Defaults and rules of the core kinds. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable

from labkit.local.api.kinds import Admission
from labkit.local.api.status import Cause, invalid
from labkit.local.objects import Obj, get_path, name_of

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_MOST_DATA = 2**20
_SECRET_KEYS: dict[str, tuple[tuple[str, ...], Callable[[Iterable[bool]], bool]]] = {
    "kubernetes.io/basic-auth": (("username", "password"), any),
    "kubernetes.io/dockercfg": ((".dockercfg",), all),
    "kubernetes.io/dockerconfigjson": ((".dockerconfigjson",), all),
    "kubernetes.io/ssh-auth": (("ssh-privatekey",), all),
    "kubernetes.io/tls": (("tls.crt", "tls.key"), all),
}
"""What a Secret of a type holds, and whether all of it or any."""


def admit_namespace(admission: Admission) -> None:
    """A namespace is labelled with its name and held until its content is gone."""
    new, old = admission.new, admission.old
    new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name_of(new)
    new["spec"] = old["spec"] if old else {"finalizers": ["kubernetes"]}
    new["status"] = old["status"] if old else {"phase": "Active"}


def admit_secret(admission: Admission) -> None:
    """``stringData`` is folded into ``data``; a type demands its keys and never changes."""
    new, old = admission.new, admission.old
    plain = new.pop("stringData", None) or {}
    data = new["data"] = (new.get("data") or {}) | {k: base64.b64encode(v.encode()).decode() for k, v in plain.items()}
    type_ = new.setdefault("type", "Opaque")
    faults = [fault(f"data[{key}]", value, "is not base64") for key, value in data.items() if not _is_base64(value)]
    keys, enough = _SECRET_KEYS.get(type_, ((), all))
    if keys and not enough(key in data for key in keys):
        faults += [required(f"data[{key}]") for key in keys if key not in data]
    if type_ == "kubernetes.io/service-account-token":
        about = "kubernetes.io/service-account.name"
        if about not in new["metadata"].get("annotations", {}):
            faults.append(required(f"metadata.annotations[{about}]"))
    if old and old["type"] != type_:
        faults.append(fault("type", type_, "field is immutable"))
    refuse(admission, faults + _data_causes(admission, ("data",)))


def admit_config_map(admission: Admission) -> None:
    """Text in ``data``, base64 in ``binaryData``, no key in both."""
    new = admission.new
    binary, text = new.get("binaryData") or {}, new.get("data") or {}
    faults = [fault(f"binaryData[{k}]", v, "is not base64") for k, v in binary.items() if not _is_base64(v)]
    faults += [fault(f"data[{key}]", key, "duplicate of key present in binaryData") for key in binary.keys() & text]
    refuse(admission, faults + _data_causes(admission, ("data", "binaryData")))


def _data_causes(admission: Admission, parts: tuple[str, ...]) -> list[Cause]:
    """What holds for the content of secrets and config maps alike: keys, size, ``immutable``."""
    new, old = admission.new, admission.old or {}
    why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
    keys = [(part, key) for part in parts for key in new.get(part) or {}]
    faults = [
        fault(f"{part}[{key}]", key, why) for part, key in keys if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key)
    ]
    if sum(len(new[part][key]) for part, key in keys) > 4 * _MOST_DATA / 3:
        faults.append(Cause(parts[0], f"Too long: may not be more than {_MOST_DATA} bytes", "FieldValueTooLong"))
    if old.get("immutable"):
        changed = [part for part in ("immutable", *parts) if new.get(part) != old.get(part)]
        faults += [not_allowed(part, "field is immutable when `immutable` is set") for part in changed]
    return faults


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        return False
    return True


def admit_service(admission: Admission) -> None:
    """Headless Services only: nothing here balances load."""
    new = admission.new
    spec = new.setdefault("spec", {})
    faults = []
    if spec.get("clusterIP") != "None":
        why = "the embedded engine serves headless Services only: set clusterIP: None"
        faults.append(Cause("spec.clusterIP", why, "FieldValueNotSupported"))
    if spec.get("type", "ClusterIP") != "ClusterIP":
        why = f"the embedded engine does not serve Services of type {spec['type']}"
        faults.append(Cause("spec.type", why, "FieldValueNotSupported"))
    ports = spec.get("ports") or []
    for n, port in enumerate(ports):
        at = f"spec.ports[{n}]"
        port.setdefault("protocol", "TCP")
        port["targetPort"] = port.get("targetPort") or port["port"]
        faults += number_causes(port["port"], f"{at}.port") + port_causes(port["targetPort"], f"{at}.targetPort")
        faults += one_of(port["protocol"], f"{at}.protocol", PROTOCOLS)
        name = port.get("name", "")
        if len(ports) > 1 and not name:
            faults.append(required(f"{at}.name"))
        elif name and not _LABEL.fullmatch(name):
            faults.append(fault(f"{at}.name", name, "a lowercase RFC 1123 label is letters, digits and '-'"))
        before = ports[:n]
        if name and name in (other.get("name") for other in before):
            faults.append(Cause(f"{at}.name", f'Duplicate value: "{name}"', "FieldValueDuplicate"))
        if (port["port"], port["protocol"]) in ((other["port"], other["protocol"]) for other in before):
            faults.append(Cause(at, f"Duplicate value: {port['port']}/{port['protocol']}", "FieldValueDuplicate"))
    for key, value in (spec.get("selector") or {}).items():
        if not _LABEL_VALUE.fullmatch(value):
            faults.append(fault(f"spec.selector[{key}]", value, "is not the value of a label"))
    refuse(admission, faults)
    spec |= {"type": "ClusterIP", "clusterIPs": ["None"], "sessionAffinity": "None"}
    for key, value in (
        ("ipFamilies", ["IPv4"]),
        ("ipFamilyPolicy", "SingleStack"),
        ("internalTrafficPolicy", "Cluster"),
    ):
        spec.setdefault(key, value)
    new["status"] = {"loadBalancer": {}}


def endpoint_ready(pod: Obj) -> bool:
    """Whether a pod would be listed by a Service that does not publish unready addresses."""
    conditions = get_path(pod, "status.conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


# Faults, in Kubernetes' words


def refuse(admission: Admission, faults: list[Cause]) -> None:
    """ApiError 422 with all faults, if there are any."""
    if faults:
        new = admission.new
        raise invalid(new["kind"], new["apiVersion"].rpartition("/")[0], name_of(new), faults)


def fault(at: str, value: object, why: str) -> Cause:
    return Cause(at, f"Invalid value: {json.dumps(value)}: {why}")


def required(at: str, why: str = "") -> Cause:
    return Cause(at, f"Required value{why and ': '}{why}", "FieldValueRequired")


def not_allowed(at: str, why: str) -> Cause:
    return Cause(at, f"Forbidden: {why}", "FieldValueForbidden")


def one_of(value: str, at: str, known: tuple[str, ...]) -> list[Cause]:
    words = ", ".join(f'"{word}"' for word in known)
    why = f'Unsupported value: "{value}": supported values: {words}'
    return [] if value in known else [Cause(at, why, "FieldValueNotSupported")]


def number_causes(port: int, at: str) -> list[Cause]:
    return [] if 1 <= port <= 65535 else [fault(at, port, "must be between 1 and 65535, inclusive")]


def port_causes(port: int | str, at: str) -> list[Cause]:
    if isinstance(port, int):
        return number_causes(port, at)
    why = "must be a port's name: up to 15 of a-z, 0-9 and '-', a letter among them"
    return [] if _PORT_NAME.fullmatch(port) else [fault(at, port, why)]
