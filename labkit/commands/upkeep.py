"""Commands that keep an installation in order: backup, learners, audit; and the controller."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from labkit import app
from labkit.commands.output import as_json, print_json, print_table
from labkit.errors import Conflict, NotFound
from labkit.settings import load
from labkit.store import AuditRow, LearnerRow
from labkit.supervisor import IDLE_EXIT

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def _clock(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


@click.group(invoke_without_command=True)
@click.option("--exit-with-parent", is_flag=True, help="End when standard input does.")
@click.option("--stay", is_flag=True, help="Do not end when no lab has run for a while.")
@click.option("--attest", is_flag=True, help="Attest results: learners have no access to this installation's files.")
@click.pass_context
def controller(context: click.Context, exit_with_parent: bool, stay: bool, attest: bool) -> None:
    """Do queued operations and keep labs and cluster in step. The supervisor runs it; on a cluster, you do."""
    if context.invoked_subcommand:
        return
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    settings = load()
    found = app.controller(settings, stay=stay, attest=attest)
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: found.stop())
    if exit_with_parent:
        threading.Thread(target=_when_input_ends, args=(found.stop,), daemon=True).start()
    if found.run(settings.state_dir / "controller.lock"):
        sys.exit(IDLE_EXIT)


def _when_input_ends(then: Callable[[], None]) -> None:
    # Not sys.stdin: a thread that waits in it holds a lock which the interpreter wants at its own end.
    while os.read(0, 4096):
        pass
    then()


@controller.command(name="status")
@as_json
def controller_status(as_json: bool) -> None:
    """Show whether retiring labs waits for a person. Exit status 1 where it does."""
    with app.store(load()) as store:
        hold = store.hold()
    if as_json:
        print_json(hold)
    elif hold is None:
        click.echo("Nothing waits for approval.")
    else:
        click.echo(f"{hold.reason}, since {_clock(hold.since)}.")
        print_table(("LAB", "WHY"), sorted(hold.labs.items()), empty="No lab would be retired so far.")
        click.echo("Being done." if hold.approved else "`labkit controller approve` lets them be retired.")
    sys.exit(1 if hold and not hold.approved else 0)


@controller.command()
@yes_option
def approve(yes: bool) -> None:
    """Let the labs be retired that `labkit controller status` shows: their machines and disks go."""
    with app.store(load()) as store:
        hold = store.hold()
        if hold is None:
            raise Conflict("nothing waits for approval")
        print_table(("LAB", "WHY"), sorted(hold.labs.items()), empty="No lab would be retired so far.")
        if not yes:
            click.confirm(f"{hold.reason}. Go on, and retire {len(hold.labs)} labs?", abort=True)
        store.approve(hold.labs)
    click.echo("Approved: the controller goes on within seconds.")


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@as_json
def backup(file: Path | None, as_json: bool) -> None:
    """Write a verified copy of the database to FILE (default: in the state folder), also while labs run."""
    written = app.backup(load(), file)
    print_json({"file": str(written)}) if as_json else click.echo(f"Written and verified: {written}")


def put_back(file: Path, *, yes: bool, as_json: bool) -> None:
    """Put a backup in the database's place."""
    if not file.is_file():
        raise NotFound(f"there is no backup {file}; to bring back a lab's disks, name its snapshot, too")
    if not yes:
        click.confirm("What was done since that backup will be unknown. Go on?", abort=True, err=True)
    kept = app.restore(load(), file)
    if as_json:
        print_json({"replaced": str(kept) if kept else None})
        return
    click.echo(f"Restored.{f' The database before is {kept}.' if kept else ''}")
    click.echo("No lab is retired until `labkit controller approve`; `labkit controller status` shows which would be.")


@click.group()
def learners() -> None:
    """What is stored of learners: list it, hand it out, erase it."""


def find_learner(rows: Sequence[LearnerRow], wanted: str) -> LearnerRow:
    """A learner by id, identity (REALM:SUBJECT), or a name that only one has."""
    for row in rows:
        if wanted == row.id or wanted in {f"{realm}:{subject}" for realm, subject in row.identities}:
            return row
    named = [row for row in rows if row.name == wanted]
    if len(named) != 1:
        raise NotFound(f"{len(named)} learners are called {wanted!r}; `labkit learners list` shows ids")
    return named[0]


@learners.command(name="list")
@as_json
def list_learners(as_json: bool) -> None:
    """List learners, the identities that lead to them, and how many works they have."""
    with app.store(load()) as store:
        found = store.learners()
    if as_json:
        print_json(found)
        return
    rows = [
        (row.id, row.name, ", ".join(f"{realm}:{subject}" for realm, subject in row.identities), str(row.works))
        for row in found
    ]
    print_table(("LEARNER", "NAME", "IDENTITIES", "WORKS"), rows, empty="No learners.")


@learners.command()
@click.argument("learner")
def export(learner: str) -> None:
    """Print all that is stored of LEARNER (an id, REALM:SUBJECT, or a name) as JSON."""
    with app.store(load()) as store:
        click.echo(json.dumps(store.export(find_learner(store.learners(), learner).id), indent=2))


@learners.command()
@click.argument("learner")
@click.option("--stop", is_flag=True, help="End the learner's labs first.")
@yes_option
def forget(learner: str, stop: bool, yes: bool) -> None:
    """Erase all that is stored of LEARNER: ticks, results and grades too. Refused while labs run."""
    settings = load()
    with app.store(settings) as store:
        found = find_learner(store.learners(), learner)
        if not yes:
            click.confirm(f"Erase {found.name or found.id} and {found.works} works for ever?", abort=True)
        if stop and found.labs:
            app.end_labs(settings, found.labs, progress=lambda text: click.echo(text, err=True))
        store.forget(found.id)
    click.echo(f"Forgotten: {found.id}.")
    copies = app.copies(settings)
    if copies:
        click.echo(f"Copies of the database still know it: {', '.join(map(str, copies))}")


@click.command()
@click.argument("about", required=False)
@click.option("--last", type=click.IntRange(min=1), default=50, help="How many entries.", show_default=True)
@as_json
def audit(about: str | None, last: int, as_json: bool) -> None:
    """Show who did what, when, to what: all, or what concerns ABOUT (a learner's id or name, a lab)."""
    with app.store(load()) as store:
        found = store.audit_log(last=last, about=about)
    if as_json:
        print_json(found)
        return
    rows = [(_clock(row.time), _who(row), row.action, row.target, row.outcome) for row in reversed(found)]
    print_table(("TIME", "WHO", "WHAT", "ON", "OUTCOME"), rows, empty="Nothing was done yet.")


def _who(row: AuditRow) -> str:
    return f"{row.name} ({row.actor})" if row.name else row.actor
