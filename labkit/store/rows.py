"""What the store tells and is told: rows and bounds, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class WorkRow:
    """One learner's work on one activity. `seed` (32 hex digits) never changes: variables are drawn from it."""

    id: str
    learner: str
    activity: str
    template: str
    seed: str


@dataclass(frozen=True)
class LabRow:
    """One lab as it should be. `wanted` is running, paused or ended; `ready` once a start has finished.

    `fault` is one sentence where its start failed (`cause`: what only an operator is told), `ending` one where it
    ended without being asked. `admitted`: since when it has its room (until then it waits, at least until `retry`);
    `memory`: the bytes its machines have. `expires`: its end by age, `max_seconds` after it was ready; `warned`: for
    which time the last warning was due. `spare`: the reservation for which it is kept, as long as it has no learner.
    `seed` is its work's.
    """

    id: str
    work: str
    learner: str
    learner_name: str
    template: str
    digest: str
    wanted: str
    created: float
    ready: float | None
    ended: float | None
    lost: bool
    fault: str
    seed: str = ""
    activity: str = ""
    admitted: float | None = None
    memory: int = 0
    retry: float = 0.0
    max_seconds: float | None = None
    idle_seconds: float | None = None
    expires: float | None = None
    used: float = 0.0
    warned: float | None = None
    ending: str = ""
    cause: str = ""
    spare: str | None = None


@dataclass(frozen=True)
class Terms:
    """What a new lab needs and how long it may live. `most` labs may a learner have at once (0: any number); a lab
    that must `wait` has no room until it is admitted."""

    memory: int = 0
    max_seconds: float | None = None
    idle_seconds: float | None = None
    most: int = 0
    wait: bool = False


@dataclass(frozen=True)
class Hold:
    """Retiring waits for a person since then: `labs` are those that would be retired, each with its reason."""

    reason: str
    since: float
    labs: Mapping[str, str]
    approved: float | None = None


@dataclass(frozen=True)
class Retention:
    """For how many days things are kept; 0: for ever. `events`: the operations of labs that have ended; `labs`: those
    labs themselves; `learners`: those who have not had a lab, with all their work."""

    events: float = 0.0
    labs: float = 0.0
    audit: float = 0.0
    learners: float = 0.0


@dataclass(frozen=True)
class AuditRow:
    """Who did what to what, and how it ended. `name` is the learner's, as long as there is such a learner."""

    time: float
    actor: str
    action: str
    target: str
    outcome: str
    name: str


@dataclass(frozen=True)
class LearnerRow:
    """One learner, the identities that lead to him (realm, subject), and what there is of him."""

    id: str
    name: str
    created: float
    identities: tuple[tuple[str, str], ...]
    works: int
    labs: tuple[str, ...]
    """Those that have not ended."""


@dataclass(frozen=True)
class TokenRow:
    """A personal access token: whose (`realm`, `subject`), with which role, and for what (`scope`: all or read)."""

    id: str
    realm: str
    subject: str
    role: str
    scope: str
    note: str
    created: float
    expires: float
    used: float | None
    revoked: float | None
