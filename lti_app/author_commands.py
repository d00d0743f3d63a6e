"""`labkit lti authors …` and `labkit lti release`: who may bring labs into a course, and what becomes of its labs."""

from __future__ import annotations

import click

from labkit.errors import NotFound
from labkit.store import AuthorRow, Context, Platform, SqliteStore
from lti_app.terminal import as_json, opened, platform_called, show


def _course(store: SqliteStore, platform: Platform, wanted: str) -> Context:
    """A course by its id, here or there, or its name, where that is one only. Raises NotFound."""
    known = [one for one in store.contexts(platform.id) if one.context]
    found = [one for one in known if wanted in (one.id, one.context, one.label, one.title)]
    if len(found) != 1:
        names = ", ".join(f"{one.context} ({one.label or one.title})" for one in known) or "none yet"
        text = f"{len(found)} courses of {platform.name} are called {wanted!r}; those that were opened here: {names}"
        raise NotFound(text)
    return found[0]


@click.group()
def authors() -> None:
    """Who may bring labs into a course in the browser. Nobody may, unless it is said here."""


_person = click.option("--person", default="", help="Only this teacher (the platform's id of him, or his name).")


def _right(store: SqliteStore, platform: str, course: str, person: str) -> tuple[str, str | None]:
    """Course and person, by our ids; None: all of the course's teachers."""
    context = _course(store, platform_called(store, platform), course).id
    if not person:
        return context, None
    found = [one.learner for one in store.members(context) if person in (one.subject, one.name)]
    if len(found) != 1:
        raise NotFound(f"{len(found)} people called {person!r} were launched from this course")
    return context, found[0]


@authors.command(name="add")
@click.argument("platform")
@click.argument("course")
@_person
def add_author(platform: str, course: str, person: str) -> None:
    """Let the teachers of COURSE on PLATFORM bring labs into it. Their check.py programs run on this computer, in a
    sandbox, and their machines within the policy."""
    with opened() as (_, store):
        context, learner = _right(store, platform, course, person)
        store.allow_author(context, learner)
        store.audit("operator", "author added", f"{context} {learner or 'teachers'}")
    click.echo(f"{person or 'All teachers'} may bring labs into {course}.")


@authors.command(name="remove")
@click.argument("platform")
@click.argument("course")
@_person
def remove_author(platform: str, course: str, person: str) -> None:
    """Take that right away. What was published stays."""
    with opened() as (_, store):
        context, learner = _right(store, platform, course, person)
        if not store.deny_author(context, learner):
            raise NotFound(f"{person or 'all teachers'} of {course} had no such right; see labkit lti authors list")
        store.audit("operator", "author removed", f"{context} {learner or 'teachers'}")
    click.echo(f"{person or 'All teachers'} may not bring labs into {course} any more.")


@authors.command(name="list")
@as_json
def list_authors(as_json: bool) -> None:
    """List who may bring labs, and the labs that courses have."""
    with opened() as (_, store):
        found = [_author_row(store, row) for row in store.authors()]
        bound = {name: sorted(courses) for name, courses in store.bound_templates().items()}
    rows = [(one["platform"], one["course"], one["person"] or "all teachers") for one in found]
    rows += [("", ", ".join(courses), f"lab {name}") for name, courses in bound.items()]
    show({"authors": found, "labs": bound}, ("PLATFORM", "COURSE", "WHO, WHAT"), rows, "Nobody.", as_json=as_json)


def _author_row(store: SqliteStore, row: AuthorRow) -> dict[str, str]:
    context = store.context(row.context)
    platform = store.platform(context.platform) if context else None
    person = next((one.name or one.subject for one in store.members(row.context) if one.learner == row.learner), "")
    label = context.label or context.title if context else ""
    return {"platform": platform.name if platform else "", "course": label, "id": row.context, "person": person}


@click.command()
@click.argument("lab")
@click.confirmation_option("--yes", prompt="Every course will be able to use it. Go on?")
def release(lab: str) -> None:
    """Take LAB from the courses to which it was kept: it is everybody's, or its name is free again."""
    with opened() as (_, store):
        courses = store.bound_templates().get(lab)
        if not courses:
            raise NotFound(f"no course has a lab {lab!r} of its own; see labkit lti authors list")
        for course in courses:
            store.unbind_template(lab, course)
        store.audit("operator", "lab released", lab)
    click.echo(f"{lab} belongs to no course any more.")
