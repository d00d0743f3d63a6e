"""Which lab an object belongs to, and the frame that every object of a lab has. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.manifests import names

Object = dict[str, Any]


@dataclass(frozen=True)
class Scope:
    """One lab of one installation."""

    installation: str
    lab: str

    @property
    def namespace(self) -> str:
        return names.namespace_of(self.lab)

    def labels(self, machine: str | None = None) -> dict[str, str]:
        """The labels of an object; with `machine`, those of what runs that machine."""
        return names.labels(self.installation, self.lab, machine)

    def object(self, version: str, kind: str, name: str, **body: Any) -> Object:
        """An object in the lab's namespace, labelled as the lab's."""
        metadata = {"name": name, "namespace": self.namespace, "labels": self.labels()}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}
