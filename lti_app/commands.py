"""`labkit lti …`: learning platforms, links by which they register themselves, keys, grades on their way."""

from __future__ import annotations

import json
import secrets
import sys
import time
from dataclasses import asdict

import click

from labkit.settings import load
from labkit.store import Platform, PlatformState, RegistrationLink, new_id
from lti_app.author_commands import authors, release
from lti_app.guards import hashed
from lti_app.lti import selftest
from lti_app.lti.calls import Calls
from lti_app.lti.embedding import Embedding
from lti_app.lti.keys import ToolKeys
from lti_app.lti.outbound import origin_of
from lti_app.lti.registration import addresses
from lti_app.services import own_origin
from lti_app.terminal import as_json, opened, platform_called, show

_origins = click.option("--origin", "origins", multiple=True, help="One more address at which its services may be.")
_labs = click.option("--labs", "templates", multiple=True, help="Labs that it may use, as a pattern; default: all.")


@click.group()
def lti() -> None:
    """Learning platforms (LTI 1.3): Moodle and others."""


lti.add_command(authors)
lti.add_command(release)


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
    with opened() as (_, store):
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
    with opened() as (_, store):
        found = store.platforms()
    rows = [(one.id, one.name, one.issuer, one.client_id, ", ".join(one.deployments), one.state.value) for one in found]
    headings = ("PLATFORM", "NAME", "ISSUER", "CLIENT", "DEPLOYMENTS", "STATE")
    show([asdict(one) for one in found], headings, rows, "No platforms.", as_json=as_json)


@platforms.command()
@click.argument("platform")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(platform: str, yes: bool) -> None:
    """Forget PLATFORM and its courses. Learners and what they have done stay; nothing is sent any more."""
    with opened() as (settings, store):
        found = platform_called(store, platform)
        if not yes:
            click.confirm(f"Remove {found.name} ({found.issuer}) and its courses?", abort=True, err=True)
        store.remove_platform(found.id)
        Embedding(settings, store).tell()
        store.audit("operator", "platform removed", found.id)
    click.echo(f"Removed: {found.id}.")


@platforms.command(name="set")
@click.argument("platform")
@click.option("--deployment", "deployments", multiple=True, help="One more deployment id; as often as needed.")
@_labs
def set_platform(platform: str, deployments: tuple[str, ...], templates: tuple[str, ...]) -> None:
    """Have PLATFORM launch from more deployments, or use other labs than now."""
    if not deployments and not templates:
        raise click.UsageError("say what is to change: --deployment, --labs")
    with opened() as (_, store):
        found = platform_called(store, platform)
        store.set_platform(found.id, templates=templates or None, deployments=deployments)
        store.audit("operator", "platform set", found.id)
    click.echo(f"{found.name} is changed.")


@platforms.command()
@click.argument("platform")
@click.argument("state", type=click.Choice(["on", "off"]))
def switch(platform: str, state: str) -> None:
    """Take launches from PLATFORM, or none for now."""
    with opened() as (settings, store):
        found = platform_called(store, platform)
        store.set_platform(found.id, state=PlatformState.ACTIVE if state == "on" else PlatformState.OFF)
        Embedding(settings, store).tell()
    click.echo(f"{found.name} is {state}.")


@platforms.command()
@click.argument("platform")
@as_json
def test(platform: str, as_json: bool) -> None:
    """Try out what launches and grades need of PLATFORM. Exit status 1 where it lacks anything, which is named."""
    with opened() as (settings, store):
        keys, private = ToolKeys(settings), settings.private_platforms
        calls = Calls(keys, private=private)
        found = list(
            selftest.findings(
                store, calls, keys, platform_called(store, platform), own_origin(settings), private=private
            )
        )
    rows = [("ok" if one.good else "missing", one.name, one.text) for one in found]
    show([asdict(one) for one in found], ("", "WHAT", "WHY"), rows, "", as_json=as_json)
    sys.exit(0 if all(one.good for one in found) else 1)


@lti.command(name="addresses")
@as_json
def show_addresses(as_json: bool) -> None:
    """Show what to type into a platform's form for this tool."""
    found = addresses(own_origin(load()))
    show(found, ("THERE", "TYPE"), list(found.items()), "", as_json=as_json)


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
    with opened() as (settings, store):
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
    with opened() as (_, store):
        found = [row for row in store.all_grades() if everything or row.state in ("waiting", "refused")]
    rows = [
        (row.work, row.state, f"{row.given or 0:g}/{row.maximum:g}", str(row.attempts), row.reason) for row in found
    ]
    headings = ("WORK", "STATE", "POINTS", "TRIES", "WHY")
    show([asdict(row) for row in found], headings, rows, "No grade waits.", as_json=as_json)
