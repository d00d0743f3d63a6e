"""One request on one kind, and what its query and body ask for. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from labkit.local.access.rules import ENGINE, Caller
from labkit.local.api import status
from labkit.local.api.apply import Manager
from labkit.local.api.checking import check
from labkit.local.api.kinds import Kind
from labkit.local.api.schemas import definitions
from labkit.local.api.selectors import Matcher, field_selector, label_selector
from labkit.local.objects import Obj, name_of

_DELETE_OPTIONS = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"


@dataclass(frozen=True)
class Call:
    """One request. ``body`` is decoded, ``media_type`` its content type, ``duplicates`` are keys it had twice."""

    kind: Kind
    namespace: str
    name: str
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    media_type: str = "application/json"
    subresource: str = ""
    duplicates: tuple[str, ...] = ()
    caller: Caller = ENGINE
    agent: str = "unknown"
    """The client's name for itself, which manages the fields it sets unless it gives a ``fieldManager``."""
    said: list[str] = field(default_factory=list)
    """Warnings for who asked."""

    def manager(self, operation: str) -> Manager:
        """Who manages the fields that this call sets; ApiError 422 where an apply does not say."""
        name = self.query.get("fieldManager", "")
        if not name.isprintable() or len(name) > 128 or (operation == "Apply" and not name):
            why = "up to 128 printable characters; an apply patch needs it"
            raise status.bad_option("fieldManager", f"Invalid value: {name!r}: {why}")
        return Manager(name or self.agent, operation, self.kind.api_version, self.subresource)

    def number(self, name: str, default: int = 0) -> int:
        """A query parameter that is a natural number; ApiError 400 for any other."""
        text = self.query.get(name) or str(default)
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise status.bad_request(f"{name} '{text}' is not a number")
        return int(text)

    @property
    def dry_run(self) -> bool:
        """Whether nothing may be stored; ApiError 400 for any other word than All."""
        in_body = self.body.get("dryRun") if isinstance(self.body, dict) else None
        asked = [self.query["dryRun"]] if self.query.get("dryRun") else in_body or []
        if asked not in ([], ["All"]):
            raise status.bad_request(f"dryRun {asked} is not All")
        return bool(asked)

    def matcher(self) -> Matcher:
        """The request's name, label selector and field selector as one."""
        labels = label_selector(self.query.get("labelSelector", ""))
        chosen = field_selector(self.kind.key, self.query.get("fieldSelector", ""))
        return lambda obj: self.name in ("", name_of(obj)) and labels(obj) and chosen(obj)

    def delete_options(self) -> Obj:
        """DeleteOptions from the body and the query; ApiError 400 naming what is wrong in them."""
        options = dict(self.body) if isinstance(self.body, dict) else {}
        if "propagationPolicy" in self.query:
            options["propagationPolicy"] = self.query["propagationPolicy"]
        if grace := self.query.get("gracePeriodSeconds"):
            options["gracePeriodSeconds"] = int(grace) if grace.isascii() and grace.isdigit() else grace
        if options.get("orphanDependents"):
            options["propagationPolicy"] = "Orphan"
        _, found = check(definitions()[_DELETE_OPTIONS], self.body and (options or self.body))
        if faults := [*found.wrong, *(f"{cause.field}: {cause.message}" for cause in found.causes)]:
            raise status.bad_request(f"DeleteOptions: {'; '.join(faults)}")
        return options
