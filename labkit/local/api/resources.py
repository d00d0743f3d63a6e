"""The verbs on stored objects: get, list, create, update, patch, delete. No HTTP here: a call in, a document out."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial as bound

from labkit.local.access.requests import refusal
from labkit.local.access.rules import Attributes
from labkit.local.api import status
from labkit.local.api.apply import applied, tracked
from labkit.local.api.bodies import ACCEPTED
from labkit.local.api.bounds import misnamed, not_allowed
from labkit.local.api.calls import Call
from labkit.local.api.checking import check
from labkit.local.api.kinds import Admission, Kind
from labkit.local.api.patches import APPLY, apply_patch, check_form
from labkit.local.api.schemas import node_of, resolve
from labkit.local.objects import Obj, name_of, namespace_of, timestamp, uid_of
from labkit.local.store import Store, finalizers_of

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_MODES = ("Ignore", "Warn", "Strict")
_KEPT = (
    "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "name", "namespace",
)  # fmt: skip


Answer = tuple[int, Obj]
"""The HTTP code and the document."""


class Resources:
    """The verbs, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, call: Call) -> Answer:
        """One object."""
        return 200, self._store.require(call.kind.key, call.namespace, call.name)

    def list_all(self, call: Call) -> Answer:
        """The objects that the selectors choose: always as they are now, and all of them, as the API allows."""
        matches, rule = call.matcher(), call.query.get("resourceVersionMatch", "NotOlderThan")
        if rule != "NotOlderThan":
            why = f"Unsupported value: '{rule}': the embedded engine lists what there is now: NotOlderThan"
            raise status.bad_option("resourceVersionMatch", why)
        if call.query.get("continue"):
            raise status.bad_request("continue key is not valid: the embedded engine gives lists whole")
        call.number("limit")
        self._store.reached(call.number("resourceVersion"))
        found = [obj for obj in self._store.all(call.kind.key, call.namespace) if matches(obj)]
        return 200, call.kind.list_of(found, self._store.revision)

    def create(self, call: Call) -> Answer:
        """A new object, defaulted and admitted."""
        obj = self._decoded(call)
        meta = obj["metadata"]
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"][:58] + "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))
        if meta.get("resourceVersion"):
            raise status.bad_request("resourceVersion should not be set on objects to be created")
        obj.pop("status", None)
        meta.pop("managedFields", None)
        self._admit(call, obj, None)
        meta["managedFields"] = self._tracked(call, None, obj)
        return 201, self._store.create(call.kind.key, obj, dry_run=call.dry_run)

    def update(self, call: Call) -> Answer:
        """PUT: the whole object."""
        sent = self._decoded(call)
        if sent["metadata"].get("name") != call.name:
            raise status.bad_request("the name of the object does not match the name on the URL")
        if call.kind.custom and not sent["metadata"].get("resourceVersion"):
            fault = status.Cause("metadata.resourceVersion", "Invalid value: 0x0: must be specified for an update")
            raise status.invalid(call.kind.kind, call.kind.group, call.name, [fault])
        return 200, self._replace(call, lambda _: sent)

    def patch(self, call: Call) -> Answer:
        """PATCH: on the object as it is now."""
        if call.media_type == APPLY:
            return self._apply(call)
        node = None if call.kind.custom else node_of(call.kind)
        check_form(call.media_type, node)

        def patched(old: Obj) -> Obj:
            new = apply_patch(old, call.body, call.media_type, node, resolve)
            if not isinstance(new, dict) or not isinstance(new.get("metadata"), dict):
                raise status.bad_request("the patch leaves no object of the Kubernetes API")
            if any(new["metadata"].get(part) != old["metadata"].get(part) for part in ("name", "namespace")):
                raise status.bad_request("the patch changes the object's name or namespace, which cannot change")
            return self._checked(call, new)

        return 200, self._replace(call, patched)

    def _apply(self, call: Call) -> Answer:
        """PATCH with a part of an object, which its manager wants so: made where there is none."""
        manager, force = call.manager("Apply"), call.query.get("force") == "true"
        config = self._decoded(call, partial=True)
        meta = config["metadata"]
        if meta.setdefault("name", call.name) != call.name:
            raise status.bad_request("the name of the object does not match the name on the URL")
        if meta.pop("managedFields", None):
            raise status.bad_request("metadata.managedFields must be nil")

        def merged(live: Obj) -> Obj:
            new = applied(live, config, manager, force, node_of(call.kind), resolve, timestamp())
            return self._checked(call, new)

        if self._store.get(call.kind.key, call.namespace, call.name) is not None:
            return 200, self._replace(call, merged, track=False)
        wanted = Attributes("create", call.kind.group, call.kind.plural, call.namespace, call.name)
        if not call.caller.may(wanted):
            raise refusal(call.caller.user, wanted)
        new = merged({})
        new.pop("status", None)
        self._admit(call, new, None)
        return 201, self._store.create(call.kind.key, new, dry_run=call.dry_run)

    def _tracked(self, call: Call, old: Obj | None, new: Obj) -> list[Obj]:
        return tracked(old, new, call.manager("Update"), node_of(call.kind), resolve, timestamp())

    def delete(self, call: Call) -> Answer:
        """DELETE: the object, now or when its finalizers are done."""
        obj = self._store.require(call.kind.key, call.namespace, call.name)
        left = self._delete(call, obj)
        if finalizers_of(left):
            return 200, left
        details = {"name": name_of(obj), "kind": call.kind.plural, "uid": uid_of(obj)}
        details |= {"group": call.kind.group} if call.kind.group else {}
        success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return 200, success

    def delete_all(self, call: Call) -> Answer:
        """DELETE on a collection."""
        matches = call.matcher()
        chosen = [obj for obj in self._store.all(call.kind.key, call.namespace) if matches(obj)]
        for obj in chosen:
            self._delete(call, obj)
        return 200, call.kind.list_of(chosen, self._store.revision)

    def _delete(self, call: Call, obj: Obj) -> Obj:
        options = call.delete_options()
        if name_of(obj) in call.kind.lasting:
            why = f"this {call.kind.singular} may not be deleted"
            raise status.forbidden(call.kind.plural, call.kind.group, name_of(obj), why)
        wanted = options.get("preconditions") or {}
        for part in ("uid", "resourceVersion"):
            if wanted.get(part) not in (None, obj["metadata"][part]):
                found = obj["metadata"][part]
                why = f"Precondition failed: {part} in precondition: {wanted[part]}, in object meta: {found}"
                raise status.conflict(call.kind.plural, call.kind.group, name_of(obj), why)
        policy = options.get("propagationPolicy")
        if policy == "Orphan" and not call.dry_run:
            self._orphan(uid_of(obj))
        return self._store.delete(
            call.kind.key,
            namespace_of(obj),
            name_of(obj),
            grace=options.get("gracePeriodSeconds"),
            foreground=policy == "Foreground",
            dry_run=call.dry_run,
        )

    def _orphan(self, owner: str) -> None:
        """Take the owner off everything it owns, so that the garbage collector leaves it."""
        for key, obj in self._store.owned_by(owner):
            kept = [ref for ref in obj["metadata"]["ownerReferences"] if ref["uid"] != owner]
            self._store.update(key, namespace_of(obj), name_of(obj), bound(_own, kept))

    def _replace(self, call: Call, make: Callable[[Obj], Obj], *, track: bool = True) -> Obj:
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
                sent = {"managedFields": meta["managedFields"]} if "managedFields" in meta else {}
                new = old | {"status": new.get("status", {}), "metadata": old["metadata"] | sent}
            else:
                new = self._with_kept(kind, new, old)
                self._admit(call, new, old)
            if track:
                new["metadata"]["managedFields"] = self._tracked(call, old, new)
            new["metadata"] = new["metadata"] | {"resourceVersion": old["metadata"]["resourceVersion"]}
            current.clear()
            current.update(new)

        return self._store.update(kind.key, call.namespace, call.name, mutate, dry_run=call.dry_run)

    def _with_kept(self, kind: Kind, new: Obj, old: Obj) -> Obj:
        """What a client cannot change: identity, times, and the status."""
        kept = {key: old["metadata"][key] for key in _KEPT if key in old["metadata"]}
        meta = {key: value for key, value in new["metadata"].items() if key not in _KEPT} | kept
        if "deletionTimestamp" in kept:
            was = set(old["metadata"].get("finalizers", []))
            added = [name for name in meta.get("finalizers") or [] if name not in was]
            if added:
                why = f"no new finalizers can be added if the object is being deleted, found {added}"
                raise status.invalid(kind.kind, kind.group, name_of(old), [not_allowed("metadata.finalizers", why)])
        new = {**new, "metadata": meta}
        new.pop("status", None)
        return new | ({"status": old["status"]} if "status" in old else {})

    def _admit(self, call: Call, new: Obj, old: Obj | None) -> None:
        kind = call.kind
        new["apiVersion"], new["kind"] = kind.api_version, kind.kind
        name = new["metadata"].get("name") or ""
        if causes := misnamed(kind, name):
            raise status.invalid(kind.kind, kind.group, name, causes)
        kind.admit(Admission(new, old, self._store.get, call.caller, call.said))

    def _decoded(self, call: Call, *, partial: bool = False) -> Obj:
        """The body of a POST, PUT or apply: the right kind, the right namespace, only known fields."""
        kind, obj = call.kind, call.body
        if call.media_type not in ACCEPTED and not partial:
            raise status.unsupported_media_type(call.media_type, ACCEPTED)
        if not isinstance(obj, dict) or not isinstance(obj.get("metadata", {}), dict):
            raise status.bad_request("the body of the request is not an object of the Kubernetes API")
        if (obj.get("kind", kind.kind), obj.get("apiVersion", kind.api_version)) != (kind.kind, kind.api_version):
            given = f"{obj.get('apiVersion')} {obj.get('kind')}"
            raise status.bad_request(f"{given} in the body does not match {kind.api_version} {kind.kind} on the URL")
        meta = dict(obj.get("metadata") or {})
        space = meta.pop("namespace", None) or call.namespace
        if not kind.namespaced:
            space = ""  # Whatever it was sent with, as in Kubernetes.
        if space != call.namespace:
            raise status.bad_request("the namespace of the provided object does not match the namespace on the URL")
        obj = {**obj, "metadata": meta | ({"namespace": space} if space else {})}
        return self._checked(call, obj, partial=partial)

    def _checked(self, call: Call, obj: Obj, *, partial: bool = False) -> Obj:
        """The object without unknown fields, which are an error (Strict), a warning (Warn) or nothing (Ignore).

        A ``partial`` one may lack what its kind requires: it is checked again once it is merged.
        """
        kind = call.kind
        kept: Obj
        kept, found = check(node_of(kind), obj, kind.refused)
        if found.wrong:
            faults = "; ".join(found.wrong)
            raise status.bad_request(
                f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {faults}'
            )
        mode = call.query.get("fieldValidation") or "Warn"
        if mode not in _MODES:
            raise status.bad_option("fieldValidation", f'Unsupported value: "{mode}": supported values: {_MODES}')
        odd = [f'unknown field "{path}"' for path in found.unknown]
        odd += [f'duplicate field "{name}"' for name in call.duplicates]
        if odd and mode == "Strict":
            raise status.bad_request(f"strict decoding error: {', '.join(odd)}")
        if found.causes and not partial:
            raise status.invalid(kind.kind, kind.group, str(obj["metadata"].get("name", "")), found.causes)
        # An apply checks twice: what it sends, and what comes of it.
        call.said.extend(word for word in odd if mode == "Warn" and word not in call.said)
        return kept


def _own(references: list[Obj], obj: Obj) -> None:
    obj["metadata"]["ownerReferences"] = references
