"""Commands on labs: start, list, status, open, exec, check. What is done to running ones is in `life.py`."""

from __future__ import annotations

import html
import os
import shlex
import sys
import webbrowser
from pathlib import Path

import click

from labkit import app, launcher
from labkit.commands.output import ago, as_json, print_json, print_table, until, watch
from labkit.errors import Conflict, LabkitError, NotFound, SetupError
from labkit.folders import make_private
from labkit.model import Credential, LabStatus, MachineStatus, Operation, PaneLink, Principal
from labkit.settings import Settings, load

lab_argument = click.argument("lab", metavar="LAB")


class Session:
    """The settings, the principal and `Labs` of one command."""

    def __init__(self) -> None:
        self.settings: Settings = load()
        self.principal: Principal = app.local_principal()
        self.labs = app.open_labs(self.settings, progress=lambda text: click.echo(text, err=True))

    def find(self, lab: str) -> str:
        """A lab's id from its id, the beginning of one, or its template's name, where that names just one."""
        labs = self.labs.labs(self.principal, ended=True)
        if any(found.id == lab for found in labs):
            return lab
        alike = [
            found for found in labs if found.ended is None and (found.id.startswith(lab) or short_name(found) == lab)
        ]
        if len(alike) > 1:
            raise Conflict(f"{lab!r} names {len(alike)} labs: {', '.join(found.id for found in alike)}")
        return alike[0].id if alike else lab

    def watch(self, operation: Operation, *, quiet: bool = False) -> Operation:
        """Draw the operation's progress until its end."""
        return watch(self.labs, self.principal, operation, self.settings, quiet=quiet)

    def status(self, lab: str) -> LabStatus:
        return self.labs.status(self.principal, lab)


def short_name(lab: LabStatus) -> str:
    """A lab's template by its name, also where it was started from a folder."""
    return Path(lab.template).name


@click.command()
@click.argument("template")
@click.option("--no-wait", is_flag=True, help="Do not wait until the lab is ready.")
@as_json
def start(template: str, no_wait: bool, as_json: bool) -> None:
    """Start a lab of TEMPLATE (a name from `labkit templates list`, or a folder), or find your running one."""
    session = Session()
    operation = session.labs.start(session.principal, template)
    if no_wait:
        app.wake(session.settings)  # should the supervisor just have ended for want of work, it works now
    else:
        session.watch(operation, quiet=as_json)
    status = session.status(operation.lab)
    if as_json:
        print_json(status)
        return
    click.echo(f"Lab {status.id} ({status.title}) is {status.state.value}.")
    click.echo(f"`labkit open {status.id}` prints links to its panes, `labkit stop {status.id}` ends it.")
    click.echo("Its instructions are shown in a notebook, by the same start.")


@click.command(name="list")
@click.option("--all", "ended", is_flag=True, help="Also those that have ended.")
@as_json
def list_labs(ended: bool, as_json: bool) -> None:
    """List labs."""
    session = Session()
    labs = session.labs.labs(session.principal, ended=ended)
    if as_json:
        print_json(labs)
        return
    rows = [(lab.id, short_name(lab), lab.state.value, ago(lab.created), until(lab.ends), lab.detail) for lab in labs]
    print_table(
        ("LAB", "TEMPLATE", "STATE", "AGE", "ENDS IN", ""), rows, empty="No labs. Start one: labkit start hello-lab"
    )


@click.command()
@lab_argument
@as_json
def status(lab: str, as_json: bool) -> None:
    """Show a lab, its machines and how to sign in to them."""
    session = Session()
    lab = session.find(lab)
    found = session.status(lab)
    if as_json:
        print_json(found)
        return
    click.echo(f"Lab {found.id}: {found.title}")
    click.echo(" - ".join(filter(None, (f"State: {found.state.value}", found.detail, found.cause))))
    if found.ends is not None:
        click.echo(f"Ends in {until(found.ends)}, if nothing happens to it; `labkit extend {found.id}` puts that off")
    rows = [
        (m.name, m.state.value, m.address, ", ".join(pane.name for pane in m.panes), m.acceleration, said(m))
        for m in found.machines
    ]
    print_table(("MACHINE", "STATE", "ADDRESS", "PANES", "ACCELERATION", ""), rows, empty="No machines.")
    if found.machines:
        for credential in session.labs.credentials(session.principal, lab):
            click.echo(f"Sign in to {credential.machine} as {credential.user} {_means(lab, credential)}")


def _means(lab: str, credential: Credential) -> str:
    """What a sign-in takes: a password, a key, or either. A key is not for a screen."""
    key = f"with the key that `labkit save-key {lab} {credential.machine} {credential.user} FILE` writes"
    password = f"with password {credential.password}"
    return " or ".join([*[password] * bool(credential.password), *[key] * bool(credential.key)])


@click.command(name="save-key")
@lab_argument
@click.argument("machine")
@click.argument("user")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def save_key(lab: str, machine: str, user: str, file: Path) -> None:
    """Write the private SSH key that was generated for USER of MACHINE to the new FILE, which only you can read."""
    session = Session()
    lab = session.find(lab)
    found = [each for each in session.labs.credentials(session.principal, lab) if each.key]
    wanted = next((each.key for each in found if (each.machine, each.user) == (machine, user)), None)
    if wanted is None:
        known = ", ".join(f"{each.user} of {each.machine}" for each in found) or "nobody"
        raise NotFound(f"no key was generated for {user} of {machine} in lab {lab}; there is one for: {known}")
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(wanted)
    except OSError as error:
        raise LabkitError(f"{file} cannot be written: {error.strerror}") from error
    click.echo(f"Written. `ssh -i {file} {user}@ADDRESS` signs in from where {machine} can be reached.")


def said(machine: MachineStatus) -> str:
    """What is wrong with a machine, and why."""
    return f"{machine.detail} ({machine.cause})" if machine.cause else machine.detail


@click.command(name="open")
@lab_argument
@click.argument("machine", required=False)
@click.argument("pane", required=False)
@click.option("--print", "only_print", is_flag=True, help="Print the links; open no browser.")
@as_json
def open_lab(lab: str, machine: str | None, pane: str | None, only_print: bool, as_json: bool) -> None:
    """Open a pane of a lab in the browser, or print the links of all its panes.

    A link holds a ticket: who has it can use the pane for the next five minutes.
    """
    session = Session()
    lab = session.find(lab)
    links = [
        {
            "machine": m.name,
            "pane": p.name,
            "url": _url(session, session.labs.pane_link(session.principal, lab, m.name, p.name)),
        }
        for m in session.status(lab).machines
        for p in m.panes
        if machine in (None, m.name) and pane in (None, p.name)
    ]
    if not links:
        wanted = " ".join(word for word in (machine, pane) if word)
        raise LabkitError(f"lab {lab} has no pane {wanted!r}; `labkit status {lab}` lists its machines and panes")
    if as_json:
        print_json(links)
        return
    for link in links:
        click.echo(f"{link['machine']} {link['pane']}: {link['url']}")
    if not only_print and (len(links) == 1 or machine is not None):
        webbrowser.open(redirect(session.settings, links[0]["url"]).as_uri())


def redirect(settings: Settings, url: str) -> Path:
    """A page of this user's alone that leads to `url`: a browser's command line can be read by everybody."""
    page = make_private(settings.runtime_dir) / "open.html"
    page.unlink(missing_ok=True)
    with os.fdopen(os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(
            f'<!doctype html><meta http-equiv="refresh" content="0;url={html.escape(url)}"><title>labkit</title>'
        )
    return page


def _url(session: Session, link: PaneLink) -> str:
    """Where a pane is. A service says itself where browsers find it, or is where we find it."""
    root = link.root or session.settings.url
    return f"{root.rstrip('/')}/{link.fragment_url}" if root else _gateway(session.settings) + link.fragment_url


def _gateway(settings: Settings) -> str:
    if not (root := launcher.gateway_root(settings)):
        raise SetupError("the gateway does not run; start it with `labkit engine up`")
    return root


@click.command(name="exec", context_settings={"ignore_unknown_options": True})
@lab_argument
@click.argument("machine")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option("--timeout", default=60.0, show_default=True, help="Seconds after which to give up waiting.")
def execute(lab: str, machine: str, command: tuple[str, ...], timeout: float) -> None:
    """Run COMMAND as root in a machine: labkit exec LAB MACHINE -- uname -a"""
    session = Session()
    line = command[0] if len(command) == 1 else shlex.join(command)
    done = session.labs.execute(session.principal, session.find(lab), machine, line, timeout=timeout)
    click.echo(done.stdout, nl=False)
    click.echo(done.stderr, nl=False, err=True)
    if done.status is None:
        raise LabkitError(f"the command did not end within {timeout:.0f} s")
    sys.exit(done.status)


@click.command()
@lab_argument
@click.argument("step")
@as_json
def check(lab: str, step: str, as_json: bool) -> None:
    """Run the check of a step. Exit status 1 where it has not passed."""
    session = Session()
    done = session.watch(session.labs.check(session.principal, session.find(lab), step), quiet=as_json)
    result = dict(done.result or {})
    if as_json:
        print_json(result)
    else:
        click.echo(f"{str(result['verdict']).replace('_', ' ')}: {result['feedback']}")
    sys.exit(0 if result["verdict"] == "passed" else 1)
