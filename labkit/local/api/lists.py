"""Lists in pieces, and as they were: ``limit``, ``continue``, ``resourceVersion``, ``resourceVersionMatch``."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from labkit.local.api import status
from labkit.local.api.kinds import Kind
from labkit.local.api.selectors import Matcher
from labkit.local.objects import Obj, name_of, namespace_of
from labkit.local.store import Store

_MATCHES = ("Exact", "NotOlderThan")


def number(query: Mapping[str, str], name: str, default: int = 0) -> int:
    """A query parameter that is a natural number; 400 for any other."""
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise status.bad_request(f"{name} '{text}' is not a number")
    return int(text)


def not_ahead(store: Store, revision: int) -> int:
    """``revision``; 504 where it has not been reached, as a client of another engine's life would ask."""
    if revision > store.revision:
        raise status.too_large(revision, store.revision)
    return revision


def listing(store: Store, kind: Kind, namespace: str, query: Mapping[str, str], matches: Matcher) -> Obj:
    """The list document that a query asks for. A later piece shows the same moment as the first one, or is a 410."""
    limit, wanted, rule = number(query, "limit"), number(query, "resourceVersion"), query.get("resourceVersionMatch")
    after, revision = ("", ""), store.revision
    if rule is not None and (rule not in _MATCHES or "resourceVersion" not in query or (rule, wanted) == ("Exact", 0)):
        fault = status.Cause("resourceVersionMatch", f"'{rule}' needs to be one of {_MATCHES}, with a resourceVersion")
        raise status.invalid("ListOptions", "meta.k8s.io", "", [fault])
    if token := query.get("continue"):
        revision, after = _position(token)
    elif rule == "Exact":
        revision = wanted
    not_ahead(store, max(wanted, revision))
    found = [obj for obj in store.all_at(kind.key, namespace, revision) if _key(obj) > after and matches(obj)]
    document = kind.list_of(found, revision)
    if limit and len(found) > limit:
        document["items"] = found[:limit]
        document["metadata"]["continue"] = _token(revision, found[limit - 1])
        if not (query.get("labelSelector") or query.get("fieldSelector")):
            document["metadata"]["remainingItemCount"] = len(found) - limit
    return document


def _key(obj: Obj) -> tuple[str, str]:
    return namespace_of(obj), name_of(obj)


def _token(revision: int, last: Obj) -> str:
    return base64.urlsafe_b64encode("\n".join((str(revision), *_key(last))).encode()).decode()


def _position(token: str) -> tuple[int, tuple[str, str]]:
    try:
        revision, space, name = base64.urlsafe_b64decode(token.encode()).decode().split("\n")
        return int(revision), (space, name)
    except ValueError as error:
        raise status.bad_request(f"continue key is not valid: {error}") from error
