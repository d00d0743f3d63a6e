"""A lab of which only the text is real: a folder, the store, the rules of learning and the view; no machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from labkit.app import Labs
from labkit.errors import LabkitError
from labkit.model import (
    Credential,
    LabState,
    LabStatus,
    MachineState,
    MachineStatus,
    Pane,
    PaneLink,
    PaneType,
    Principal,
)
from labkit.orchestrator.marking import Marking
from labkit.orchestrator.template_source import TemplateSource
from labkit.orchestrator.work import Surroundings
from labkit.store import SqliteStore
from labkit.view import View

LAB = """
apiVersion: labkit/v1
kind: Lab
name: text
title: A lab of text
machines: [{name: box, type: vm, image: {bundled: tiny}, memory: 256Mi}]
variables: {flag: {value: 'LAB{1}'}}
"""


class TextLabs(Marking):
    """The calls of `Labs` that a view makes, on a lab whose machines are only said to run."""

    def status(self, principal: Principal, lab: str) -> LabStatus:
        row = self._row(principal, lab)
        panes = (Pane("terminal", PaneType.TERMINAL, "Terminal"),)
        machines = (MachineStatus("box", MachineState.RUNNING, panes),)
        title = self._template(row).title
        return LabStatus(row.id, "text", title, LabState.RUNNING, 0.0, row.work, row.learner, machines)

    def credentials(self, principal: Principal, lab: str) -> list[Credential]:
        return []

    def pane_link(self, principal: Principal, lab: str, machine: str, pane: str) -> PaneLink:
        return PaneLink(f"panes/{lab}/{machine}/{pane}/", "ticket", 2e9)


@dataclass
class TextLab:
    """One learner's lab of the pages in `pages`, in `folder`. `said` holds every answer that went to the browser."""

    folder: Path
    pages: Mapping[str, str]
    checks: tuple[str, ...] = ()
    learner: str = "Ada"
    media: tuple[str, ...] = ()
    said: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        template = self.folder / "text"
        files = {"lab.yaml": LAB, **{f"instructions/{name}": text for name, text in self.pages.items()}}
        files |= {f"checks/{step}/check-box": "#!/bin/sh\n" for step in self.checks}
        files |= {f"media/{name}": "<svg/>" for name in self.media}
        for name, text in files.items():
            (template / name).parent.mkdir(parents=True, exist_ok=True)
            (template / name).write_text(text)
        self.store = SqliteStore(self.folder / "labkit.db")
        self.principal = Principal("local", "ada", name=self.learner)
        around = Surroundings(self.store, cast(Any, None), TemplateSource(self.folder), b"", 1.0)
        self.labs = TextLabs(around)
        work = self.store.work(self.store.learner(self.principal), "text", str(template))
        row, _ = self.store.begin_lab(work, template=str(template), digest="d")
        self.id, self.work = row.id, row.work
        self.view = View(cast(Labs, self.labs), self.principal, self.id)

    def answer(self, method: str, params: Mapping[str, Any]) -> Any:
        """As the tests' site asks. Raises ValueError with one sentence where it is refused."""
        try:
            self.said.append(self.view.handle(method, params))
        except LabkitError as error:
            raise ValueError(str(error)) from None
        return self.said[-1]

    def close(self) -> None:
        """Close the store."""
        self.store.close()
