"""The names of LTI's claims (LTI Core 1.3 section 5, AGS 2.0, NRPS 2.0, Deep Linking 2.0), and what a launch is told by
them. Everything in `custom` is under the control of whoever set the activity up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from labkit.store import LaunchRole, Link, Platform
from lti_app.lti.outbound import owns

_LTI = "https://purl.imsglobal.org/spec/lti/claim/"
VERSION = _LTI + "version"
MESSAGE_TYPE = _LTI + "message_type"
DEPLOYMENT = _LTI + "deployment_id"
ROLES = _LTI + "roles"
CONTEXT = _LTI + "context"
RESOURCE_LINK = _LTI + "resource_link"
TARGET = _LTI + "target_link_uri"
CUSTOM = _LTI + "custom"
PRESENTATION = _LTI + "launch_presentation"
FOR_USER = _LTI + "for_user"
AGS = "https://purl.imsglobal.org/spec/lti-ags/claim/endpoint"
NRPS = "https://purl.imsglobal.org/spec/lti-nrps/claim/namesroleservice"
DEEP_LINKING = "https://purl.imsglobal.org/spec/lti-dl/claim/deep_linking_settings"

RESOURCE = "LtiResourceLinkRequest"
CHOICE = "LtiDeepLinkingRequest"
REVIEW = "LtiSubmissionReviewRequest"
KINDS = (RESOURCE, CHOICE, REVIEW)
CLAIMS_OF_KINDS: Mapping[str, Sequence[tuple[str, str]]] = {
    RESOURCE: ((RESOURCE_LINK, "id"),),
    CHOICE: ((DEEP_LINKING, "deep_link_return_url"),),
    REVIEW: ((RESOURCE_LINK, "id"), (FOR_USER, "user_id")),
}
"""Claims that must be objects, and what must stand in them."""
OBJECTS = (RESOURCE_LINK, CUSTOM, PRESENTATION, FOR_USER, AGS, NRPS, DEEP_LINKING)

_MEMBERSHIP = re.compile(r"http://purl\.imsglobal\.org/vocab/lis/v2/membership(?:/(\w+))?#(\w+)")
_TEACHES = frozenset({"Instructor", "Administrator"})
_MOST_TEXT = 200
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def role_of(roles: Sequence[str]) -> LaunchRole:
    """What somebody is in the course, by his roles there: those in the institution or the whole system count nothing.

    `membership/Instructor#TeachingAssistant` is a kind of Instructor; short names are those of the course (LTI Core
    1.3, A.2). No role that we know: Other.
    """
    named = set()
    for role in roles:
        found = _MEMBERSHIP.fullmatch(role)
        named.add((found[1] or found[2]) if found else role)
    if named & _TEACHES:
        return LaunchRole.INSTRUCTOR
    return LaunchRole.LEARNER if "Learner" in named else LaunchRole.OTHER


def name_of(claims: Mapping[str, Any]) -> str:
    """A person's name as it may be shown; empty where the platform keeps it to itself."""
    parts = [text(claims.get(part)) for part in ("given_name", "family_name")]
    return text(claims.get("name")) or " ".join(filter(None, parts))


def link_of(claims: Mapping[str, Any], platform: Platform, template: str) -> Link | None:
    """What a message says of the activity. Addresses that are not the platform's own count as none: an activity's
    settings can put foreign ones here, and a token would follow."""
    found = claims.get(RESOURCE_LINK)
    if not found:
        return None
    grades = claims.get(AGS) or {}
    items = {name: grades.get(name) for name in ("lineitem", "lineitems")}
    owned = {name: url if isinstance(url, str) and owns(platform, url) else "" for name, url in items.items()}
    scopes = grades.get("scope")
    named = tuple(one for one in scopes if isinstance(one, str)) if isinstance(scopes, list) else ()
    return Link(found["id"], text(found.get("title")), template, owned["lineitem"], owned["lineitems"], named)


def roster_of(claims: Mapping[str, Any], platform: Platform) -> str:
    """Where the course's members are asked for; empty where nowhere, or at an address that is not the platform's."""
    url = (claims.get(NRPS) or {}).get("context_memberships_url")
    return url if isinstance(url, str) and owns(platform, url) else ""


def text(found: object) -> str:
    """A short text as it may be shown, of whatever was sent: without control characters, or reordering ones."""
    return _INVISIBLE.sub(" ", found).strip()[:_MOST_TEXT] if isinstance(found, str) else ""
