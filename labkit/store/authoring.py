"""What the store keeps of labs that a course's teachers have brought, and who may bring any.

A name belongs to a course from the first draft on, before anything can be started under it: so a lab that is published
is never anybody else's, wherever a process is killed in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class CourseLab:
    """A lab of a course. `draft` and `published` name contents (digests); empty where there is none. Both are empty for
    a name that stands from before teachers could bring labs: what it means is not theirs to change."""

    name: str
    draft: str = ""
    published: str = ""


@dataclass(frozen=True)
class AuthorRow:
    """The right to publish labs for a course (our id): for one of its teachers, or with None for all of them."""

    context: str
    learner: str | None


class Authoring(Protocol):
    """Labs of courses, and the right to publish them, which nobody has whom no operator has given it."""

    def unbind_template(self, template: str, context: str) -> None: ...

    def bound_templates(self) -> Mapping[str, frozenset[str]]:
        """Every template that is kept to courses, with those (our ids); also courses that are gone. One that is kept to
        none is everybody's."""

    def allow_author(self, context: str, learner: str | None) -> None: ...

    def deny_author(self, context: str, learner: str | None) -> bool:
        """Take a right away; whether there was one."""

    def authors(self) -> list[AuthorRow]: ...

    def may_author(self, context: str, learner: str) -> bool:
        """Whether a teacher of the course (who is one, the caller has found out) may publish labs for it."""

    def course_labs(self, context: str) -> list[CourseLab]: ...

    def course_contents(self) -> frozenset[str]:
        """Every content that is a draft or was published, in any course."""

    def draft_lab(self, context: str, name: str, draft: str, *, taken: bool, most: int) -> None:
        """Keep a content as the course's draft of `name`, which then is the course's. Raises Conflict where the name is
        another's (`taken`: there is a template of that name), or the course has `most` labs already."""

    def published_lab(self, context: str, name: str, content: str) -> None:
        """Note that `name` means `content` now; it is no draft any more."""

    def drop_draft(self, context: str, name: str) -> None:
        """Forget a draft. A name under which nothing was ever published is free again."""
