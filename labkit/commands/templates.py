"""`labkit lint`, `labkit new` and `labkit templates`: folders and the template store; they need no engine."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from labkit import settings
from labkit.errors import Fault, Invalid

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@click.command()
@click.argument("folder")
@click.option("--policy", type=click.Path(path_type=Path, dir_okay=False), help="Also judge it by this policy.")
@as_json
def lint(folder: str, policy: Path | None, as_json: bool) -> None:
    """Name every fault of the template in FOLDER (a path, or a template's name), with file and line.

    Where there is none, what the policy refuses, and hints on what works and hurts all the same. Ends with status 1
    where there is a fault.
    """
    from labkit import linting
    from labkit.templates import find

    known = settings.load()
    found = find(folder, known.templates_dir)
    faults, hints = linting.lint(found), linting.hints(found)
    if policy is not None and not faults:
        from labkit.app import refused

        faults = tuple(Fault("lab.yaml", 0, text) for text in refused(known, found, policy))
    shown = Path(folder) if Path(folder).is_dir() else found
    if as_json:
        rows = {
            key: [{"file": str(shown / fault.file), "line": fault.line, "text": fault.text} for fault in those]
            for key, those in (("faults", faults), ("hints", hints))
        }
        click.echo(json.dumps({"template": found.name, **rows}, indent=2, ensure_ascii=False))
    for fault in () if as_json else faults:
        click.echo(f"{shown}/{fault}")
    for hint in () if as_json or faults else hints:
        click.echo(f"{shown}/{hint} (hint)")
    if faults:
        click.echo(f"{found.name}: {len(faults)} {'fault' if len(faults) == 1 else 'faults'}", err=True)
        raise SystemExit(1)
    if not as_json:
        click.echo(f"{found.name}: no faults")


@click.command()
@click.argument("folder")
@click.option("--from", "source", metavar="TEMPLATE", help="Begin with a copy of this one (a name, or a path).")
def new(folder: str, source: str | None) -> None:
    """Make a new template in FOLDER, named as the folder is: a small lab that works, to be changed."""
    from labkit.library import begin
    from labkit.templates import find

    made = begin(Path(folder), find(source, settings.load().templates_dir) if source else None)
    click.echo(f"Made {made}. Next: labkit lint {made}, labkit start ./{made}")


@click.group()
def templates() -> None:
    """The labs that can be started here."""


@templates.command("list")
@as_json
def list_templates(as_json: bool) -> None:
    """List all templates that have a name here."""
    from labkit.templates import available

    chosen = settings.load()
    if chosen.url:
        _list_offers(chosen, as_json=as_json)
        return
    found = available(chosen.templates_dir)
    if as_json:
        rows = [{**vars(row), "folder": str(row.folder)} for row in found]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    width = max(len(row.name) for row in found)
    for row in found:
        click.echo(f"{row.name:{width}}  {row.source:7}  {row.title or row.problem}")


def _list_offers(chosen: settings.Settings, *, as_json: bool) -> None:
    """What a service offers."""
    from labkit import app
    from labkit.commands.output import print_json, print_table

    offers = app.open_labs(chosen).templates(app.local_principal())
    if as_json:
        print_json(offers)
    else:
        print_table(("TEMPLATE", "TITLE"), [(each.name, each.title) for each in offers], empty="No templates.")


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
    click.echo(f"Version: {row['digest'][:12]}")
    for machine in row["machines"]:
        memory = (machine["memory_bytes"] or 0) // (1 << 20)
        size = machine["instancetype"] or f"{machine['cpu']:g} cpu, {memory} MiB"
        panes = ", ".join(machine["panes"]) or "none"
        click.echo(f"Machine {machine['name']} ({machine['type']}): {machine['image']}, {size}; panes: {panes}")
    for step in row["steps"]:
        click.echo(
            f"Step {step['id']}: {step['title']}{' (checked)' if step['check'] else ''}, {step['points']} points"
        )


@templates.command("add")
@click.argument("source")
@click.option("--ref", help="A branch, a tag or a commit of a Git repository.")
@click.option("--path", help="The folder in SOURCE to look in; without it, all labs up to two folders down.")
@click.option("--replace", is_flag=True, help="Take the place of a template of the same name.")
@as_json
def add_template(source: str, ref: str | None, path: str | None, replace: bool, as_json: bool) -> None:
    """Add the templates in SOURCE: a folder, an archive (zip, tar), or a Git repository (https://, ssh://, file://).

    Running labs keep the version that they were started with. Ticks and results stay with the steps of the same id.
    """
    from labkit.app import contents_in_use
    from labkit.library import add, fetched, prune

    known = settings.load()
    with fetched(source, ref=ref, path=path) as folders:
        added = [add(folder, known.templates_dir, replace=replace) for folder in folders]
    prune(known.templates_dir, contents_in_use(known))
    if as_json:
        click.echo(json.dumps([asdict(one) for one in added], indent=2, ensure_ascii=False))
        return
    for one in added:
        click.echo(f"{one.name}: {one.title} (version {one.digest[:12]})")
        for word, steps in vars(one.steps).items() if one.steps else ():
            if steps:
                click.echo(f"  steps {word}: {', '.join(steps)}")


@templates.command("remove")
@click.argument("name")
def remove_template(name: str) -> None:
    """Remove the template NAME, unless a lab of it runs. What learners have done of it stays."""
    from labkit.app import contents_in_use, labs_in_use
    from labkit.library import prune, remove

    known = settings.load()
    remove(name, known.templates_dir, labs={lab.id for lab in labs_in_use(known) if lab.template == name})
    prune(known.templates_dir, contents_in_use(known))
    click.echo(f"{name} is removed")


@templates.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of lab.yaml, for editors that complete and check while one types."""
    from labkit.templates import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


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
            "instancetype": machine.instancetype,
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
