"""Names and Role Provisioning Services: who is in a course (LTI-NRPS 2.0).

What a roster says of somebody gives him no right: Moodle names teachers there that may not edit as learners.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from labkit.errors import LabkitError
from labkit.store import LaunchRole, Platform
from lti_app.lti.calls import Calls, body_of

SCOPE = "https://purl.imsglobal.org/spec/lti-nrps/scope/contextmembership.readonly"
_TYPE = "application/vnd.ims.lti-nrps.v2.membershipcontainer+json"
_NEXT = re.compile(r'<([^<>]+)>\s*;[^,<]*\brel="?next"?', re.IGNORECASE)
_MOST_PAGES = 100


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
    for _ in range(_MOST_PAGES):
        answer = calls.call(platform, "GET", address, SCOPE, accept=_TYPE)
        if answer.status != 200:
            raise RosterRefused(f"the platform does not say who is in the course ({answer.status})")
        found |= {person.subject: person for person in _people(body_of(answer))}
        following = _NEXT.search(str(answer.headers.get("Link", "")))
        if following is None or following[1] == address:
            break
        address = following[1]
    return list(found.values())


def _people(body: Any) -> Iterator[Person]:
    members = body.get("members") if isinstance(body, dict) else None
    for one in members if isinstance(members, list) else ():
        if isinstance(one, dict) and one.get("user_id") and one.get("status", "Active") == "Active":
            parts = (one.get("given_name"), one.get("family_name"))
            name = one.get("name") or " ".join(str(part) for part in parts if part)
            yield Person(str(one["user_id"]), str(name), role_of(one.get("roles")))


def role_of(roles: object) -> LaunchRole:
    """A member's role: words and whole names of the membership vocabulary alike, others are no role."""
    words = {str(role) for role in roles} if isinstance(roles, list) else set()
    known = {word.rpartition("#")[2] for word in words if "#" not in word or "/membership#" in word}
    for role, word in ((LaunchRole.INSTRUCTOR, "Instructor"), (LaunchRole.LEARNER, "Learner")):
        if word in known:
            return role
    return LaunchRole.OTHER
