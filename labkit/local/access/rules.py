"""Whether rules give a right: Kubernetes' role-based access control. Pure; imports nothing of the API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from labkit.local.objects import Obj

MASTERS = "system:masters"


@dataclass(frozen=True)
class User:
    """Who asks."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


@dataclass(frozen=True)
class Attributes:
    """One right: a verb on a ``resource`` (with its subresource, ``pods/log``), or on a ``path`` that is none."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


@dataclass(frozen=True)
class Caller:
    """A user, and whether they have a right now."""

    user: User
    may: Callable[[Attributes], bool]


ENGINE = Caller(User("system:labkit-engine", (MASTERS,)), lambda _: True)


def allowed(rules: Iterable[Obj], wanted: Attributes) -> bool:
    """Whether one of the PolicyRules gives the right."""
    return any(_gives(rule, wanted) for rule in rules)


def _gives(rule: Obj, wanted: Attributes) -> bool:
    if not _has(rule.get("verbs"), wanted.verb):
        return False
    if wanted.path:
        return any(
            url == wanted.path or (url.endswith("*") and wanted.path.startswith(url.rstrip("*")))
            for url in rule.get("nonResourceURLs") or ()
        )
    resources, names = rule.get("resources") or (), rule.get("resourceNames")
    sub = wanted.resource.partition("/")[2]
    return (
        _has(rule.get("apiGroups"), wanted.group)
        and (_has(resources, wanted.resource) or (sub != "" and f"*/{sub}" in resources))
        and (not names or wanted.name in names)
    )


def _has(words: Sequence[str] | None, word: str) -> bool:
    return bool(words) and (word in words or "*" in words)  # type: ignore[operator]


def parts(rule: Obj, namespace: str) -> Iterator[Attributes]:
    """Every single right that a rule gives in a namespace. A wildcard is only held by who holds the same wildcard."""
    for verb in dict.fromkeys(rule.get("verbs") or ()):
        for url in rule.get("nonResourceURLs") or ():
            yield Attributes(verb, path=url)
        names = rule.get("resourceNames") or ("",)
        for group, resource, name in product(rule.get("apiGroups") or (), rule.get("resources") or (), names):
            yield Attributes(verb, group, resource, namespace, name)


def shown(rule: Obj) -> str:
    """A rule in the words of Kubernetes' refusals."""
    keys = ("apiGroups", "resources", "nonResourceURLs", "resourceNames", "verbs")
    names = {key: key[0].upper() + key[1:] for key in keys} | {"apiGroups": "APIGroups"}
    return "{" + ", ".join(f"{names[key]}:[{quoted(rule[key])}]" for key in keys if rule.get(key)) + "}"


def quoted(words: Iterable[str]) -> str:
    """Words in double quotes, apart."""
    return " ".join(json.dumps(word) for word in words)
