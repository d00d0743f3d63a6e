"""A lab as an object in a notebook: `lab = labkit.start("hello-lab")`, `lab.stop()`, `labkit.labs()`."""

from __future__ import annotations

from functools import cache
from typing import Any

from IPython.display import DisplayHandle, display

from labkit import app
from labkit.errors import LabkitError
from labkit.jupyter.widgets import LabView, StartProgress
from labkit.model import LabStatus, Operation, OperationState
from labkit.settings import load
from labkit.view import View


@cache
def _opened() -> app.Labs:
    return app.open_labs(load())


def _labs() -> app.Labs:
    """`Labs`, with what is behind them awake."""
    found = _opened()
    app.wake(load())
    return found


class Lab:
    """One running lab. Shown as the last value of a cell, it is drawn as the lab view."""

    def __init__(self, lab: str) -> None:
        self.id = lab
        self._view: LabView | None = None

    @property
    def status(self) -> LabStatus:
        """The lab and its machines at this moment."""
        return _labs().status(app.local_principal(), self.id)

    @property
    def view(self) -> LabView:
        """The lab view: a widget with instructions and panes."""
        if self._view is None:
            self._view = LabView(View(_labs(), app.local_principal(), self.id))
        return self._view

    def stop(self) -> None:
        """End the lab, and wait until nothing of it is left. Ticks and results stay."""
        if self.status.ended is None:
            _watch(_labs().stop(app.local_principal(), self.id), f"Ending {self.status.title}")

    def pause(self, *, off: bool = False) -> None:
        """Freeze the lab's machines; with `off`, they take no memory (on a cluster: where no disk is lost)."""
        _watch(_labs().pause(app.local_principal(), self.id, off=off), f"Pausing {self.status.title}")

    def resume(self) -> None:
        """Let a paused lab go on."""
        _watch(_labs().resume(app.local_principal(), self.id), f"Resuming {self.status.title}")

    def reset(self, machine: str | None = None) -> None:
        """Make the lab's machines, or one, anew: what was written to their disks is lost."""
        _watch(_labs().reset(app.local_principal(), self.id, machine=machine), f"Resetting {self.status.title}")

    def snapshot(self, name: str | None = None, *, memory: bool = False) -> None:
        """Keep what the lab's lasting disks hold, as `name` (default: the time); with `memory`, its VMs as they are."""
        _watch(_labs().snapshot(app.local_principal(), self.id, name, memory=memory), f"Keeping {self.status.title}")

    def restore(self, name: str) -> None:
        """Bring a snapshot back: what its machines' disks hold now is lost."""
        _watch(_labs().restore(app.local_principal(), self.id, name), f"Restoring {self.status.title}")

    def extend(self, minutes: float = 60) -> None:
        """Put the lab's end off."""
        _labs().extend(app.local_principal(), self.id, minutes * 60)

    def __repr__(self) -> str:
        status = self.status
        return f"<labkit lab {status.id} ({status.title}): {status.state.value}>"

    def _ipython_display_(self) -> None:
        display(self.view)  # type: ignore[no-untyped-call]


def start(template: str) -> Lab:
    """Start a lab, or find the one that runs: shows the stages of the start, then the lab.

    An interrupted kernel does not stop the start: call it again to find the lab. Raises LabkitError.
    """
    labs, principal = _labs(), app.local_principal()
    operation = labs.start(principal, template)
    lab = Lab(operation.lab)
    place = _watch(operation, f"Starting {labs.status(principal, lab.id).title}")
    place.update(lab.view)  # type: ignore[no-untyped-call]
    return lab


def labs(*, ended: bool = False) -> list[Lab]:
    """Your labs, newest first; with `ended`, also those that have ended."""
    return [Lab(status.id) for status in _labs().labs(app.local_principal(), ended=ended)]


def _watch(operation: Operation, title: str) -> DisplayHandle:
    """Draw an operation's progress until its end; gives the place where it was drawn. Raises LabkitError."""
    found, principal = _labs(), app.local_principal()
    progress = StartProgress(title)
    place: DisplayHandle = display(progress, display_id=True)  # type: ignore[no-untyped-call]
    try:
        for event in app.follow(found, principal, operation, load()):
            progress.tell(event)
    except KeyboardInterrupt:
        progress.fail("Interrupted here; the work goes on behind the scenes. Run the cell again to see it.")
        raise
    done: Any = found.operation(principal, operation.id)
    if done.state is not OperationState.DONE:
        progress.fail(done.error)
        raise LabkitError(f"{operation.kind.value} of lab {operation.lab}: {done.error}")
    progress.done()
    return place
