"""Label and field selectors. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

from labkit.local.api.status import bad_request
from labkit.local.objects import Obj, get_path

Matcher = Callable[[Obj], bool]
Requirement = tuple[str, str, Collection[str]]
"""Key, operator, values."""

_OPERATORS: dict[str, Callable[[str | None, Collection[str]], bool]] = {
    "In": lambda value, values: value in values,
    "NotIn": lambda value, values: value not in values,
    "Exists": lambda value, _: value is not None,
    "DoesNotExist": lambda value, _: value is None,
}
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


def _requirement(text: str) -> Requirement:
    if match := _SET.fullmatch(text):
        values = {value.strip() for value in match["values"].split(",")}
        return match["key"], "In" if match["op"] == "in" else "NotIn", values
    if match := _EQUAL.fullmatch(text):
        return match["key"], "NotIn" if match["op"] == "!=" else "In", {match["value"]}
    if match := _EXISTS.fullmatch(text):
        return match["key"], "DoesNotExist" if match["not"] else "Exists", ()
    raise bad_request(f"unable to parse requirement: '{text}' is not a selector")


def _meets(labels: dict[str, str], rules: Iterable[Requirement]) -> bool:
    return all(_OPERATORS[operator](labels.get(key), values) for key, operator, values in rules)


def label_selector(selector: str) -> Matcher:
    """A matcher for ``a=b,c!=d,e in (f,g),!h``; 400 for what cannot be read."""
    rules = [_requirement(part) for part in _split(selector)]
    return lambda obj: _meets(obj["metadata"].get("labels") or {}, rules)


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
    rules: list[Requirement] = [(key, "In", [value]) for key, value in (selector.get("matchLabels") or {}).items()]
    for rule in selector.get("matchExpressions") or []:
        rules.append((rule["key"], rule["operator"], rule.get("values") or []))
    return _meets(labels, rules)
