"""Label and field selectors. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from labkit.local.api.status import bad_request
from labkit.local.objects import Obj, get_path

Matcher = Callable[[Obj], bool]

_SET = re.compile(r"(?P<key>[-\w./]+)\s+(?P<op>in|notin)\s*\((?P<values>[^)]*)\)")
_EQUAL = re.compile(r"(?P<key>[-\w./]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s!=,()]*)")
_EXISTS = re.compile(r"(?P<not>!?)\s*(?P<key>[-\w./]+)")
_FIELDS = ("metadata.name", "metadata.namespace")
_MORE_FIELDS = {
    "namespaces": ("status.phase",),
    "secrets": ("type",),
    "pods": ("spec.nodeName", "spec.restartPolicy", "spec.serviceAccountName", "status.phase", "status.podIP"),
    "events": (
        "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
        "involvedObject.apiVersion", "involvedObject.fieldPath", "reason", "reportingComponent", "type",
    ),
}  # fmt: skip
"""Which fields can be selected: of every kind, and of some kinds (by key) as well."""


def _split(selector: str) -> list[str]:
    """The requirements of a selector: commas inside parentheses do not separate."""
    return [part.strip() for part in re.split(r",(?![^(]*\))", selector) if part.strip()]


def _requirement(text: str) -> tuple[str, Callable[[str | None], bool]]:
    if match := _SET.fullmatch(text):
        values = {value.strip() for value in match["values"].split(",")}
        inside = match["op"] == "in"
        return match["key"], lambda value: (value in values) == inside
    if match := _EQUAL.fullmatch(text):
        wanted, equal = match["value"], match["op"] != "!="
        return match["key"], lambda value: (value == wanted) == equal
    if match := _EXISTS.fullmatch(text):
        absent = bool(match["not"])
        return match["key"], lambda value: (value is None) == absent
    raise bad_request(f"unable to parse requirement: '{text}' is not a selector")


def label_selector(selector: str) -> Matcher:
    """A matcher for ``a=b,c!=d,e in (f,g),!h``; 400 for what cannot be read."""
    rules = [_requirement(part) for part in _split(selector)]

    def matches(obj: Obj) -> bool:
        labels = obj["metadata"].get("labels") or {}
        return all(rule(labels.get(key)) for key, rule in rules)

    return matches


def field_selector(kind: str, selector: str) -> Matcher:
    """A matcher over the fields that can be selected of a kind (by key); 400 naming any other."""
    known, rules = _FIELDS + _MORE_FIELDS.get(kind, ()), []
    for part in _split(selector):
        match = _EQUAL.fullmatch(part)
        if match is None:
            raise bad_request(f"invalid field selector: '{part}' is not FIELD=VALUE or FIELD!=VALUE")
        if match["key"] not in known:
            raise bad_request(f"field label not supported: {match['key']}; supported: {', '.join(known)}")
        rules.append((match["key"], match["value"], match["op"] != "!="))

    def matches(obj: Obj) -> bool:
        return all((str(get_path(obj, key, "")) == value) == equal for key, value, equal in rules)

    return matches


def exact(selector: str, key: str) -> str:
    """The one value that a selector asks for in ``key``, or an empty string."""
    found = (_EQUAL.fullmatch(part) for part in _split(selector))
    return next((part["value"] for part in found if part and part["key"] == key and part["op"] != "!="), "")


def matches_labels(selector: Obj | None, labels: dict[str, str]) -> bool:
    """Whether a LabelSelector (``matchLabels`` and ``matchExpressions``) matches; an empty one matches all."""
    selector = selector or {}
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for rule in selector.get("matchExpressions") or []:
        value, values = labels.get(rule["key"]), rule.get("values") or []
        held = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not held.get(rule["operator"], False):
            return False
    return True
