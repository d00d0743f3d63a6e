"""Commands on what runs behind the labs: `labkit engine …`."""

from __future__ import annotations

import sys

import click

from labkit import app, launcher
from labkit.cluster.client import chosen
from labkit.commands.output import as_json, print_json, print_table
from labkit.errors import SetupError
from labkit.settings import load


@click.group()
def engine() -> None:
    """The embedded engine, the controller and the gateway of this machine."""


@engine.command()
def up() -> None:
    """Start them where they do not run. Any labkit command does the same when it needs them."""
    launcher.ensure(load(), progress=lambda text: click.echo(text, err=True))
    click.echo("Engine, controller and gateway are running.")


@engine.command()
@click.option("--keep-labs", is_flag=True, help="Leave labs as they are: their machines go on running.")
def down(keep_labs: bool) -> None:
    """End labs, then engine, controller and gateway."""
    settings = load()
    if launcher.status(settings) is None:
        click.echo("Nothing is running.")
        return
    try:
        if not keep_labs:
            app.stop_labs(settings, progress=lambda text: click.echo(text, err=True))
    finally:
        launcher.stop(settings)
    click.echo(
        "Stopped." + (" Machines of running labs go on; `labkit engine up` finds them again." if keep_labs else "")
    )


@engine.command(name="status")
@as_json
def engine_status(as_json: bool) -> None:
    """Show what runs. Exit status 1 where nothing does."""
    settings = load()
    found = launcher.status(settings)
    if as_json:
        print_json(found)
    elif found is None:
        click.echo("Nothing is running. Start it with `labkit engine up`, or just start a lab.")
    else:
        click.echo(f"Supervisor {found['version']}, process {found['pid']}")
        rows = [
            (
                child["name"],
                str(child["pid"] or "-"),
                "ready" if child["ready"] else "not ready",
                str(child["restarts"]),
            )
            for child in found["children"]
        ]
        print_table(("PART", "PROCESS", "STATE", "RESTARTS"), rows, empty="")
    sys.exit(0 if found else 1)


@engine.command()
@click.option("--path", "only_path", is_flag=True, help="Print the file's path, not its contents.")
def kubeconfig(only_path: bool) -> None:
    """Print the kubeconfig of the embedded engine, for kubectl: it holds the engine's token.

    kubectl --kubeconfig "$(labkit engine kubeconfig --path)" get vms,vmis --all-namespaces
    """
    settings = load()
    launcher.ensure(settings)
    if chosen(settings) != settings.engine_kubeconfig:
        raise SetupError(f"there is no embedded engine: labkit uses {settings.kubeconfig or 'the cluster of this pod'}")
    path = settings.engine_kubeconfig
    click.echo(str(path) if only_path else path.read_text(), nl=only_path)
