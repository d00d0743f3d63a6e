"""Names and Role Provisioning Services: who is in a course (LTI-NRPS 2.0).

What a roster says of somebody gives him no right: Moodle names teachers there that may not edit as learners.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from labkit.errors import LabkitError
from labkit.store import LaunchRole, Platform
from lti_app.lti.calls import Calls, body_of
from lti_app.lti.claims import role_of, text

SCOPE = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
_TYPE = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
_ROSTER_SECONDS = 60.0


class RosterRefused(LabkitError):
    """The platform does not say who is in the course."""


@dataclass(frozen=True)
class Person:
    """One member of a course, as the platform has him. `name` may be missing."""

    subject: str
    name: str
    role: LaunchRole


def roster(calls: Calls, platform: Platform, address: str) -> list[Person]:
    """All members, however many pages they come in. Raises RosterRefused, OutboundRefused, TokenRefused."""
    found: dict[str, Person] = {}
    for answer in calls.pages(platform, address, SCOPE, accept=_TYPE):
        if answer.status != 200:
            raise RosterRefused(f"the platform does not say who is in the course ({answer.status})")
        found |= {person.subject: person for person in _people(body_of(answer))}
    return list(found.values())


def _people(body: Any) -> Iterator[Person]:
    members = body.get("members") if isinstance(body, dict) else None
    for one in members if isinstance(members, list) else ():
        if isinstance(one, dict) and one.get("user_id") and one.get("status", "Active") == "Active":
            parts = (one.get("given_name"), one.get("family_name"))
            name = one.get("name") or " ".join(str(part) for part in parts if part)
            roles = one.get("roles")
            known = [str(role) for role in roles] if isinstance(roles, list) else []
            yield Person(str(one["user_id"]), text(str(name)), role_of(known))


class Rosters:
    """Courses' rosters, each asked for once a minute at most. Safe in any number of threads."""

    def __init__(self, calls: Calls, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls, self._clock = calls, clock
        self._known: dict[str, tuple[float, list[Person], str]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, platform: Platform, context: str, address: str) -> tuple[list[Person], str]:
        """The people of a course (by our id), and why they may not be all: a sentence, or nothing."""
        if not address:
            return [], "The platform does not offer the course's roster: people are shown once they have been here."
        with self._lock:
            lock = self._locks.setdefault(context, threading.Lock())
        with lock:
            known = self._known.get(context)
            if known is None or known[0] < self._clock() - _ROSTER_SECONDS:
                known = self._known[context] = (self._clock(), *self._ask(platform, address, known))
            return known[1], known[2]

    def _ask(
        self, platform: Platform, address: str, known: tuple[float, list[Person], str] | None
    ) -> tuple[list[Person], str]:
        try:
            return roster(self._calls, platform, address), ""
        except LabkitError as error:
            return known[1] if known else [], f"The roster could not be read: {error}"
