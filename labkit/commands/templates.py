"""`labkit lint` and `labkit templates`: they read folders and print; they need no engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from labkit import settings
from labkit.errors import Invalid

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@click.command()
@click.argument("folder")
@as_json
def lint(folder: str, as_json: bool) -> None:
    """Name every fault of the template in FOLDER (a path, or a template's name), with file and line.

    Ends with status 1 where there is a fault.
    """
    from labkit.linting import lint as faults_of
    from labkit.templates import find

    found = find(folder, settings.load().templates_dir)
    faults = faults_of(found)
    shown = Path(folder) if Path(folder).is_dir() else found
    if as_json:
        rows = [{"file": str(shown / fault.file), "line": fault.line, "text": fault.text} for fault in faults]
        click.echo(json.dumps({"template": found.name, "faults": rows}, indent=2, ensure_ascii=False))
    for fault in () if as_json else faults:
        click.echo(f"{shown}/{fault}")
    if faults:
        click.echo(f"{found.name}: {len(faults)} {'fault' if len(faults) == 1 else 'faults'}", err=True)
        raise SystemExit(1)
    if not as_json:
        click.echo(f"{found.name}: no faults")


@click.group()
def templates() -> None:
    """The labs that can be started here."""


@templates.command("list")
@as_json
def list_templates(as_json: bool) -> None:
    """List all templates that have a name here."""
    from labkit.templates import available

    found = available(settings.load().templates_dir)
    if as_json:
        rows = [{**vars(row), "folder": str(row.folder)} for row in found]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    width = max(len(row.name) for row in found)
    for row in found:
        click.echo(f"{row.name:{width}}  {row.source:7}  {row.title or row.problem}")


@templates.command("show")
@click.argument("template")
@as_json
def show_template(template: str, as_json: bool) -> None:
    """Show what TEMPLATE (a name, or a path) starts, and the steps in it."""
    from labkit.templates import find, load

    found = find(template, settings.load().templates_dir)
    try:
        row = _described(load(found))
    except Invalid as invalid:
        count = len(invalid.faults)
        raise click.ClickException(f"'{template}' has {count} faults; see 'labkit lint {template}'") from invalid
    if as_json:
        click.echo(json.dumps(row, indent=2, ensure_ascii=False))
        return
    click.echo(f"{row['title']} ({row['name']})")
    if row["description"]:
        click.echo(row["description"])
    click.echo(
        f"Takes: {row['duration_minutes'] or '?'} minutes    Points: {row['max_points']}    From: {row['folder']}"
    )
    for machine in row["machines"]:
        memory = machine["memory_bytes"] // (1 << 20)
        panes = ", ".join(machine["panes"]) or "none"
        click.echo(f"Machine {machine['name']}: {machine['image']}, {machine['cpu']} cpu, {memory} MiB; panes: {panes}")
    for step in row["steps"]:
        click.echo(
            f"Step {step['id']}: {step['title']}{' (checked)' if step['check'] else ''}, {step['points']} points"
        )


def _described(template: Any) -> dict[str, Any]:
    """A template as data: no passwords, no scripts."""
    from labkit.instructions import load_pages, render
    from labkit.templates import values

    names = values(template, learner="learner", lab="lab", seed="")
    model = render(load_pages(template.folder), variables=names, checks=template.checks, title=template.title)
    machines = [
        {
            "name": machine.name,
            "type": machine.type,
            "image": f"{machine.image.source}:{machine.image.reference}",
            "cpu": machine.cpu,
            "memory_bytes": machine.memory_bytes,
            "users": [user.name for user in machine.users],
            "panes": [pane.name for pane in machine.panes],
        }
        for machine in template.machines
    ]
    fields = ("name", "title", "description", "duration_minutes", "digest")
    return {
        **{name: getattr(template, name) for name in fields},
        "tags": list(template.tags),
        "folder": str(template.folder),
        "machines": machines,
        "pages": [{"id": page.id, "title": page.title, "minutes": page.minutes} for page in model.pages],
        "steps": [
            {"id": step.id, "title": step.title, "points": step.points, "check": step.check} for step in model.steps
        ],
        "max_points": model.max_points,
    }
