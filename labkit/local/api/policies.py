"""NetworkPolicies: what is wrong with one anywhere, and what this engine cannot enforce. Pure."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from labkit.local.api.admission import (
    PROTOCOLS,
    fault,
    not_allowed,
    number_causes,
    one_of,
    port_causes,
    refuse,
    required,
)
from labkit.local.api.kinds import Admission
from labkit.local.api.status import Cause
from labkit.local.objects import Obj


def admit_network_policy(admission: Admission) -> None:
    """Only what one closed segment per namespace makes true; anything else is refused, never ignored.

    Nothing leads in or out of a segment, so ingress from elsewhere needs no rule, and DNS is the segment's own.
    Machines of one namespace all hear one another, or (where no policy lets them) none does.
    """
    spec = admission.new.setdefault("spec", {})
    refuse(admission, _policy_causes(spec))
    causes = []
    if spec.get("podSelector"):
        causes.append(_cannot("spec.podSelector", "a policy for some machines of a namespace only"))
    for n, rule in enumerate(spec.get("egress") or []):
        if not (_is_dns(rule) or _is_own_namespace(rule, "to")):
            causes.append(_cannot(f"spec.egress[{n}]", "egress other than DNS and the namespace's own pods"))
    for n, rule in enumerate(spec.get("ingress") or []):
        if _names_own_pods(rule) and not _is_own_namespace(rule, "from"):
            causes.append(_cannot(f"spec.ingress[{n}]", "ingress from some pods or ports of the namespace only"))
    refuse(admission, causes)
    types = ["Ingress"] + (["Egress"] if spec.get("egress") is not None else [])
    spec.setdefault("policyTypes", types)
    spec.setdefault("podSelector", {})


def _policy_causes(spec: Obj) -> list[Cause]:
    """The faults of a policy anywhere, not just here."""
    faults = _selector_causes(spec.get("podSelector"), "spec.podSelector")
    for n, type_ in enumerate(spec.get("policyTypes") or []):
        faults += one_of(type_, f"spec.policyTypes[{n}]", ("Ingress", "Egress"))
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for n, rule in enumerate(spec.get(direction) or []):
            at = f"spec.{direction}[{n}]"
            for m, port in enumerate(rule.get("ports") or []):
                faults += _policy_port_causes(port, f"{at}.ports[{m}]")
            for m, peer in enumerate(rule.get(peers) or []):
                faults += _peer_causes(peer, f"{at}.{peers}[{m}]")
    return faults


def _policy_port_causes(rule: Obj, at: str) -> list[Cause]:
    faults = one_of(rule.setdefault("protocol", "TCP"), f"{at}.protocol", PROTOCOLS)
    port, end = rule.get("port"), rule.get("endPort")
    if port is not None:
        faults += port_causes(port, f"{at}.port")
    if end is not None and not isinstance(port, int):
        faults.append(not_allowed(f"{at}.endPort", "may not be specified when `port` is not a number"))
    elif end is not None:
        faults += number_causes(end, f"{at}.endPort")
        if end < port:
            faults.append(fault(f"{at}.endPort", end, "must be greater than or equal to `port`"))
    return faults


def _peer_causes(peer: Obj, at: str) -> list[Cause]:
    if not any(value is not None for value in peer.values()):
        return [required(at, "must specify a peer")]
    faults = [
        cause
        for name in ("podSelector", "namespaceSelector")
        for cause in _selector_causes(peer.get(name), f"{at}.{name}")
    ]
    if (block := peer.get("ipBlock")) is None:
        return faults
    if len(peer) > 1:
        faults.append(not_allowed(at, "may not specify both ipBlock and another peer"))
    try:
        whole = ip_network(block["cidr"])
    except ValueError:
        return [*faults, fault(f"{at}.ipBlock.cidr", block["cidr"], "must be a valid CIDR value")]
    for n, text in enumerate(block.get("except") or []):
        here = f"{at}.ipBlock.except[{n}]"
        try:
            part = ip_network(text)
        except ValueError:
            faults.append(fault(here, text, "must be a valid CIDR value"))
            continue
        if part == whole or part.version != whole.version or not part.subnet_of(whole):  # type: ignore[arg-type]
            faults.append(fault(here, text, "must be a strict subset of `cidr`"))
    return faults


def _selector_causes(selector: Obj | None, at: str) -> list[Cause]:
    faults = []
    for n, rule in enumerate((selector or {}).get("matchExpressions") or []):
        here, operator = f"{at}.matchExpressions[{n}]", rule["operator"]
        faults += one_of(operator, f"{here}.operator", ("In", "NotIn", "Exists", "DoesNotExist"))
        if operator in ("In", "NotIn") and not rule.get("values"):
            faults.append(required(f"{here}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
        if operator in ("Exists", "DoesNotExist") and rule.get("values"):
            faults.append(
                not_allowed(f"{here}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
            )
    return faults


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
