"""A lab of which only the pages are there: what `labkit preview` shows without machines."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from labkit.app import Labs, local_principal
from labkit.cluster.client import Cluster
from labkit.errors import Conflict
from labkit.model import Credential, LabState, LabStatus, MachineState, MachineStatus, Operation, PaneLink, Principal
from labkit.orchestrator.learning import Learning
from labkit.orchestrator.template_source import TemplateSource
from labkit.orchestrator.work import Surroundings
from labkit.store import SqliteStore
from labkit.view import View

NO_MACHINES = "this preview has no machines; `labkit preview --machines` starts them"


class PaperLabs(Learning):
    """The calls of `Labs` that a view makes, where no machine runs."""

    def status(self, principal: Principal, lab: str) -> LabStatus:
        row = self._row(principal, lab)
        template = self._template(row)
        machines = tuple(
            MachineStatus(machine.name, MachineState.STOPPED, tuple(machine.panes), type=machine.type)
            for machine in template.machines
        )
        return LabStatus(
            row.id, template.name, template.title, LabState.RUNNING, row.created, row.work, row.learner, machines
        )

    def credentials(self, principal: Principal, lab: str) -> list[Credential]:
        return []

    def pane_link(self, principal: Principal, lab: str, machine: str, pane: str) -> PaneLink:
        raise Conflict(NO_MACHINES)

    def check(self, principal: Principal, lab: str, step: str) -> Operation:
        raise Conflict(NO_MACHINES)

    poll = collect = upload = check


@contextmanager
def paper_view(folder: Path) -> Iterator[View]:
    """The view of the template in `folder`, read anew at each question; what is ticked is forgotten at its end."""
    principal = local_principal()
    with tempfile.TemporaryDirectory(prefix="labkit-preview-") as kept:
        store = SqliteStore(Path(kept) / "labkit.db")
        try:
            nothing = cast(Cluster, None)  # `PaperLabs` asks no cluster
            labs = PaperLabs(Surroundings(store, nothing, TemplateSource(folder.parent), b"", 1.0))
            work = store.work(store.learner(principal), "preview", str(folder))
            row, _ = store.begin_lab(work, template=str(folder), digest="")
            yield View(cast(Labs, labs), principal, row.id)
        finally:
            store.close()
