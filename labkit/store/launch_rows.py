"""What the store tells and is told of learning platforms and of launches from them, as plain values (LTI 1.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class PlatformState(StrEnum):
    """Launches are taken only from an active platform; a pending one waits for an operator, one that is off is kept."""

    ACTIVE = "active"
    PENDING = "pending"
    OFF = "off"


class LaunchRole(StrEnum):
    """What a person is in the course of one launch. Other: no role that we know, so no right but one's own lab."""

    INSTRUCTOR = "instructor"
    LEARNER = "learner"
    OTHER = "other"


@dataclass(frozen=True)
class Platform:
    """A learning platform that is registered as (issuer, client_id). `id` is ours, random.

    `deployments` are the deployment ids from which launches are taken; `origins` those beside the ones of its addresses
    that its services may use; `templates` are patterns of the names of labs that it may offer (`*`: all).
    """

    id: str
    issuer: str
    client_id: str
    name: str
    auth_url: str
    token_url: str
    jwks_url: str
    deployments: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    templates: tuple[str, ...] = ("*",)
    state: PlatformState = PlatformState.ACTIVE
    created: float = 0.0

    @property
    def realm(self) -> str:
        """The realm of its people's identities: the same `sub` of another platform is another person."""
        return f"lti:{self.issuer}#{self.client_id}"


@dataclass(frozen=True)
class PlatformKeys:
    """A platform's public keys as last fetched (`text`: a JSON Web Key Set, empty before), and when that was tried."""

    text: str
    fetched: float
    tried: float


@dataclass(frozen=True)
class LaunchState:
    """One sign-in under way: between our redirect to the platform and the launch that answers it.

    `browser` is the hash of the browser's own secret; `deployment` is empty where the platform did not name one.
    """

    state: str
    nonce: str
    platform: str
    browser: str
    expires: float
    deployment: str = ""


@dataclass(frozen=True)
class Link:
    """What a launch says of the activity that was clicked: the platform's id and title, the lab that it asks for, and
    where its grades go. `line_item` is empty where there is no grade."""

    link: str
    title: str = ""
    template: str = ""
    line_item: str = ""
    line_items: str = ""
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewLaunch:
    """A launch that has passed every check, to be recorded. `secret` is the hash of what its browser was given.

    `context` is the platform's id of the course, empty where the launch names none; `details` is what only some kinds
    of message bring.
    """

    platform: Platform
    deployment: str
    kind: str
    subject: str
    name: str
    role: LaunchRole
    secret: str
    seconds: float
    context: str = ""
    label: str = ""
    title: str = ""
    roster_url: str = ""
    link: Link | None = None
    locale: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Context:
    """A course of a platform's deployment. `id` is ours, `context` the platform's (empty: launches without a course).

    `roster_url` is where its list of members is asked for; empty where the platform offers none.
    """

    id: str
    platform: str
    deployment: str
    context: str
    label: str
    title: str
    roster_url: str


@dataclass(frozen=True)
class LinkRow:
    """An activity of a course. `id` is ours, `link` the platform's; `activity` is empty until it has a template.

    Whoever works on it works on `activity`: another template at the same place is another activity.
    """

    id: str
    context: str
    link: str
    title: str
    template: str
    activity: str
    line_item: str
    line_items: str
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class Member:
    """Somebody who was launched from a course, as he was last seen there. `subject` is the platform's id of him."""

    context: str
    learner: str
    subject: str
    name: str
    role: LaunchRole
    seen: float


@dataclass(frozen=True)
class Launch:
    """A recorded launch: the browser session that began with it. Its `role` and its `link` are its own, whatever else
    the same browser was launched as. `link` is empty for a message that is of no activity."""

    id: str
    platform: str
    context: str
    link: str
    learner: str
    subject: str
    name: str
    role: LaunchRole
    kind: str
    locale: str
    created: float
    expires: float
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hand:
    """A learner's call for help on his work, since `raised`."""

    work: str
    learner: str
    name: str
    raised: float


@dataclass(frozen=True)
class RegistrationLink:
    """An operator's leave for one platform to register itself until then. `secret` is the hash of what its address
    holds; `origin` is where the platform is, `origins` and `templates` as a platform has them."""

    secret: str
    origin: str
    name: str
    expires: float
    origins: tuple[str, ...] = ()
    templates: tuple[str, ...] = ("*",)
