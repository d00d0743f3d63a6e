"""Commands on what runs behind the labs: `labkit engine …`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from labkit import app, launcher
from labkit.cluster.client import chosen
from labkit.commands.output import ago, as_json, print_json, print_table
from labkit.errors import SetupError
from labkit.settings import Settings, load

_POLL_SECONDS = 0.5


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
    launcher.check_ours(settings)
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
        if chosen(settings) == settings.engine_kubeconfig:
            click.echo(_warmth(app.warm(settings)))
    sys.exit(0 if found else 1)


def _warmth(found: Mapping[str, Any]) -> str:
    """One line on warm starts."""
    if not found["on"]:
        return "Warm starts: off"
    size = sum(each["bytes"] for each in found["templates"]) / 2**20
    clones = sum(each["hits"] for each in found["templates"])
    spares = sum(not each["taken"] for each in found["spares"])
    return (
        f"Warm starts ({found['acceleration']}): {len(found['templates'])} templates, {size:.0f} MiB on disk, "
        f"{clones} clones, {spares} sets parked"
    )


@engine.command()
@as_json
def templates(as_json: bool) -> None:
    """List what machines are cloned from: templates that were booted once, and parked spares."""
    found = app.warm(_running())
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each["key"],
            ", ".join(Path(disk).parent.parent.name for disk in each["images"]),
            f"{each['memory']} MiB",
            f"{each['bytes'] / 2**20:.0f} MiB",
            f"{each['seconds']:.0f} s",
            str(each["hits"]),
            ago(each["used"]),
        )
        for each in found["templates"]
    ]
    headings = ("TEMPLATE", "IMAGES", "MEMORY", "ON DISK", "MADE IN", "CLONES", "USED")
    print_table(headings, rows, empty="No templates." if found["on"] else "Warm starts are off (setting `warm`).")
    for key in found["making"]:
        click.echo(f"{key} is being made, or waits for that.")
    for key, why in found["unfit"].items():
        click.echo(f"{key} cannot be one: {why}")
    for name, sets in Counter(each["set"] for each in found["spares"] if not each["taken"]).items():
        click.echo(f"Parked: {sets} of {name}")


@engine.command()
@click.argument("template")
@click.option("--spares", default=0, show_default=True, help="Labs to keep parked, until told otherwise.")
@click.option("--wait/--no-wait", default=True, help="Wait until everything is ready.")
def warm(template: str, spares: int, wait: bool) -> None:
    """Prepare a lab ahead of a class: its machines then start as clones, or are parked and only claimed."""
    settings = load()
    launcher.ensure(settings)
    while True:
        found = app.keep_warm(settings, template, spares)
        machines = found["machines"].values()
        parked = sum(not each["taken"] for each in found["spares"])
        fit = [each for each in machines if each["state"] != "unfit"]
        done = all(each["state"] == "ready" for each in fit) and (parked >= spares or not fit)
        if done or not wait:
            break
        time.sleep(_POLL_SECONDS)
    for name, each in found["machines"].items():
        click.echo(f"{name}: {each['state']}" + (f" ({each['why']})" if each["why"] else ""))
    if spares:
        click.echo(f"parked: {parked} of {spares}")


def _running() -> Settings:
    """The settings, once it is seen that an engine runs. Raises SetupError."""
    settings = load()
    if launcher.status(settings) is None:
        raise SetupError("nothing is running: start it with `labkit engine up`")
    return settings


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
