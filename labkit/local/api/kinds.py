"""What a kind is to the API: names, verbs, fields, columns, admission. Pure; the table itself is in ``table.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from labkit.local.access.rules import ENGINE, Caller
from labkit.local.api.columns import AGE, NAME, Column
from labkit.local.objects import Obj

Tree = Any
"""Fields, in the form that ``schemas`` says."""
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
STATUS_VERBS = ("get", "patch", "update")


@dataclass(frozen=True)
class Admission:
    """What a kind's admission may look at: the new object (to be defaulted in place), the old one or None."""

    new: Obj
    old: Obj | None
    lookup: Callable[[str, str, str], Obj | None]
    """Another object by kind key, namespace and name."""
    caller: Caller = ENGINE
    warnings: list[str] = field(default_factory=list)
    """What admission has to say though it lets the object in: sent as ``Warning`` headers."""


Admit = Callable[[Admission], None]


@dataclass(frozen=True, eq=False)
class Kind:
    """One row of the table of kinds. ``key`` (``plural.group``) names it everywhere inside the engine."""

    kind: str
    group: str = ""
    version: str = "v1"
    fields: Mapping[str, Tree] | None = None
    """Those beside metadata; None where Kubernetes itself defines the kind. ``/status`` is served where a ``status`` is
    among them; without it a status sent by a client is dropped as Kubernetes does."""
    refused: tuple[str, ...] = ()
    """Paths of fields (``spec.ports.nodePort``) that Kubernetes defines and this engine does not carry out."""
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    columns: tuple[Column, ...] = (NAME, AGE)
    admit: Admit = lambda _: None
    """Sets defaults in ``new`` and refuses what is wrong by raising ApiError."""
    lasting: tuple[str, ...] = ()
    """Names of objects that cannot be deleted."""
    counts_generations: bool = False
    finalizers: tuple[str, ...] = ()
    """Put on every new object: a controller of ours takes them off."""
    subresources: tuple[tuple[str, str, tuple[str, ...]], ...] = field(default=())
    """Those beside status, for discovery: name, kind, verbs."""

    @property
    def singular(self) -> str:
        """``secret``."""
        return self.kind.lower()

    @property
    def plural(self) -> str:
        """``secrets``."""
        return f"{self.singular[:-1]}ies" if self.singular.endswith("y") else f"{self.singular}s"

    @property
    def key(self) -> str:
        """``plural.group``, or ``plural`` in the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """``group/version``, or ``v1`` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def status_route(self) -> bool:
        """Whether ``/status`` is served."""
        return "status" in (self.fields or ())

    @property
    def custom(self) -> bool:
        """Whether a CustomResourceDefinition would define it, which knows no strategic merge patch."""
        return self.fields is not None

    def list_of(self, objects: list[Obj], revision: int) -> Obj:
        """The list document."""
        about = {"kind": f"{self.kind}List", "apiVersion": self.api_version}
        return {**about, "metadata": {"resourceVersion": str(revision)}, "items": objects}
