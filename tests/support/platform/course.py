"""What the platform knows: people, courses, activities, line items, grades."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership#"


@dataclass(frozen=True)
class Person:
    """One account. `id` is the bare number that Moodle sends as `sub`."""

    id: str
    given: str
    family: str
    email: str = ""

    @property
    def name(self) -> str:
        return f"{self.given} {self.family}".strip()


@dataclass
class Grade:
    """One learner's grade in an item, on its scale. `time` is in whole seconds, `override` what a teacher typed."""

    raw: float
    time: int
    override: float | None = None


@dataclass
class LineItem:
    """A column of the gradebook. `link` is the activity that it is coupled with, or empty."""

    id: str
    label: str
    maximum: float
    link: str = ""
    more: dict[str, Any] = field(default_factory=dict)
    grades: dict[str, Grade] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    taken: list[tuple[str, float, int]] = field(default_factory=list)
    """Every score that was stored: (user, score on this scale, time)."""

    def shown(self, user: str) -> float | None:
        """What the gradebook shows: the teacher's word, else the score, within the scale."""
        grade = self.grades.get(user)
        if grade is None:
            return None
        value = grade.raw if grade.override is None else grade.override
        return min(max(value, 0.0), self.maximum)


@dataclass
class Activity:
    """One external-tool activity of a course."""

    id: str
    title: str
    custom: dict[str, str | None] = field(default_factory=dict)
    text: str = ""
    window: bool = False


@dataclass
class Course:
    """A course: `teachers` and `learners` are ids of people."""

    id: str
    label: str
    title: str
    teachers: list[str] = field(default_factory=list)
    learners: list[str] = field(default_factory=list)
    activities: dict[str, Activity] = field(default_factory=dict)
    items: dict[str, LineItem] = field(default_factory=dict)


class Site:
    """All of a platform's courses: LAB101 (teacher 3, learners 4 and 5) and LAB202 (teacher 6, learner 4)."""

    def __init__(self) -> None:
        self._numbers = count(4)
        self.people: dict[str, Person] = {}
        self.courses: dict[str, Course] = {}
        for person in (
            Person("3", "Terry", "Teacher", "teacher1@example.invalid"),
            Person("4", "Sam", "Ström", "student1@example.invalid"),
            Person("5", '<script>alert("5")</script>', "O'Brien & Co", "student2@example.invalid"),
            Person("6", "Toni", "Tutor", "teacher2@example.invalid"),
        ):
            self.people[person.id] = person
        self.add(Course("2", "LAB101", "Lab course", ["3"], ["4", "5"]))
        self.add(Course("3", "LAB202", "Other course", ["6"], ["4"]))

    def add(self, course: Course) -> Course:
        """Take a course in."""
        self.courses[course.id] = course
        return course

    def activity(
        self,
        course: str,
        title: str,
        *,
        points: float | None = 100.0,
        item: dict[str, Any] | None = None,
        **custom: str,
    ) -> Activity:
        """A new activity, with a coupled line item where it is graded."""
        made = Activity(str(next(self._numbers)), title, dict(custom))
        self.courses[course].activities[made.id] = made
        if points is not None:
            self.item(course, title, points, link=made.id, **(item or {}))
        return made

    def item(self, course: str, label: str, maximum: float, *, link: str = "", **more: Any) -> LineItem:
        """A new line item."""
        made = LineItem(str(next(self._numbers)), label, maximum, link, more)
        self.courses[course].items[made.id] = made
        return made

    def coupled(self, course: str, activity: str) -> list[LineItem]:
        """The line items of an activity."""
        return [item for item in self.courses[course].items.values() if item.link == activity]

    def role(self, course: str, user: str) -> str:
        """Instructor or Learner. Raises KeyError for somebody who is neither."""
        found = self.courses[course]
        if user in found.teachers:
            return "Instructor"
        if user in found.learners:
            return "Learner"
        raise KeyError(user)


def whole_second(timestamp: object) -> int | None:
    """An ISO 8601 timestamp as Moodle keeps it, in whole seconds; None for what Moodle does not take."""
    if not isinstance(timestamp, str):
        return None
    try:
        moment = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
