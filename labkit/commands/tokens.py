"""`labkit tokens`: personal access tokens for the API of a service."""

from __future__ import annotations

import time

import click

from labkit import app
from labkit.commands.output import as_json, print_json, print_table, until
from labkit.commands.upkeep import find_learner
from labkit.model import Principal, Role
from labkit.settings import load
from labkit.store import TokenRow


@click.group()
def tokens() -> None:
    """Personal access tokens for the API: for programs, and for LABKIT_TOKEN."""


@tokens.command()
@click.argument("learner", required=False)
@click.option("--role", type=click.Choice([role.value for role in Role]), default="learner", show_default=True)
@click.option("--scope", type=click.Choice(["all", "read"]), default="all", show_default=True)
@click.option(
    "--days", type=click.FloatRange(min=0, min_open=True), default=90, show_default=True, help="For how long."
)
@click.option("--note", default="", help="What it is for.")
@click.option("--new", is_flag=True, help="LEARNER is REALM:SUBJECT, and may not be known yet.")
@as_json
def create(learner: str | None, role: str, scope: str, days: float, note: str, new: bool, as_json: bool) -> None:
    """Make a token for LEARNER (an id, REALM:SUBJECT, or a name; default: you), and print it, this once.

    A token of role operator may do everything with everybody's labs; one of scope read changes nothing and is told no
    password.
    """
    with app.store(load()) as store:
        who = app.local_principal()
        if learner and new:
            realm, _, subject = learner.rpartition(":")
            who = Principal(realm, subject)
        elif learner:
            who = Principal(*find_learner(store.learners(), learner).identities[0])
        actor = store.learner(who)
        whose = Principal(who.realm, who.subject, role=Role(role))
        row, text = store.add_token(whose, scope=scope, note=note, expires=time.time() + days * 86400)
        store.audit(actor, "create token", row.id)
    if as_json:
        print_json({"id": row.id, "token": text, "expires": row.expires})
    else:
        click.echo(text)


@tokens.command(name="list")
@as_json
def list_tokens(as_json: bool) -> None:
    """List tokens, with those that count no longer."""
    with app.store(load()) as store:
        found = store.tokens()
    if as_json:
        print_json(found)
        return
    rows = [(row.id, f"{row.realm}:{row.subject}", row.role, row.scope, _ends(row), row.note) for row in found]
    print_table(("TOKEN", "WHOSE", "ROLE", "SCOPE", "ENDS IN", "NOTE"), rows, empty="No tokens.")


@tokens.command()
@click.argument("token")
def revoke(token: str) -> None:
    """Have TOKEN (its id) count no more, from now on."""
    with app.store(load()) as store:
        store.revoke_token(token)
        store.audit(store.learner(app.local_principal()), "revoke token", token)
    click.echo(f"Revoked: {token}.")


def _ends(row: TokenRow) -> str:
    if row.revoked is not None:
        return "revoked"
    return until(row.expires) if row.expires > time.time() else "expired"
