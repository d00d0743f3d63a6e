"""A lab as an object in a notebook: `lab = labkit.start("hello-lab")`, `lab.stop()`, `labkit.labs()`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from IPython.display import display

from labkit.app import startable
from labkit.errors import Conflict, LabkitError, NotFound
from labkit.instructions import PageModel
from labkit.jupyter.machines import Machines
from labkit.jupyter.session import labs as labs_of
from labkit.jupyter.session import principal, watch
from labkit.jupyter.shown import Checked, Progress, Shown, Table, span
from labkit.jupyter.widgets import LabView
from labkit.model import LabStatus, Operation
from labkit.settings import load
from labkit.view import View
from labkit.wording import did_you_mean


class Lab:
    """One running lab. As the last value of a cell it is drawn as the lab view: instructions beside machines.

    | | |
    |---|---|
    | ``lab.machines["web"].run("ip a")`` | a command in a machine, shown while it runs |
    | ``lab.machines["web"].terminal()`` | a pane in this cell; also ``vnc()``, ``open("site")``, ``screenshot()`` |
    | ``lab.machines["web"].files`` | list, get, put, read_text, write_text |
    | ``lab.check("fetch")``, ``lab.progress`` | how far you are |
    | ``lab.show()`` | the lab view, side by side or ``layout="stacked"`` |
    | ``lab.pause()``, ``lab.resume()``, ``lab.reset()`` | all machines |
    | ``lab.extend(60)``, ``lab.stop()`` | a later end, or the end |

    In ``with labkit.start("hello-lab") as lab:`` the lab ends with the block.
    """

    def __init__(self, lab: str) -> None:
        self.id = lab
        self._view: LabView | None = None

    @property
    def status(self) -> LabStatus:
        """The lab and its machines at this moment."""
        return labs_of().status(principal(), self.id)

    @property
    def machines(self) -> Machines:
        """The machines by name."""
        return Machines(lambda: self.status, self._part)

    @property
    def view(self) -> LabView:
        """The lab view: a widget with instructions and panes."""
        if self._view is None:
            self._view = self._part({})
        return self._view

    def show(self, layout: str = "side by side") -> LabView:
        """The lab view once more: instructions and machines "side by side", or "stacked"."""
        if layout not in ("side by side", "stacked"):
            raise LabkitError(f"a lab is shown 'side by side' or 'stacked', not {layout!r}")
        return self._part({"layout": layout})

    @property
    def progress(self) -> Progress:
        """What is done, step by step, and the points."""
        return Progress(labs_of().progress(principal(), self.id), self._pages())

    def check(self, step: str) -> Checked:
        """Run the check of a step, and wait for its verdict: passed, not_yet or error, and why."""
        known = self._ipython_steps_()
        if step not in known:
            raise NotFound(f"lab {self.id} has no step {step!r}{did_you_mean(step, known)}")
        done, _ = watch(labs_of().check(principal(), self.id, step), f"Checking {step}")
        self.view.changed()
        result: Mapping[str, Any] = done.result or {}
        return Checked(step, str(result["verdict"]), str(result["feedback"]), float(result.get("points") or 0))

    def step(self, step: str) -> LabView:
        """One step of the instructions in this cell: its text, its tick, its check."""
        known = self._ipython_steps_()
        if step not in known:
            raise NotFound(f"lab {self.id} has no step {step!r}{did_you_mean(step, known)}")
        return self._part({"step": step})

    def wait(self) -> Lab:
        """Wait until the lab's start has ended, with its progress shown; the lab. Raises LabkitError."""
        for operation in labs_of().operations(principal(), self.id):
            if operation.kind.value == "start" and not operation.state.final:
                watch(operation, f"Starting {self.status.title}")
        return self

    def stop(self) -> None:
        """End the lab, and wait until nothing of it is left. Ticks and results stay."""
        if self.status.ended is None:
            self._do(labs_of().stop(principal(), self.id), "Ending")

    def pause(self, *, off: bool = False) -> None:
        """Freeze the lab's machines; with `off`, they take no memory (on a cluster: where no disk is lost)."""
        self._do(labs_of().pause(principal(), self.id, off=off), "Pausing")

    def resume(self) -> None:
        """Let a paused lab go on."""
        self._do(labs_of().resume(principal(), self.id), "Resuming")

    def reset(self, machine: str | None = None) -> None:
        """Make the lab's machines, or one, anew: what was written to their disks is lost."""
        self._do(labs_of().reset(principal(), self.id, machine=machine), "Resetting")

    def snapshot(self, name: str | None = None, *, memory: bool = False) -> None:
        """Keep what the lab's lasting disks hold, as `name` (default: the time); with `memory`, its VMs as they are."""
        self._do(labs_of().snapshot(principal(), self.id, name, memory=memory), "Keeping")

    def restore(self, name: str) -> None:
        """Bring a snapshot back: what its machines' disks hold now is lost."""
        self._do(labs_of().restore(principal(), self.id, name), "Restoring")

    def extend(self, minutes: float = 60) -> None:
        """Put the lab's end off."""
        labs_of().extend(principal(), self.id, minutes * 60)

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        status = self.status
        return f"<labkit lab {status.id} ({status.title}): {status.state.value}>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.view._repr_mimebundle_(**options)

    def _do(self, operation: Operation, word: str) -> None:
        watch(operation, f"{word} {self.status.title}")

    def _pages(self) -> PageModel:
        return labs_of().instructions(principal(), self.id)

    def _ipython_steps_(self) -> list[str]:
        return [step.id for step in self._pages().steps]

    def _part(self, show: dict[str, str]) -> LabView:
        shown = next((f"; {what} {which}" for what, which in show.items() if what != "layout"), "")

        def plain() -> str:
            status = self.status
            how = (
                f'In a notebook, labkit.start("{status.template}") shows it' if status.ended is None else "It has ended"
            )
            return f"Lab {status.id} ({status.title}): {status.state.value}{shown}. {how}."

        return LabView(View(labs_of(), principal(), self.id), self.id, show, plain=plain)


class Labs(Shown):
    """Your labs, newest first: ``labkit.labs()[0]``, or by id. Shown, a table."""

    def __init__(self, found: list[LabStatus]) -> None:
        self._found = found

    def __getitem__(self, key: int | str) -> Lab:
        if isinstance(key, int):
            return Lab(self._found[key].id)
        if key not in self._ipython_key_completions_():
            raise NotFound(f"you have no lab {key!r}{did_you_mean(key, self._ipython_key_completions_())}")
        return Lab(key)

    def __iter__(self) -> Iterator[Lab]:
        return (Lab(status.id) for status in self._found)

    def __len__(self) -> int:
        return len(self._found)

    def _ipython_key_completions_(self) -> list[str]:
        return [status.id for status in self._found]

    def _table(self) -> Table:
        rows = [(one.id, one.title, one.state.value, span(one.ends), one.detail) for one in self._found]
        return Table(
            ("LAB", "TITLE", "STATE", "ENDS IN", ""), rows, empty='No labs. Start one: labkit.start("hello-lab")'
        )


def start(template: str, *, activity: str | None = None, wait: bool = True) -> Lab:
    """Start a lab, or find the one that runs: shows the stages of the start, then the lab.

    ``template`` is a name from ``labkit.templates()``, or a folder; ``activity`` is where it is assigned (default: the
    template itself). With ``wait=False`` the lab view is shown at once and fills as machines boot, while the kernel is
    free; ``lab.wait()`` waits then.

    An interrupted kernel does not stop the start: call it again to find the lab. Raises LabkitError.
    """
    found = labs_of()
    operation = found.start(principal(), template, activity=activity)
    lab = Lab(operation.lab)
    if wait:
        _, place = watch(operation, f"Starting {lab.status.title}")
        if place is not None:
            place.update(lab.view)  # type: ignore[no-untyped-call]
    else:
        display(lab.view)  # type: ignore[no-untyped-call]
    return lab


def labs(*, ended: bool = False) -> Labs:
    """Your labs, newest first (``labkit.labs()[0]``); with ``ended``, also those that have ended."""
    return Labs(labs_of().labs(principal(), ended=ended))


def current() -> Lab:
    """Your only running lab. Raises NotFound, Conflict where there are several."""
    found = labs()
    if not found:
        raise NotFound('you have no running lab; labkit.start("hello-lab") starts one')
    if len(found) > 1:
        raise Conflict(f"you have {len(found)} running labs; name one: {', '.join(found._ipython_key_completions_())}")
    return found[0]


def step(name: str, lab: Lab | None = None) -> LabView:
    """One step of a running lab in this cell: its text, its tick, its check. ``lab``: your only running one.

    So a notebook can be the instructions: a cell of text, then ``labkit.step("fetch")``.
    """
    return (lab or current()).step(name)


class Templates(Shown, Mapping[str, str]):
    """The templates that can be started here: titles by name. Tab completes names: ``labkit.templates()["<Tab>``."""

    def __init__(self) -> None:
        self._found = {one.name: one for one in startable(load())}

    def __getitem__(self, name: str) -> str:
        if name not in self._found:
            raise NotFound(f"there is no template {name!r}{did_you_mean(name, self._found)}")
        return self._found[name].title

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._found)

    def _table(self) -> Table:
        rows = [(one.name, one.title or one.problem, one.source) for one in self._found.values()]
        return Table(("TEMPLATE", "TITLE", "FROM"), rows, empty="No templates.")


def templates() -> Templates:
    """The templates that can be started here, by name."""
    return Templates()
