"""`labkit preview`: a template as learners see it, while it is being written."""

from __future__ import annotations

import asyncio
import signal
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labkit.commands.labs import redirect
from labkit.errors import SetupError
from labkit.settings import Settings, load

if TYPE_CHECKING:
    from labkit.preview.machines import Machines


@click.command()
@click.argument("folder")
@click.option("--machines", "with_machines", is_flag=True, help="Start the lab's machines too; they end with this.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port on 127.0.0.1; 0 takes any free one.")
@click.option("--print", "only_print", is_flag=True, help="Print the link; open no browser.")
def preview(folder: str, with_machines: bool, port: int, only_print: bool) -> None:
    """Show the template in FOLDER (a path, or a template's name) as learners see it.

    The page follows what is saved, and lists every fault with its file and line. Ctrl-C ends it. Who has the link can
    use the preview: it is for this computer, and for nobody else.
    """
    from labkit.preview.machines import Machines  # loaded when used: `labkit --help` needs none of it
    from labkit.templates import find

    settings = load()
    found = find(folder, settings.templates_dir)
    machines = Machines(settings, found, lambda text: click.echo(text, err=True)) if with_machines else None
    try:
        asyncio.run(_run(settings, found, port, machines, only_print=only_print))
    except OSError as error:
        raise SetupError(f"the preview cannot be served on port {port}: {error.strerror}") from error
    finally:
        if machines is not None:
            machines.end()


async def _run(settings: Settings, folder: Path, port: int, machines: Machines | None, *, only_print: bool) -> None:
    from labkit.preview import serve

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def told(url: str) -> None:
        click.echo(f"The preview of {folder.name} is at {url}\nCtrl-C ends it.")
        if not only_print:
            webbrowser.open(redirect(settings, url).as_uri())

    await serve(folder, port=port, machines=machines, told=told, stop=stop)
