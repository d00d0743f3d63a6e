"""Where each kind of launch leads: an endpoint whose address has the launch's id."""

from __future__ import annotations

from labkit.store import LaunchRole
from lti_app.lti import claims
from lti_app.refusals import Refusal

LANDINGS: dict[tuple[str, LaunchRole], str] = {
    (claims.RESOURCE, LaunchRole.INSTRUCTOR): "classroom.page",
    (claims.RESOURCE, LaunchRole.LEARNER): "work.page",
    (claims.RESOURCE, LaunchRole.OTHER): "work.page",
    (claims.CHOICE, LaunchRole.INSTRUCTOR): "linking.page",
    (claims.REVIEW, LaunchRole.INSTRUCTOR): "classroom.review",
}
"""By kind of message and role. A pair without a row is refused."""


def landing(kind: str, role: LaunchRole) -> str:
    """The endpoint. Raises Refusal where this role may not make such a launch, or nothing here answers it."""
    if not any(known == kind for known, _ in LANDINGS):
        raise Refusal("kind-not-served", "labkit does not serve this kind of message.", detail=kind)
    if (kind, role) not in LANDINGS:
        raise Refusal("kind-not-for-role", "This is for the teachers of the course.", detail=kind, status=403)
    return LANDINGS[kind, role]
