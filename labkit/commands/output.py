"""How commands print: tables for people, JSON for programs, the progress of an operation on standard error."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from labkit.app import Labs, follow
from labkit.errors import LabkitError
from labkit.model import Operation, OperationState, Principal
from labkit.settings import Settings

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(value: object, *, indent: int | None = 2) -> None:
    """Print a value, or a list of values, as JSON."""
    click.echo(json.dumps(value, indent=indent, default=_plain))


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, empty: str) -> None:
    """Print rows under headings, or one sentence where there are none."""
    if not rows:
        click.echo(empty)
        return
    table = Table(*headings, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))  # as it is: brackets in it are no markup
    Console().print(table)


def printable(text: str) -> str:
    """`text` with nothing in it that a terminal would obey: learners and machines have written it."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def ago(then: float) -> str:
    """How long ago a time was, in its largest unit: 40s, 5m, 3h, 2d."""
    return _span(time.time() - then)


def until(then: float | None) -> str:
    """How long it is until a time, like `ago`; nothing for no time."""
    return "" if then is None else _span(then - time.time())


def _span(length: float) -> str:
    seconds = max(0, int(length))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def watch(labs: Labs, principal: Principal, operation: Operation, settings: Settings, *, quiet: bool) -> Operation:
    """Draw an operation's progress until its end. Raises LabkitError with its error where it failed."""
    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Waiting for the controller", total=1.0)
        for event in follow(labs, principal, operation, settings):
            progress.update(task, description=event.text, completed=event.progress)
    done = labs.operation(principal, operation.id)
    if done.state is not OperationState.DONE:
        raise LabkitError(f"{operation.kind.value} of lab {operation.lab}: {done.error}")
    return done
