"""`labkit serve`: everything of a service, on one port, until told to end."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from labkit import launcher, settings
from labkit.settings import Settings
from labkit.supervisor import Child

PORT = 8880


def _web(chosen: Settings) -> Child:
    return Child("web", (sys.executable, "-m", "lti_app.web_server"), str(chosen.web_socket))


def _outbox(chosen: Settings) -> Child:
    return Child("outbox", (sys.executable, "-m", "lti_app.outbox_worker"))


PROCESSES: tuple[Callable[[Settings], Child], ...] = (_web, _outbox)
"""What a service runs beside engine, controller and gateway, each a process that ends when its standard input does."""


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help=f"On 127.0.0.1; default: gateway_port, or {PORT}.")
def serve(port: int | None) -> None:
    """Run the service: web app, API, panes and all that works for them, on one port of this computer.

    A proxy in front of it (Caddy, nginx, a Hub's) gives it TLS and its name: the setting public_url. Ends on SIGTERM;
    machines go on.
    """
    chosen = settings.load()
    port = port or chosen.gateway_port or PORT
    click.echo(f"labkit serves on http://127.0.0.1:{port}/; its logs are in {chosen.logs_dir}")
    sys.exit(launcher.serve(chosen, port, [process(chosen) for process in PROCESSES]))
