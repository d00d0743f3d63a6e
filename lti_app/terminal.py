"""What the commands of `labkit lti` share: the store, one platform by its name, tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from labkit.app import store as open_store
from labkit.errors import NotFound
from labkit.settings import Settings, load
from labkit.store import Platform, SqliteStore

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@contextmanager
def opened() -> Iterator[tuple[Settings, SqliteStore]]:
    """The settings, and the store until the end of the block."""
    settings = load()
    with open_store(settings) as store:
        yield settings, store


def show(value: object, headings: Sequence[str], rows: Sequence[Sequence[str]], empty: str, *, as_json: bool) -> None:
    """Print a value as JSON, or rows under headings for people."""
    if as_json:
        click.echo(json.dumps(value, indent=2))
    elif not rows:
        click.echo(empty)
    else:
        table = Table(*headings, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))  # as it is: brackets in it are no markup
        Console().print(table)


def platform_called(store: SqliteStore, wanted: str) -> Platform:
    """A platform by its id, issuer or name, where that is one only. Raises NotFound."""
    found = [one for one in store.platforms() if wanted in (one.id, one.issuer, one.name)]
    if len(found) != 1:
        raise NotFound(f"{len(found)} platforms are called {wanted!r}; `labkit lti platforms list` shows ids")
    return found[0]
