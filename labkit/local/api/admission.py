"""Defaults and rules of the core kinds. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable

from labkit.local.api import status
from labkit.local.api.bounds import invalid, not_allowed, required
from labkit.local.api.kinds import Admission
from labkit.local.api.status import Cause
from labkit.local.objects import name_of

_MOST_DATA = 2**20
_SECRET_KEYS: dict[str, tuple[tuple[str, ...], Callable[[Iterable[bool]], bool]]] = {
    "kubernetes.io/basic-auth": (("username", "password"), any),
    "kubernetes.io/dockercfg": ((".dockercfg",), all),
    "kubernetes.io/dockerconfigjson": ((".dockerconfigjson",), all),
    "kubernetes.io/ssh-auth": (("ssh-privatekey",), all),
    "kubernetes.io/tls": (("tls.crt", "tls.key"), all),
}
"""What a Secret of a type holds, and whether all of it or any."""


def refuse(admission: Admission, faults: list[Cause]) -> None:
    """ApiError 422 with all faults, if there are any."""
    if faults:
        new = admission.new
        raise status.invalid(new["kind"], new["apiVersion"].rpartition("/")[0], name_of(new), faults)


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
    faults = []
    keys, enough = _SECRET_KEYS.get(type_, ((), all))
    if keys and not enough(key in data for key in keys):
        faults += [required(f"data[{key}]") for key in keys if key not in data]
    if type_ == "kubernetes.io/service-account-token":
        why = "the embedded engine makes no lasting tokens: use kubectl create token"
        faults.append(Cause("type", why, "FieldValueNotSupported"))
    if old and old["type"] != type_:
        faults.append(invalid("type", type_, "field is immutable"))
    refuse(admission, faults + _data_causes(admission, ("data",)))


def admit_config_map(admission: Admission) -> None:
    """Text in ``data``, base64 in ``binaryData``, no key in both."""
    new = admission.new
    binary, text = new.get("binaryData") or {}, new.get("data") or {}
    faults = [invalid(f"data[{key}]", key, "duplicate of key present in binaryData") for key in binary.keys() & text]
    refuse(admission, faults + _data_causes(admission, ("data", "binaryData")))


def _data_causes(admission: Admission, parts: tuple[str, ...]) -> list[Cause]:
    """What holds for the content of secrets and config maps alike: keys, size, ``immutable``."""
    new, old = admission.new, admission.old or {}
    why = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
    keys = [(part, key) for part in parts for key in new.get(part) or {}]
    faults = [
        invalid(f"{part}[{key}]", key, why) for part, key in keys if not re.fullmatch(r"[-._a-zA-Z0-9]{1,253}", key)
    ]
    if sum(len(new[part][key]) for part, key in keys) > 4 * _MOST_DATA / 3:
        faults.append(Cause(parts[0], f"Too long: may not be more than {_MOST_DATA} bytes", "FieldValueTooLong"))
    if old.get("immutable"):
        changed = [part for part in ("immutable", *parts) if new.get(part) != old.get(part)]
        faults += [not_allowed(part, "field is immutable when `immutable` is set") for part in changed]
    return faults


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
    for port in spec.get("ports") or []:
        port.setdefault("protocol", "TCP")
        port["targetPort"] = port.get("targetPort") or port["port"]
    refuse(admission, faults)
    spec |= {"type": "ClusterIP", "clusterIPs": ["None"], "sessionAffinity": "None"}
    for key, value in (
        ("ipFamilies", ["IPv4"]),
        ("ipFamilyPolicy", "SingleStack"),
        ("internalTrafficPolicy", "Cluster"),
    ):
        spec.setdefault(key, value)
    new["status"] = {"loadBalancer": {}}
