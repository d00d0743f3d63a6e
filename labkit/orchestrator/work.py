"""An operation under way: its lab, what it works on, how it tells of itself, and how it is asked to end."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from labkit.cluster.client import Cluster
from labkit.errors import LabkitError, NotFound
from labkit.manifests import names
from labkit.manifests.lab import LabPlan, lab_objects
from labkit.manifests.scope import Object
from labkit.manifests.site import Site
from labkit.model import MachineState, MachineStatus, Operation
from labkit.orchestrator.access import Access
from labkit.orchestrator.lifetimes import Limits
from labkit.orchestrator.observe import container_status, machine_status
from labkit.orchestrator.permission import permit
from labkit.orchestrator.template_source import TemplateSource
from labkit.store import Store
from labkit.templates import Template, declared, values

Result = Mapping[str, Any] | None
"""What an operation leaves behind."""


_PROGRESS = 0.05
"""By how much an operation has to come on for that alone to be told."""


class Cancelled(LabkitError):
    """The operation was asked to end before its end."""


class Interrupted(LabkitError):
    """The operation is left as it stands in the store: the controller is ending, or it was put back into the queue."""


class Selects(Protocol):
    """Where objects are looked up: the cluster, or what watches have told of it."""

    def select(self, kind: str, namespace: str) -> list[Object]:
        """The objects of a kind in a namespace."""


@dataclass(frozen=True)
class Surroundings:
    """What every operation works on."""

    store: Store
    cluster: Cluster
    templates: TemplateSource
    terminal_key: bytes
    start_timeout: float
    limits: Limits = field(default_factory=Limits)
    policy: Path | None = None
    activity: Path | None = None
    """Where the gateway reports the panes' use."""
    site: Site = field(default_factory=Site)
    attested: bool = False
    """Whether a learner has no way to write results himself: not where he owns the process that does."""
    stopping: threading.Event = field(default_factory=threading.Event)
    watched: Selects | None = None
    """What the controller's watches tell; None in any other process."""


class Work:
    """One operation under way: its lab, its template, and how it tells of itself."""

    def __init__(self, around: Surroundings, operation: Operation) -> None:
        row = around.store.lab(operation.lab)
        if row is None:
            raise NotFound(f"there is no lab {operation.lab}")
        self.around, self.operation, self.row = around, operation, row
        self.namespace = names.namespace_of(row.id)
        self._last = ("", "", -1.0)
        self._sure: set[str] | None = None

    @property
    def template(self) -> Template:
        return self.around.templates.load(self.row.template, self.row.digest)

    def say(self, stage: str, text: str, progress: float) -> None:
        """Report a stage; the same one said twice is written once, and again as far as it has come on."""
        if (stage, text) != self._last[:2] or abs(progress - self._last[2]) >= _PROGRESS:
            self._last = (stage, text, progress)
            self.around.store.add_event(self.operation.id, stage, text, round(progress, 2))

    def stay(self) -> None:
        """Raises Interrupted where the controller is ending."""
        if self.around.stopping.is_set():
            raise Interrupted("the controller is ending")

    def go_on(self) -> None:
        """Raises Cancelled where the operation has been asked to end, Interrupted where the controller is ending."""
        self.stay()
        if self.around.store.cancelled(self.operation.id):
            raise Cancelled("it was cancelled")

    def machines(self) -> list[MachineStatus]:
        """The lab's machines as they are now."""
        return observe_machines(self.around.cluster, self.template, self.row.id)

    def seen(self) -> list[MachineStatus]:
        """The lab's machines without a request as long as they start: watches lag, so what is final is asked for."""
        watched = self.around.watched
        if watched is None:
            return self.machines()
        kinds = ("VirtualMachineInstance", "Pod")
        uids = {str(item["metadata"]["uid"]) for kind in kinds for item in watched.select(kind, self.namespace)}
        found = observe_machines(watched, self.template, self.row.id)
        states = {machine.state for machine in found}
        if MachineState.FAILED not in states and (MachineState.STARTING in states or uids == self._sure):
            return found
        found = self.machines()
        self._sure = uids if {machine.state for machine in found} == {MachineState.RUNNING} else None
        return found

    def objects(self, variables: Mapping[str, str] | None = None) -> list[Object]:
        """All that belongs into the lab's namespace, in order. Raises Conflict where nothing was drawn for it yet, and
        Forbidden where the operator's policy does not allow it."""
        template, access, site = self.template, self.access(), self.around.site
        machines = {machine.name: access.machine(machine, self.around.terminal_key) for machine in template.machines}
        known = self.declared() if variables is None else variables
        installation = self.around.store.installation()
        objects = lab_objects(LabPlan(installation, self.row.id, template, machines, site=site, variables=known))
        permit(self.around.policy, template, objects, site)
        return objects

    def declared(self, *, learner: str | None = None, seed: str | None = None) -> dict[str, str]:
        """The variables that are known before the start: of this lab's learner, or as if it were another's."""
        name, drawn = (self.row.learner_name, self.row.seed) if learner is None or seed is None else (learner, seed)
        return declared(self.template, learner=name, lab=self.row.id, seed=drawn)

    def variables(self, addresses: Mapping[str, str]) -> dict[str, str]:
        """The lab's variables, its machines' addresses among them."""
        row = self.row
        return values(self.template, learner=row.learner_name, lab=row.id, seed=row.seed, addresses=addresses)

    def access(self) -> Access:
        """The lab's drawn values."""
        return Access.from_secret(self.row.id, self.around.cluster.get("Secret", self.namespace, names.ACCESS_SECRET))


def observe_machines(cluster: Selects, template: Template, lab: str) -> list[MachineStatus]:
    """Every machine of the template, as the cluster has it."""
    where = names.namespace_of(lab)
    types = {machine.type for machine in template.machines}
    kinds = ["VirtualMachine", "VirtualMachineInstance"] * ("vm" in types) + ["Pod"] * ("container" in types)
    found = {(kind, item["metadata"]["name"]): item for kind in kinds for item in cluster.select(kind, where)}
    return [
        container_status(machine, found.get(("Pod", machine.name)))
        if machine.type == "container"
        else machine_status(machine, *(found.get((kind, machine.name)) for kind in kinds[:2]))
        for machine in template.machines
    ]
