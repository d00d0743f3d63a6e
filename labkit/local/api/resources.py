"""The verbs on stored objects: get, list, create, update, patch, delete. No HTTP here: a call in, a document out."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from labkit.local.api import status
from labkit.local.api.checking import check
from labkit.local.api.kinds import Admission, Kind
from labkit.local.api.patches import apply_patch
from labkit.local.api.schemas import node_of
from labkit.local.api.selectors import Matcher, field_selector, label_selector
from labkit.local.objects import Obj, name_of, namespace_of, uid_of
from labkit.local.store import Store

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_KINDS = ("namespaces", "services")
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_KEPT = (
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "name",
    "namespace",
)


@dataclass(frozen=True)
class Call:
    """One request on one kind. ``body`` is decoded JSON, ``media_type`` its content type."""

    kind: Kind
    namespace: str
    name: str
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    media_type: str = "application/json"
    subresource: str = ""

    @property
    def dry_run(self) -> bool:
        """Whether nothing may be stored."""
        return self.query.get("dryRun") == "All" or (isinstance(self.body, dict) and self.body.get("dryRun") == ["All"])

    def matcher(self) -> Matcher:
        """The request's label and field selectors as one."""
        labels = label_selector(self.query.get("labelSelector", ""))
        chosen = field_selector(self.query.get("fieldSelector", ""))
        return lambda obj: labels(obj) and chosen(obj)


@dataclass(frozen=True)
class Answer:
    """The HTTP code, the document, and warnings for the ``Warning`` header."""

    code: int
    document: Obj
    warnings: tuple[str, ...] = ()


class Resources:
    """The verbs, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, call: Call) -> Answer:
        """One object."""
        return Answer(200, self._store.require(call.kind.key, call.namespace, call.name))

    def list_all(self, call: Call) -> Answer:
        """The objects that the selectors choose."""
        return Answer(200, call.kind.list_of(self._chosen(call), self._store.revision))

    def create(self, call: Call) -> Answer:
        """A new object, defaulted and admitted."""
        obj, warnings = self._decoded(call)
        meta = obj["metadata"]
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))
        _check_name(call.kind, meta.get("name"))
        obj.pop("status", None)
        self._admit(call.kind, obj, None)
        return Answer(201, self._store.create(call.kind.key, obj, dry_run=call.dry_run), warnings)

    def update(self, call: Call) -> Answer:
        """PUT: the whole object."""
        sent, warnings = self._decoded(call)
        if sent["metadata"].get("name") != call.name:
            raise status.bad_request("the name of the object does not match the name on the URL")
        return Answer(200, self._replace(call, lambda _: sent), warnings)

    def patch(self, call: Call) -> Answer:
        """PATCH: merge patch or JSON patch on the object as it is now."""
        warnings: tuple[str, ...] = ()

        def patched(old: Obj) -> Obj:
            nonlocal warnings
            new, warnings = self._checked(call, apply_patch(old, call.body, call.media_type))
            return new

        return Answer(200, self._replace(call, patched), warnings)

    def delete(self, call: Call) -> Answer:
        """DELETE: the object, now or when its finalizers are done."""
        obj = self._store.require(call.kind.key, call.namespace, call.name)
        left = self._delete(call, obj)
        if self._store.get(call.kind.key, call.namespace, call.name) is not None:
            return Answer(200, left)
        details = {"name": name_of(obj), "group": call.kind.group, "kind": call.kind.plural, "uid": uid_of(obj)}
        success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return Answer(200, success)

    def delete_all(self, call: Call) -> Answer:
        """DELETE on a collection."""
        chosen = self._chosen(call)
        for obj in chosen:
            self._delete(call, obj)
        return Answer(200, call.kind.list_of(chosen, self._store.revision))

    def _chosen(self, call: Call) -> list[Obj]:
        matches = call.matcher()
        return [obj for obj in self._store.all(call.kind.key, call.namespace) if matches(obj)]

    def _delete(self, call: Call, obj: Obj) -> Obj:
        options = (call.body if isinstance(call.body, dict) else {}) | {
            key: call.query[key] for key in ("propagationPolicy", "gracePeriodSeconds") if key in call.query
        }
        wanted = options.get("preconditions") or {}
        for part in ("uid", "resourceVersion"):
            if wanted.get(part) not in (None, obj["metadata"][part]):
                found = obj["metadata"][part]
                why = f"Precondition failed: {part} in precondition: {wanted[part]}, in object meta: {found}"
                raise status.conflict(call.kind.plural, call.kind.group, name_of(obj), why)
        policy = options.get("propagationPolicy")
        if policy not in (None, "Background", "Foreground", "Orphan"):
            raise status.bad_request(f"propagationPolicy '{policy}' is not Background, Foreground or Orphan")
        if policy == "Orphan" and not call.dry_run:
            self._orphan(uid_of(obj), namespace_of(obj))
        grace = options.get("gracePeriodSeconds")
        return self._store.delete(
            call.kind.key,
            namespace_of(obj),
            name_of(obj),
            grace=None if grace is None else int(grace),
            foreground=policy == "Foreground",
            dry_run=call.dry_run,
        )

    def _orphan(self, owner: str, namespace: str) -> None:
        """Take the owner off everything it owns, so that the garbage collector leaves it."""
        for key, obj in self._store.everything(namespace):
            refs = obj["metadata"].get("ownerReferences", [])
            kept = [ref for ref in refs if ref["uid"] != owner]
            if kept != refs:
                self._store.update(key, namespace_of(obj), name_of(obj), _setter(kept))

    def _replace(self, call: Call, make: Callable[[Obj], Obj]) -> Obj:
        kind = call.kind

        def mutate(current: Obj) -> None:
            old = self._store.require(kind.key, call.namespace, call.name)
            new = make(old)
            meta = new["metadata"]
            for part in ("resourceVersion", "uid"):
                if meta.get(part) not in (None, "", old["metadata"][part]):
                    why = "the object has been modified; please apply your changes to the latest version and try again"
                    raise status.conflict(kind.plural, kind.group, call.name, why)
            if call.subresource == "status":
                new = old | {"status": new.get("status", {})}
            else:
                new = self._with_kept(new, old)
                self._admit(kind, new, old)
            new["metadata"] = new["metadata"] | {"resourceVersion": old["metadata"]["resourceVersion"]}
            current.clear()
            current.update(new)

        return self._store.update(kind.key, call.namespace, call.name, mutate, dry_run=call.dry_run)

    def _with_kept(self, new: Obj, old: Obj) -> Obj:
        """What a client cannot change: identity, times, and the status."""
        kept = {key: old["metadata"][key] for key in _KEPT if key in old["metadata"]}
        meta = {key: value for key, value in new["metadata"].items() if key not in _KEPT} | kept
        if "deletionTimestamp" in kept:
            was = set(old["metadata"].get("finalizers", []))
            added = [name for name in meta.get("finalizers") or [] if name not in was]
            if added:
                raise status.forbidden(f"no new finalizers can be added while the object is being deleted: {added}")
        new = {**new, "metadata": meta}
        new.pop("status", None)
        return new | ({"status": old["status"]} if "status" in old else {})

    def _admit(self, kind: Kind, new: Obj, old: Obj | None) -> None:
        new["apiVersion"], new["kind"] = self._store.kinds[kind.key].api_version, kind.kind
        kind.admit(Admission(new, old, self._store.get))

    def _decoded(self, call: Call) -> tuple[Obj, tuple[str, ...]]:
        """The body of a POST or PUT: the right kind, the right namespace, only known fields."""
        kind, obj = call.kind, call.body
        if call.media_type != "application/json":
            raise status.unsupported_media_type(call.media_type, ["application/json"])
        if not isinstance(obj, dict) or not isinstance(obj.get("metadata", {}), dict):
            raise status.bad_request("the body of the request is not an object of the Kubernetes API")
        if (obj.get("kind", kind.kind), obj.get("apiVersion", kind.api_version)) != (kind.kind, kind.api_version):
            given = f"{obj.get('apiVersion')} {obj.get('kind')}"
            raise status.bad_request(f"{given} in the body does not match {kind.api_version} {kind.kind} on the URL")
        obj = {**obj, "metadata": dict(obj.get("metadata") or {})}
        if kind.namespaced and obj["metadata"].setdefault("namespace", call.namespace) != call.namespace:
            raise status.bad_request("the namespace of the provided object does not match the namespace on the URL")
        return self._checked(call, obj)

    def _checked(self, call: Call, obj: Obj) -> tuple[Obj, tuple[str, ...]]:
        """The object without unknown fields, which are an error (Strict), a warning (Warn) or nothing (Ignore)."""
        kept, found = check(node_of(call.kind), obj, call.kind.refused)
        if found.wrong:
            raise status.bad_request(f"{call.kind.kind} in version {call.kind.version}: {'; '.join(found.wrong)}")
        mode = call.query.get("fieldValidation") or "Warn"
        if found.unknown and mode == "Strict":
            names = ", ".join(f'unknown field "{path}"' for path in found.unknown)
            raise status.bad_request(f"strict decoding error: {names}")
        if found.refused or found.missing:
            why = "the embedded engine does not implement this field"
            causes = [status.Cause(path, why, "FieldValueNotSupported") for path in found.refused]
            causes += [status.Cause(path, "Required value", "FieldValueRequired") for path in found.missing]
            raise status.invalid(call.kind.kind, call.kind.group, str(obj["metadata"].get("name", "")), causes)
        return kept, tuple(f'unknown field "{path}"' for path in found.unknown) if mode == "Warn" else ()


def _setter(references: list[Obj]) -> Callable[[Obj], None]:
    def mutate(obj: Obj) -> None:
        obj["metadata"]["ownerReferences"] = references

    return mutate


def _check_name(kind: Kind, name: Any) -> None:
    if not name:
        fault = status.Cause("metadata.name", "name or generateName is required", "FieldValueRequired")
        raise status.invalid(kind.kind, kind.group, "", [fault])
    pattern = _LABEL if kind.key in _LABEL_KINDS else _NAME
    if not pattern.fullmatch(name):
        what = "label" if pattern is _LABEL else "subdomain"
        fault = status.Cause("metadata.name", f"'{name}' is not a lowercase RFC 1123 {what}")
        raise status.invalid(kind.kind, kind.group, name, [fault])
