"""When labs end without being asked, and what is said before."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.errors import Conflict
from labkit.orchestrator.lifetimes import Deadline, End, Warn, deadline, due, extended, minutes
from tests.orchestrator.rows import lab

HOUR = 3600.0


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({}, None),
        ({"expires": 500.0}, Deadline(500.0, "age")),
        ({"idle_seconds": 60.0}, Deadline(160.0, "idle")),
        ({"idle_seconds": 60.0, "used": 300.0}, Deadline(360.0, "idle")),
        ({"idle_seconds": 60.0, "expires": 500.0}, Deadline(160.0, "idle")),
        ({"idle_seconds": 60.0, "expires": 500.0, "wanted": "paused"}, Deadline(500.0, "age")),
        ({"idle_seconds": 60.0, "ready": None}, None),
    ],
)
def test_a_lab_ends_by_age_or_for_want_of_use_whatever_comes_first(
    changes: dict[str, Any], end: Deadline | None
) -> None:
    assert deadline(lab(**changes)) == end


@pytest.mark.parametrize(
    ("now", "warned", "expected"),
    [
        (2000, None, None),
        (2701, None, 2700),
        (2705, 2700, None),
        (3301, 2700, 3300),
        (3400, 3300, None),
    ],
)
def test_warnings_come_once_each_15_and_5_minutes_before_the_end(
    now: float, warned: float | None, expected: float | None
) -> None:
    found = due(lab(expires=HOUR, warned=warned), now)
    assert (found.threshold if isinstance(found, Warn) else found) == expected


def test_a_warning_says_what_is_lost_and_what_to_do() -> None:
    by_age, idle = due(lab(expires=HOUR), HOUR - 300), due(lab(idle_seconds=HOUR), HOUR)
    assert isinstance(by_age, Warn)
    assert isinstance(idle, Warn)
    assert by_age.text == (
        "This lab will end in 5 minutes, and its machines' disks with it. Extend it if you need longer."
    )
    assert idle.text.startswith("Nobody uses this lab: it will end in 2 minutes")


def test_at_its_end_a_warned_lab_ends_and_says_why() -> None:
    assert due(lab(expires=HOUR, warned=3300.0), HOUR) == End("age", "it ended by itself: its time was up")
    assert due(lab(idle_seconds=600.0, warned=400.0), 700) == End(
        "idle", "it ended by itself: nobody used it for 10 minutes"
    )


def test_an_end_that_came_while_nobody_could_warn_is_put_off_with_a_late_warning() -> None:
    found = due(lab(expires=HOUR), 9 * HOUR)
    assert isinstance(found, Warn)
    assert found.until == 9 * HOUR + 300
    later = lab(expires=found.until, warned=found.threshold)
    assert due(later, 9 * HOUR + 10) is None
    assert isinstance(due(later, 9 * HOUR + 301), End)


def test_a_lab_with_a_short_life_is_warned_too() -> None:
    assert isinstance(due(lab(expires=160.0), 101), Warn)
    assert isinstance(due(lab(expires=160.0, warned=-140.0), 161), End)


def test_an_extension_counts_from_the_end_or_from_now_and_is_bounded_by_the_greatest_age() -> None:
    assert extended(lab(expires=500.0), 60, 0, now=200) == 560
    assert extended(lab(expires=500.0), 60, 0, now=600) == 660
    assert extended(lab(expires=500.0), HOUR, 1000, now=200) == 1100
    with pytest.raises(Conflict, match="live 17 minutes at most"):
        extended(lab(expires=1100.0), 60, 1000, now=200)
    with pytest.raises(Conflict, match="no set end"):
        extended(lab(), 60, 0, now=200)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 seconds"), (1, "1 second"), (59, "1 minute"), (50, "50 seconds"), (300, "5 minutes"), (7300, "2 hours")],
)
def test_lengths_of_time_are_told_in_words(seconds: float, words: str) -> None:
    assert minutes(seconds) == words
