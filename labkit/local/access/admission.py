"""Rules of roles and bindings: nobody grants what they do not hold. Pure but for looking up the role bound."""

from __future__ import annotations

from typing import Any

from labkit.local.access.requests import forbidden
from labkit.local.access.rights import GROUP, ROLES
from labkit.local.access.rules import Attributes, Caller, parts, quoted, shown
from labkit.local.api.kinds import Admission
from labkit.local.api.status import Cause, invalid, not_found
from labkit.local.objects import Obj, name_of, namespace_of

_EVERYTHING: tuple[Obj, ...] = (
    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
    {"nonResourceURLs": ["*"], "verbs": ["*"]},
)
_API_GROUPS = {"User": GROUP, "Group": GROUP, "ServiceAccount": ""}


def admit_role(admission: Admission) -> None:
    """A role's author holds all that it gives, or has the verb ``escalate``; who aggregates roles holds everything."""
    role, causes = admission.new, []
    role["rules"] = role.get("rules") or []
    for n, rule in enumerate(role["rules"]):
        urls, resources = rule.get("nonResourceURLs"), rule.get("resources")
        if urls and role["kind"] == "Role":
            causes.append(Cause(f"rules[{n}].nonResourceURLs", "namespaced rules cannot apply to non-resource URLs"))
        if urls and resources:
            why = "rules cannot apply to both regular resources and non-resource URLs"
            causes.append(Cause(f"rules[{n}].nonResourceURLs", why))
        wanted = ("verbs",) if urls else ("verbs", "apiGroups", "resources")
        causes += [
            Cause(f"rules[{n}].{key}", "Required value", "FieldValueRequired") for key in wanted if not rule.get(key)
        ]
    if causes:
        raise invalid(role["kind"], GROUP, name_of(role), causes)
    granted = [*role["rules"], *(_EVERYTHING if role.get("aggregationRule") else ())]
    _check_grant(admission.caller, "escalate", role, role, granted)


def admit_binding(admission: Admission) -> None:
    """The role never changes, and who binds it holds all that it gives, or has the verb ``bind`` on it."""
    new, reference = admission.new, admission.new.get("roleRef") or {}
    reference.setdefault("apiGroup", GROUP)
    roles = ("ClusterRole",) if new["kind"] == "ClusterRoleBinding" else ("Role", "ClusterRole")
    causes = []
    if reference.get("kind") not in roles:
        causes.append(_unsupported("roleRef.kind", reference.get("kind"), roles))
    if not reference.get("name"):
        causes.append(Cause("roleRef.name", "Required value", "FieldValueRequired"))
    if admission.old and admission.old["roleRef"] != reference:
        causes.append(Cause("roleRef", f"Invalid value: {reference}: cannot change roleRef"))
    for n, subject in enumerate(new.get("subjects") or ()):
        kind, at = subject.get("kind"), f"subjects[{n}]"
        if kind not in _API_GROUPS:
            causes.append(_unsupported(f"{at}.kind", kind, tuple(_API_GROUPS)))
        elif subject.setdefault("apiGroup", _API_GROUPS[kind]) != _API_GROUPS[kind]:
            causes.append(_unsupported(f"{at}.apiGroup", subject["apiGroup"], (_API_GROUPS[kind],)))
        missing = ["name"] * (not subject.get("name"))
        missing += ["namespace"] * (kind == "ServiceAccount" and not (subject.get("namespace") or namespace_of(new)))
        causes += [Cause(f"{at}.{key}", "Required value", "FieldValueRequired") for key in missing]
        if subject.get("apiGroup") == "":
            del subject["apiGroup"]
    if causes:
        raise invalid(new["kind"], GROUP, name_of(new), causes)
    home = namespace_of(new) if reference["kind"] == "Role" else ""
    role = admission.lookup(ROLES[reference["kind"]], home, reference["name"])
    target = role or {"kind": reference["kind"], "metadata": {"name": reference["name"], "namespace": home}}
    _check_grant(admission.caller, "bind", new, target, None if role is None else role.get("rules") or [])


def _check_grant(caller: Caller, verb: str, obj: Obj, role: Obj, rules: list[Obj] | None) -> None:
    """ApiError 403 naming what the caller would give without holding it; 404 where ``rules`` (None) are unknown."""
    plural = ROLES[role["kind"]].partition(".")[0]
    space = namespace_of(obj)
    if caller.may(Attributes(verb, GROUP, plural, space, name_of(role))):
        return
    if rules is None:
        raise not_found(plural, GROUP, name_of(role))
    lacking = [shown(rule) for rule in rules if not all(caller.may(part) for part in parts(rule, space))]
    if lacking:
        who = f'user "{caller.user.name}" (groups=[{quoted(caller.user.groups)}])'
        why = f"{who} is attempting to grant RBAC permissions not currently held:\n" + "\n".join(lacking)
        raise forbidden(GROUP, f"{obj['kind'].lower()}s", name_of(obj), why)


def _unsupported(field: str, value: Any, known: tuple[str, ...]) -> Cause:
    return Cause(field, f'Unsupported value: "{value}": supported values: {quoted(known)}', "FieldValueNotSupported")
