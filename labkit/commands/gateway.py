"""`labkit gateway`: the server of the pane pages."""

from __future__ import annotations

import logging
from pathlib import Path

import click

from labkit import settings as settings_module
from labkit.errors import SetupError


@click.command()
@click.option("--socket", type=click.Path(path_type=Path), help="Listen on this unix socket (default: labkit's own).")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen on 127.0.0.1 too; 0 takes any free port.")
@click.option("--web", type=click.Path(path_type=Path), help="Pass other paths to the web app on this unix socket.")
@click.option("--exit-with-parent", is_flag=True, help="End when standard input ends.")
def gateway(socket: Path | None, port: int | None, web: Path | None, exit_with_parent: bool) -> None:
    """Serve the machines' screens, consoles and terminals to browsers that hold a ticket.

    Without --port, the setting gateway_port decides: 0, its default, means no port.
    """
    from labkit.gateway import run  # loaded when used: `labkit --help` needs none of it

    settings = settings_module.load()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    chosen = port if port is not None else (settings.gateway_port or None)
    try:
        own = socket or settings.gateway_socket
        run(settings, socket=own, port=chosen, exit_with_parent=exit_with_parent, web=web)
    except SetupError as error:
        raise click.ClickException(str(error)) from error
