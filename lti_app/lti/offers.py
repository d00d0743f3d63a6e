"""Which labs a course may use: what an activity asks for is looked up here, and is never a path."""

from __future__ import annotations

from fnmatch import fnmatchcase

from labkit.errors import NotFound
from labkit.store import Platform, Store
from labkit.templates import Available, available, find
from lti_app.services import Services


def offered(services: Services, platform: Platform, context: str) -> list[Available]:
    """The sound templates that a course (by our id; empty: one that we have not seen) may use, by name."""
    bound = services.store.bound_templates()
    return [
        found
        for found in available(services.settings.templates_dir)
        if not found.problem and _allowed(found.name, platform, context, bound.get(found.name))
    ]


def may_use(services: Services, platform: Platform, context: str, name: str) -> bool:
    """Whether there is a template of that name that the course may use. It need not be sound: a start says what is
    wrong with it."""
    return _allowed(name, platform, context, services.store.bound_templates().get(name)) and _exists(services, name)


def _allowed(name: str, platform: Platform, context: str, courses: frozenset[str] | None) -> bool:
    if courses is not None:
        return context in courses
    return any(fnmatchcase(name, pattern) for pattern in platform.templates)


def _exists(services: Services, name: str) -> bool:
    try:
        find(name, services.settings.templates_dir, paths=False)
    except NotFound:
        return False
    return True


def course_of(store: Store, platform: Platform, deployment: str, context: str) -> str:
    """Our id of a platform's course; empty where nobody was launched from it yet."""
    found = store.context_of(platform.id, deployment, context)
    return found.id if found else ""
