"""What the lab view asks for, whatever carries the question: a Jupyter comm or HTTP. JSON in, JSON out.

The browser's half of this contract is `labextension/src/view/contract.ts`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from labkit.app import Labs
from labkit.errors import LabkitError, NotFound
from labkit.model import LabStatus, MachineStatus, Principal, Progress

Json = dict[str, Any]


class View:
    """One principal's view of one lab."""

    def __init__(self, labs: Labs, principal: Principal, lab: str) -> None:
        self._labs, self._principal, self._lab = labs, principal, lab
        self._methods: Mapping[str, Callable[..., Json]] = {
            "view": self._view,
            "status": self._status,
            "tick": self._tick,
            "check": self._check,
            "events": self._events,
            "pane_link": self._pane_link,
        }

    def handle(self, method: str, params: Mapping[str, Any]) -> Json:
        """Answer one question. Raises LabkitError, whose text the view shows."""
        found = self._methods.get(method)
        if found is None:
            raise NotFound(f"the lab view cannot ask {method!r}")
        try:
            inspect.signature(found).bind(**params)
        except TypeError as error:
            raise LabkitError(f"{method} was asked with the wrong parameters") from error
        return found(**params)

    def media(self, path: str) -> bytes:
        """A file of the template's media folder. Raises NotFound."""
        return self._labs.media(self._principal, self._lab, path)

    def _view(self) -> Json:
        credentials = self._labs.credentials(self._principal, self._lab)
        model = self._labs.instructions(self._principal, self._lab)
        return {
            **self._status(),
            "credentials": [asdict(credential) for credential in credentials],
            "instructions": model.to_json(),
        }

    def _status(self) -> Json:
        status = self._labs.status(self._principal, self._lab)
        return {"lab": _lab(status), "machines": [_machine(m) for m in status.machines], "progress": self._progress()}

    def _tick(self, step: str, done: bool) -> Json:
        self._labs.tick(self._principal, self._lab, step, done)
        return {"progress": self._progress()}

    def _check(self, step: str) -> Json:
        return {"operation": self._labs.check(self._principal, self._lab, step).id}

    def _events(self, operation: str, after: int = 0) -> Json:
        # The operation first: an event written between the two calls is then not missed by a last look.
        found = self._labs.operation(self._principal, operation)
        events = self._labs.events(self._principal, operation, after)
        return {
            "events": [asdict(event) for event in events],
            "operation": {"state": found.state.value, "error": found.error, "result": found.result},
            "progress": self._progress(),
        }

    def _pane_link(self, machine: str, pane: str) -> Json:
        link = self._labs.pane_link(self._principal, self._lab, machine, pane)
        return {"path": link.path, "ticket": link.ticket, "expires": link.expires}

    def _progress(self) -> Json:
        progress = self._labs.progress(self._principal, self._lab)
        steps = self._labs.instructions(self._principal, self._lab).steps
        return progress_json(progress, {step.id: step.points for step in steps})


def progress_json(progress: Progress, points: Mapping[str, float]) -> Json:
    """Ticks and results, and the points of the ticked steps against all there are."""
    return {
        "ticks": sorted(progress.ticks),
        "results": {
            step: {
                "verdict": result.verdict.value,
                "feedback": result.feedback,
                "time": result.time,
                "score": progress.scores.get(step, 0.0),
            }
            for step, result in progress.results.items()
        },
        "points": sum(value * _share(progress, step) for step, value in points.items()),
        "max_points": sum(points.values()),
    }


def _share(progress: Progress, step: str) -> float:
    """The part of a step's points that was reached: its best score, or, where it has no check, its tick."""
    return progress.scores.get(step, float(step in progress.ticks))


def _lab(status: LabStatus) -> Json:
    return {
        "id": status.id,
        "template": status.template,
        "title": status.title,
        "state": status.state.value,
        "detail": status.detail,
        "created": status.created,
        "ended": status.ended,
    }


def _machine(machine: MachineStatus) -> Json:
    return {
        "name": machine.name,
        "state": machine.state.value,
        "detail": machine.detail,
        "address": machine.address,
        "panes": [{"name": pane.name, "type": pane.type.value, "title": pane.title} for pane in machine.panes],
    }
