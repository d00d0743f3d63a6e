"""Commands on a lab's life: pause, resume, reset, snapshot, restore, extend, cancel, events, stop; and reservations.

What loses a disk says so and asks first; `--yes` answers beforehand.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import click

from labkit import app
from labkit.commands.labs import Session, lab_argument
from labkit.commands.output import as_json, print_json, print_table
from labkit.commands.upkeep import put_back, yes_option
from labkit.errors import NotFound
from labkit.model import Event, Operation, OperationKind
from labkit.templates.scalars import seconds


def duration(context: click.Context, option: click.Parameter, text: str) -> float:
    """A length of time such as 45m, 2h: seconds."""
    try:
        return float(seconds(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def moment(context: click.Context, option: click.Parameter, text: str | None) -> float | None:
    """A moment such as 2026-12-01T09:30 (local time, or with an offset): UTC seconds."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        raise click.BadParameter(f"{text!r} is no moment; write for example 2026-12-01T09:30") from None


def ask(what: str, *, yes: bool) -> None:
    """Say what will be lost, and ask whether to go on: without --yes, and without anybody to answer, it does not."""
    if yes:
        click.echo(what, err=True)
    else:
        click.confirm(f"{what} Go on?", abort=True, err=True)


@click.command()
@lab_argument
@yes_option
@as_json
def stop(lab: str, yes: bool, as_json: bool) -> None:
    """End a lab. Its machines and their disks go; ticks and results stay with your work."""
    session = Session()
    lab = session.find(lab)
    session.status(lab)
    losing = "The lab's machines go, and their disks and snapshots with them; ticks and results stay."
    ask(losing, yes=yes or not sys.stdin.isatty())
    _operate(session, lambda: session.labs.stop(session.principal, lab), as_json=as_json)


machine_option = click.option("--machine", help="Only this machine.")


@click.command()
@lab_argument
@click.option("--off", is_flag=True, help="Take no memory meanwhile: it is kept on the disk, or (on a cluster) lost.")
@machine_option
@as_json
def pause(lab: str, off: bool, machine: str | None, as_json: bool) -> None:
    """Freeze a lab's machines, or one; their memory stays in use. Containers go on.

    With --off, the embedded engine puts machines whose disks would be lost away with their memory; others are switched
    off. A cluster cannot keep memory: it refuses where a disk would be lost.
    """
    session = Session()
    lab = session.find(lab)
    _operate(session, lambda: session.labs.pause(session.principal, lab, off=off, machine=machine), as_json=as_json)


@click.command()
@lab_argument
@machine_option
@as_json
def resume(lab: str, machine: str | None, as_json: bool) -> None:
    """Let a paused lab go on, or one of its machines."""
    session = Session()
    lab = session.find(lab)
    _operate(session, lambda: session.labs.resume(session.principal, lab, machine=machine), as_json=as_json)


@click.command()
@lab_argument
@click.argument("machine", required=False)
@yes_option
@as_json
def reset(lab: str, machine: str | None, yes: bool, as_json: bool) -> None:
    """Make a lab's machines (or only MACHINE) anew: what was written to their disks is lost."""
    session = Session()
    lab = session.find(lab)
    ask(f"What was written to the disks of {machine or 'all its machines'} will be lost.", yes=yes)
    _operate(session, lambda: session.labs.reset(session.principal, lab, machine=machine), as_json=as_json)


@click.command()
@lab_argument
@click.argument("name", required=False)
@click.option("--memory", is_flag=True, help="Keep the VMs as they are, memory and all disks (embedded engine only).")
@click.option("--list", "only_list", is_flag=True, help="List the snapshots there are.")
@as_json
def snapshot(lab: str, name: str | None, memory: bool, only_list: bool, as_json: bool) -> None:
    """Keep what a lab's persistent disks hold, as snapshot NAME (default: the time)."""
    session = Session()
    lab = session.find(lab)
    if not only_list:
        done = session.watch(session.labs.snapshot(session.principal, lab, name, memory=memory), quiet=as_json)
        if as_json:
            print_json(done.result)
        else:
            click.echo(session.labs.events(session.principal, done.id)[-1].text)
        return
    found = session.labs.snapshots(session.principal, lab)
    if as_json:
        print_json(found)
        return
    kept = [("memory and disks" if one.memory else "disks") if one.ready else "not ready" for one in found]
    rows = [(one.name, one.created, ", ".join(one.machines), what) for one, what in zip(found, kept, strict=True)]
    print_table(("SNAPSHOT", "TAKEN", "MACHINES", "KEEPS"), rows, empty="No snapshots.")


@click.command()
@click.argument("what", metavar="LAB|BACKUP")
@click.argument("name", required=False, metavar="[SNAPSHOT]")
@yes_option
@as_json
def restore(what: str, name: str | None, yes: bool, as_json: bool) -> None:
    """Bring back what a LAB's SNAPSHOT keeps: what its machines' disks hold now is lost.

    Without SNAPSHOT, put the file BACKUP in the database's place. Nothing may run: `labkit engine down --keep-labs`.
    """
    if name is None:
        put_back(Path(what), yes=yes, as_json=as_json)
        return
    session = Session()
    lab = session.find(what)
    kept = next((one for one in session.labs.snapshots(session.principal, lab) if one.name == name), None)
    if kept is not None:  # else the restore is refused, and says which there are
        what = "What runs in them, and what their disks hold now," if kept.memory else "What their disks hold now"
        ask(f"{', '.join(kept.machines)}: {what} will be lost.", yes=yes)
    _operate(session, lambda: session.labs.restore(session.principal, lab, name), as_json=as_json)


@click.command()
@lab_argument
@click.argument("by", callback=duration, default="1h")
@as_json
def extend(lab: str, by: float, as_json: bool) -> None:
    """Put a lab's end off by a time (default: 1h)."""
    session = Session()
    lab = session.find(lab)
    _operate(session, lambda: session.labs.extend(session.principal, lab, by), as_json=as_json)


@click.command()
@click.argument("what", metavar="LAB|OPERATION")
@as_json
def cancel(what: str, as_json: bool) -> None:
    """End what is under way early: an operation by its id, or a lab's. A cancelled start takes its lab with it."""
    session = Session()
    cancelled = session.labs.cancel(session.principal, _operation(session, what))
    if as_json:
        print_json(cancelled)
    else:
        click.echo(f"The {cancelled.kind} of lab {cancelled.lab} is to end.")


def _operation(session: Session, what: str) -> str:
    """An operation by its id, or the one that is under way of a lab."""
    lab = session.find(what)
    try:
        status = session.status(lab)
    except NotFound:
        return what
    if status.operation is None:
        raise NotFound(f"nothing is under way in lab {lab}")
    return status.operation


@click.command()
@lab_argument
@click.option("--follow", is_flag=True, help="Go on until the lab has ended.")
@as_json
def events(lab: str, follow: bool, as_json: bool) -> None:
    """Show what happened to a lab, and what is happening. With --json, one object a line while following."""
    session = Session()
    lab = session.find(lab)
    after = 0
    while True:
        ended = session.status(lab).ended is not None
        found = session.labs.lab_events(session.principal, lab, after)
        kinds = {one.id: one.kind for one in session.labs.operations(session.principal, lab)}
        if as_json and not follow:
            print_json(found)
        for event in found if follow or not as_json else ():
            _print_event(event, kinds[event.operation], as_json=as_json)
        after = found[-1].seq if found else after
        if ended or not follow:
            return
        time.sleep(0.5)


def _print_event(event: Event, kind: OperationKind, *, as_json: bool) -> None:
    if as_json:
        print_json(event, indent=None)
    else:
        moment = datetime.fromtimestamp(event.time).strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"{moment}  {kind.value:8}  {event.text}")


@click.group()
def reservations() -> None:
    """Room and spares for a class or an exam."""


@reservations.command(name="add")
@click.argument("activity")
@click.option("--labs", type=click.IntRange(0), default=0, help="For how many labs to keep room.")
@click.option("--spares", type=click.IntRange(0), default=0, help="How many labs to keep ready without a learner.")
@click.option("--from", "begins", callback=moment, help="Default: now.")
@click.option("--until", "ends", callback=moment, help="Default: for ever.")
@as_json
def add(activity: str, labs: int, spares: int, begins: float | None, ends: float | None, as_json: bool) -> None:
    """Keep room for labs of ACTIVITY (where it is assigned; else a template), or spares, or both."""
    session = Session()
    begins = time.time() if begins is None else begins
    found = session.labs.reserve(session.principal, activity, begins=begins, ends=ends, labs=labs, spares=spares)
    if as_json:
        print_json(found)
    else:
        click.echo(f"Reservation {found.id}: {found.labs} labs and {found.spares} spares of {found.activity}.")


@reservations.command(name="list")
@as_json
def list_reservations(as_json: bool) -> None:
    """List reservations."""
    session = Session()
    found = session.labs.reservations(session.principal)
    if as_json:
        print_json(found)
        return
    rows = [
        (one.id, one.activity, str(one.labs), str(one.spares), _moment(one.begins), _moment(one.ends)) for one in found
    ]
    print_table(("RESERVATION", "ACTIVITY", "LABS", "SPARES", "FROM", "UNTIL"), rows, empty="No reservations.")


@reservations.command(name="remove")
@click.argument("reservation")
def remove(reservation: str) -> None:
    """Give a reservation's room back, and end its spares."""
    session = Session()
    session.labs.unreserve(session.principal, reservation)
    click.echo(f"Reservation {reservation} is removed.")


def _moment(when: float | None) -> str:
    return "" if when is None else datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M")


def _operate(session: Session, begin: Callable[[], Operation], *, as_json: bool) -> None:
    app.wake(session.settings)
    done = session.watch(begin(), quiet=as_json)
    found = session.status(done.lab)
    if as_json:
        print_json(found)
    else:
        click.echo(f"Lab {found.id} is {found.state.value}.")
