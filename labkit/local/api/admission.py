"""Defaults and rules of the core kinds. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from labkit.local.api.kinds import Admission
from labkit.local.api.status import Cause, invalid
from labkit.local.objects import Obj, get_path, name_of


def admit_namespace(admission: Admission) -> None:
    """A namespace is labelled with its name and held until its content is gone."""
    new, old = admission.new, admission.old
    new["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name_of(new)
    new["spec"] = old["spec"] if old else {"finalizers": ["kubernetes"]}
    new["status"] = old["status"] if old else {"phase": "Active"}


def admit_secret(admission: Admission) -> None:
    """``stringData`` is folded into ``data``, which must be base64."""
    new = admission.new
    data = new.setdefault("data", {}) or {}
    data |= {
        key: base64.b64encode(value.encode()).decode() for key, value in (new.pop("stringData", None) or {}).items()
    }
    new["data"] = data
    new.setdefault("type", "Opaque")
    if new["type"] == "kubernetes.io/service-account-token":
        why = "the embedded engine makes no lasting tokens: use kubectl create token"
        raise invalid("Secret", "", name_of(new), [Cause("type", why, "FieldValueNotSupported")])
    causes = [Cause(f"data[{key}]", "is not base64") for key, value in data.items() if not _is_base64(value)]
    if causes:
        raise invalid("Secret", "", name_of(new), causes)


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        return False
    return True


def admit_service(admission: Admission) -> None:
    """Headless Services only: nothing here balances load."""
    new = admission.new
    spec = new.get("spec") or {}
    causes = []
    if spec.get("clusterIP") != "None":
        why = "the embedded engine serves headless Services only: set clusterIP: None"
        causes.append(Cause("spec.clusterIP", why, "FieldValueNotSupported"))
    if spec.get("type", "ClusterIP") != "ClusterIP":
        why = f"the embedded engine does not serve Services of type {spec['type']}"
        causes.append(Cause("spec.type", why, "FieldValueNotSupported"))
    if causes:
        raise invalid("Service", "", name_of(new), causes)
    spec |= {"type": "ClusterIP", "clusterIPs": ["None"], "sessionAffinity": "None"}
    for port in spec.get("ports", []):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    new["status"] = {"loadBalancer": {}}


def admit_network_policy(admission: Admission) -> None:
    """Only what one closed segment per namespace makes true; anything else is refused, never ignored.

    Nothing leads in or out of a segment, so ingress from elsewhere needs no rule, and DNS is the segment's own.
    Machines of one namespace all hear one another, or (where no policy lets them) none does.
    """
    new = admission.new
    spec = new.get("spec") or {}
    causes = []
    if spec.get("podSelector"):
        causes.append(_cannot("spec.podSelector", "a policy for some machines of a namespace only"))
    for n, rule in enumerate(spec.get("egress") or []):
        if not (_is_dns(rule) or _is_own_namespace(rule, "to")):
            causes.append(_cannot(f"spec.egress[{n}]", "egress other than DNS and the namespace's own pods"))
    for n, rule in enumerate(spec.get("ingress") or []):
        if _names_own_pods(rule) and not _is_own_namespace(rule, "from"):
            causes.append(_cannot(f"spec.ingress[{n}]", "ingress from some pods or ports of the namespace only"))
    if causes:
        raise invalid("NetworkPolicy", "networking.k8s.io", name_of(new), causes)
    types = ["Ingress"] + (["Egress"] if spec.get("egress") is not None else [])
    spec.setdefault("policyTypes", types)
    spec.setdefault("podSelector", {})


def own_traffic_allowed(policies: list[Obj]) -> bool:
    """Whether machines of a namespace with these (admitted) policies may reach one another."""
    for direction, key, peers in (("Ingress", "ingress", "from"), ("Egress", "egress", "to")):
        closing = [p["spec"] for p in policies if direction in p["spec"]["policyTypes"]]
        rules = [rule for spec in closing for rule in spec.get(key) or []]
        if closing and not any(_is_own_namespace(rule, peers) for rule in rules):
            return False
    return True


def _cannot(field: str, what: str) -> Cause:
    return Cause(field, f"the embedded engine cannot enforce {what}", "FieldValueNotSupported")


def _is_dns(rule: Obj) -> bool:
    ports: list[Any] = rule.get("ports") or []
    return bool(ports) and all(port.get("port") == 53 and "endPort" not in port for port in ports)


def _is_own_namespace(rule: Obj, peers: str) -> bool:
    """A rule that lets all pods of the namespace through on all ports; extra peers only for ingress."""
    entries: list[Obj] = rule.get(peers) or []
    own = any(entry == {"podSelector": {}} for entry in entries) or (peers == "from" and not entries)
    alone = peers == "from" or all(entry == {"podSelector": {}} for entry in entries)
    return own and alone and not rule.get("ports")


def _names_own_pods(rule: Obj) -> bool:
    """Whether an ingress rule speaks of pods of this namespace (no peers at all means everyone)."""
    entries: list[Obj] = rule.get("from") or []
    return not entries or any("podSelector" in e and "namespaceSelector" not in e for e in entries)


def endpoint_ready(pod: Obj) -> bool:
    """Whether a pod would be listed by a Service that does not publish unready addresses."""
    conditions = get_path(pod, "status.conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
