"""Rules of roles and bindings: nobody grants what they do not hold. Pure but for looking up the role bound."""

from __future__ import annotations

from itertools import chain, islice

from labkit.local.access.rights import GROUP, ROLES
from labkit.local.access.rules import Attributes, parts, quoted, shown
from labkit.local.api.admission import refuse
from labkit.local.api.bounds import invalid, required
from labkit.local.api.kinds import Admission
from labkit.local.api.status import Cause, forbidden, not_found
from labkit.local.objects import Obj, name_of, namespace_of

_MOST_PARTS = 10_000
"""Single rights in a role: each is looked for among those of its author."""


def admit_role(admission: Admission) -> None:
    """A role's author holds all that it gives, or has the verb ``escalate``."""
    role = admission.new
    rules = role["rules"] = role.get("rules") or []
    urls = [(f"rules[{n}].nonResourceURLs", rule.get("nonResourceURLs")) for n, rule in enumerate(rules)]
    why = "namespaced rules cannot apply to non-resource URLs"
    faults = [invalid(at, found, why) for at, found in urls if found and role["kind"] == "Role"]
    single = chain.from_iterable(parts(rule, "") for rule in rules)
    if next(islice(single, _MOST_PARTS, None), None):
        faults.append(Cause("rules", f"Too many: they give more than {_MOST_PARTS} rights, each taken by itself"))
    refuse(admission, faults)
    _check_grant(admission, "escalate", role["kind"], name_of(role), rules)


def admit_binding(admission: Admission) -> None:
    """The role never changes, and who binds it holds all that it gives, or has the verb ``bind`` on it."""
    new, reference, space = admission.new, admission.new["roleRef"], namespace_of(admission.new)
    reference["apiGroup"] = reference.get("apiGroup") or GROUP
    faults = [] if reference.get("name") else [required("roleRef.name")]
    if not space and reference["kind"] == "Role":
        faults.append(invalid("roleRef.kind", "Role", "a ClusterRoleBinding binds a ClusterRole"))
    if admission.old and admission.old["roleRef"] != reference:
        faults.append(invalid("roleRef", reference, "cannot change roleRef"))
    for n, subject in enumerate(new.get("subjects") or ()):
        account = subject["kind"] == "ServiceAccount"
        given, group = subject.pop("apiGroup", None), {} if account else {"apiGroup": GROUP}
        if given not in (None, "", *group.values()):
            faults.append(invalid(f"subjects[{n}].apiGroup", given, "is not the group of this kind of subject"))
        subject |= group
        faults += [required(f"subjects[{n}].name")] * (not subject.get("name"))
        faults += [required(f"subjects[{n}].namespace")] * (account and not (subject.get("namespace") or space))
    refuse(admission, faults)
    role = admission.lookup(ROLES[reference["kind"]], space if reference["kind"] == "Role" else "", reference["name"])
    rules = None if role is None else role.get("rules") or []
    _check_grant(admission, "bind", reference["kind"], reference["name"], rules)


def _check_grant(admission: Admission, verb: str, kind: str, role: str, rules: list[Obj] | None) -> None:
    """ApiError 403 naming what the caller would give without holding it; 404 where ``rules`` (None) are unknown."""
    obj, caller, plural = admission.new, admission.caller, f"{kind.lower()}s"
    space = namespace_of(obj)
    if caller.may(Attributes(verb, GROUP, plural, space, role)):
        return
    if rules is None:
        raise not_found(plural, GROUP, role)
    lacking = [shown(rule) for rule in rules if not all(caller.may(part) for part in parts(rule, space))]
    if lacking:
        who = f'user "{caller.user.name}" (groups=[{quoted(caller.user.groups)}])'
        why = f"{who} is attempting to grant RBAC permissions not currently held:\n" + "\n".join(lacking)
        raise forbidden(f"{obj['kind'].lower()}s", GROUP, name_of(obj), why)
