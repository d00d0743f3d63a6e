"""`labkit keys`: the keys that sign tickets."""

from __future__ import annotations

import click

from labkit.errors import SetupError
from labkit.orchestrator.keyring import Keyring
from labkit.settings import load


@click.group()
def keys() -> None:
    """The keys that sign tickets to panes."""


@keys.command()
def rotate() -> None:
    """Replace the key that signs tickets. Tickets that are out stay good until they expire, some minutes at most."""
    try:
        key = Keyring(load()).rotate()
    except SetupError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Tickets are signed with a new key, {key.kid}, from now on.")
