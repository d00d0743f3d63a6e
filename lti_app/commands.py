"""`labkit lti …`: learning platforms, links by which they register themselves, keys, grades on their way."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from labkit.app import store as open_store
from labkit.errors import NotFound
from labkit.settings import Settings, load
from labkit.store import Platform, PlatformState, RegistrationLink, SqliteStore, new_id
from lti_app.guards import hashed
from lti_app.lti import selftest
from lti_app.lti.calls import Calls
from lti_app.lti.embedding import Embedding
from lti_app.lti.keys import ToolKeys
from lti_app.lti.outbound import origin_of
from lti_app.lti.registration import addresses
from lti_app.services import own_origin

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_origins = click.option("--origin", "origins", multiple=True, help="One more address at which its services may be.")
_labs = click.option("--labs", "templates", multiple=True, help="Labs that it may use, as a pattern; default: all.")


@contextmanager
def _opened() -> Iterator[tuple[Settings, SqliteStore]]:
    settings = load()
    with open_store(settings) as store:
        yield settings, store


def _show(value: object, headings: Sequence[str], rows: Sequence[Sequence[str]], empty: str, *, as_json: bool) -> None:
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


def _found(store: SqliteStore, wanted: str) -> Platform:
    """A platform by its id, issuer or name, where that is one only. Raises NotFound."""
    found = [one for one in store.platforms() if wanted in (one.id, one.issuer, one.name)]
    if len(found) != 1:
        raise NotFound(f"{len(found)} platforms are called {wanted!r}; `labkit lti platforms list` shows ids")
    return found[0]


@click.group()
def lti() -> None:
    """Learning platforms (LTI 1.3): Moodle and others."""


@lti.group()
def platforms() -> None:
    """The platforms that may launch labs here."""


@platforms.command()
@click.argument("issuer")
@click.option("--client-id", required=True, help="What the platform calls this tool.")
@click.option("--deployment", "deployments", multiple=True, required=True, help="A deployment id; as often as needed.")
@click.option("--name", default="", help="What people call it; default: its host.")
@click.option("--auth-url", default="", help="Default: Moodle's.")
@click.option("--token-url", default="", help="Default: Moodle's.")
@click.option("--jwks-url", default="", help="Default: Moodle's.")
@_origins
@_labs
@as_json
def add(
    issuer: str,
    client_id: str,
    deployments: tuple[str, ...],
    name: str,
    auth_url: str,
    token_url: str,
    jwks_url: str,
    origins: tuple[str, ...],
    templates: tuple[str, ...],
    as_json: bool,
) -> None:
    """Register the platform ISSUER by hand (its address, as it names itself).

    First enter this tool there: `labkit lti addresses` shows what to type.
    """
    if not origin_of(issuer):
        raise click.BadParameter(
            f"{issuer!r} is not an address such as https://moodle.example.org", param_hint="ISSUER"
        )
    base = f"{issuer.rstrip('/')}/mod/lti"
    platform = Platform(
        id=new_id(),
        issuer=issuer,
        client_id=client_id,
        name=name or origin_of(issuer).partition("//")[2],
        auth_url=auth_url or f"{base}/auth.php",
        token_url=token_url or f"{base}/token.php",
        jwks_url=jwks_url or f"{base}/certs.php",
        deployments=deployments,
        origins=tuple(map(origin_of, origins)),
        templates=templates or ("*",),
        created=time.time(),
    )
    with _opened() as (_, store):
        store.add_platform(platform)
        store.audit("operator", "platform added", platform.id)
    if as_json:
        click.echo(json.dumps(asdict(platform), indent=2))
    else:
        click.echo(f"Added: {platform.id}. Try it: labkit lti platforms test {platform.id}")


@platforms.command(name="list")
@as_json
def list_platforms(as_json: bool) -> None:
    """List the platforms that are registered."""
    with _opened() as (_, store):
        found = store.platforms()
    rows = [(one.id, one.name, one.issuer, one.client_id, ", ".join(one.deployments), one.state.value) for one in found]
    headings = ("PLATFORM", "NAME", "ISSUER", "CLIENT", "DEPLOYMENTS", "STATE")
    _show([asdict(one) for one in found], headings, rows, "No platforms.", as_json=as_json)


@platforms.command()
@click.argument("platform")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(platform: str, yes: bool) -> None:
    """Forget PLATFORM and its courses. Learners and what they have done stay; nothing is sent any more."""
    with _opened() as (settings, store):
        found = _found(store, platform)
        if not yes:
            click.confirm(f"Remove {found.name} ({found.issuer}) and its courses?", abort=True, err=True)
        store.remove_platform(found.id)
        Embedding(settings, store).tell()
        store.audit("operator", "platform removed", found.id)
    click.echo(f"Removed: {found.id}.")


@platforms.command()
@click.argument("platform")
@click.argument("state", type=click.Choice(["on", "off"]))
def switch(platform: str, state: str) -> None:
    """Take launches from PLATFORM, or none for now."""
    with _opened() as (settings, store):
        found = _found(store, platform)
        store.set_platform(found.id, state=PlatformState.ACTIVE if state == "on" else PlatformState.OFF)
        Embedding(settings, store).tell()
    click.echo(f"{found.name} is {state}.")


@platforms.command()
@click.argument("platform")
@as_json
def test(platform: str, as_json: bool) -> None:
    """Try out what launches and grades need of PLATFORM. Exit status 1 where it lacks anything, which is named."""
    with _opened() as (settings, store):
        keys, private = ToolKeys(settings), settings.private_platforms
        calls = Calls(keys, private=private)
        found = list(
            selftest.findings(store, calls, keys, _found(store, platform), own_origin(settings), private=private)
        )
    rows = [("ok" if one.good else "missing", one.name, one.text) for one in found]
    _show([asdict(one) for one in found], ("", "WHAT", "WHY"), rows, "", as_json=as_json)
    sys.exit(0 if all(one.good for one in found) else 1)


@lti.command(name="addresses")
@as_json
def show_addresses(as_json: bool) -> None:
    """Show what to type into a platform's form for this tool."""
    found = addresses(own_origin(load()))
    _show(found, ("THERE", "TYPE"), list(found.items()), "", as_json=as_json)


@lti.command()
@click.argument("origin")
@click.option(
    "--hours", type=click.FloatRange(0.1, 24 * 30), default=24.0, show_default=True, help="How long it is good."
)
@click.option("--name", default="", help="What people call the platform.")
@_origins
@_labs
@as_json
def register_link(
    origin: str, hours: float, name: str, origins: tuple[str, ...], templates: tuple[str, ...], as_json: bool
) -> None:
    """Make a link by which the platform at ORIGIN (https://moodle.example.org) can register itself, once.

    Its administrator gives it to the platform as a tool's address (Moodle: Manage tools, "Add LTI Advantage").
    """
    where = origin_of(origin)
    if not where:
        raise click.BadParameter(
            f"{origin!r} is not an address such as https://moodle.example.org", param_hint="ORIGIN"
        )
    secret, until = secrets.token_urlsafe(32), time.time() + hours * 3600
    more = tuple(map(origin_of, origins))
    with _opened() as (settings, store):
        url = f"{own_origin(settings)}/lti/register/{secret}"
        store.add_registration_link(RegistrationLink(hashed(secret), where, name, until, more, templates or ("*",)))
        store.audit("operator", "registration link", where)
    click.echo(json.dumps({"url": url, "expires": until}, indent=2) if as_json else url)


@lti.group()
def keys() -> None:
    """The key that signs what is sent to platforms."""


@keys.command()
def rotate() -> None:
    """Replace the key. The one before stays published for a week, as platforms keep what they have fetched."""
    key = ToolKeys(load()).rotate()
    click.echo(f"Messages to platforms are signed with a new key, {key.kid}, from now on.")


@lti.command()
@click.option("--all", "everything", is_flag=True, help="Those that have arrived, too.")
@as_json
def grades(everything: bool, as_json: bool) -> None:
    """List grades that wait or were refused, and why."""
    with _opened() as (_, store):
        found = [row for row in store.all_grades() if everything or row.state in ("waiting", "refused")]
    rows = [
        (row.work, row.state, f"{row.given or 0:g}/{row.maximum:g}", str(row.attempts), row.reason) for row in found
    ]
    headings = ("WORK", "STATE", "POINTS", "TRIES", "WHY")
    _show([asdict(row) for row in found], headings, rows, "No grade waits.", as_json=as_json)
