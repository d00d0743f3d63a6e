"""Values drawn from patterns: the same for the same seed, always; every match possible, none without an end."""

from __future__ import annotations

import re
import time

import pytest

from labkit.templates import patterns

PATTERNS = (r"LAB\{[a-f0-9]{12}\}", r"(red|green|blue)-\d{2,4}", "[A-Z]{2}(-[2-9]{4})?", r"a\.b\\[\]x-]", "ä[à-é]{3}")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_drawn_value_is_a_match_of_its_pattern(pattern: str) -> None:
    drawn = {patterns.draw(pattern, f"seed {n}", "flag") for n in range(200)}
    assert [value for value in drawn if not re.fullmatch(pattern, value)] == []
    assert len(drawn) > 1


def test_a_value_never_changes_for_its_seed_and_name() -> None:
    assert patterns.draw(PATTERNS[0], "00" * 16, "flag") == "LAB{3a9a6a05045f}"
    assert patterns.draw(PATTERNS[1], "00" * 16, "colour") == "blue-57"


def test_another_seed_and_another_name_give_another_value() -> None:
    drawn = [patterns.draw("[a-z]{12}", seed, name) for seed in "ab" for name in "xy"]
    assert len(set(drawn)) == 4


def test_each_choice_is_about_as_likely_as_the_others() -> None:
    drawn = [patterns.draw("(a|b|c)", str(n), "x") for n in range(900)]
    assert all(240 < drawn.count(letter) < 360 for letter in "abc")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("", "draws up to 0 characters"),
        ("a{300}", "at most 256"),
        ("(((a{200}){200}){200}){200}", "draws up to 40000 characters"),
        ("LAB{x}", r"write \{ for the sign itself"),
        ("a{3,2}", "write for example {2,4}"),
        ("a)", "without its '('"),
        ("(a", "ends too soon"),
        ("[", "ends too soon"),
        ("a\\", "ends too soon"),
        ("[]", "an empty set"),
        ("[^a]", "name the characters that may be"),
        ("[z-a]", "write it the other way round"),
        ("x*", "which has no end"),
        (".", "a bare '.'"),
        ("(" * 500, "has more than 200 characters"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused_at_once_with_the_remedy(pattern: str, said: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ValueError, match=re.escape(said)):
        patterns.parse(pattern)
    assert time.monotonic() - begun < 1
