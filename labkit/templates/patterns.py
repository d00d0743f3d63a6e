r"""Patterns that a value is drawn from: the part of regular expressions of which every match has an end. Pure.

Letters stand for themselves; `[a-f0-9]` and `\d` for one of a set; `(red|green)` for one of several; `{12}`, `{2,4}`
and `?` say how often. What a drawn value is must never change, not with Python's version either: so nothing here leans
on the library's own parser or its random numbers.
"""

from __future__ import annotations

import hashlib
import hmac
import string
from collections.abc import Callable
from dataclasses import dataclass

MOST_LENGTH = 256
MOST_TEXT = 200
SETS = {"d": string.digits, "w": string.ascii_letters + string.digits + "_"}
SPECIAL = "()[]{}|?*+.^$\\"

Below = Callable[[int], int]
"""Draws a whole number from 0 to below the given one."""


@dataclass(frozen=True)
class Pattern:
    """How to draw from it, how long that can be, and how many `values` there are (equal ones counted each)."""

    draw: Callable[[Below], str]
    longest: int
    values: int


def draw(pattern: str, seed: str, name: str) -> str:
    """The value of the variable `name` for `seed`: the same for the same three, always. Raises ValueError."""
    return parse(pattern).draw(_stream(seed, name))


def parse(text: str) -> Pattern:
    """The pattern that `text` describes. Raises ValueError with the fault and the remedy."""
    if len(text) > MOST_TEXT:
        raise ValueError(f"the pattern has more than {MOST_TEXT} characters")
    reader = _Reader(text)
    found = reader.options()
    if reader.rest:
        raise ValueError(r"the pattern has a ')' without its '('; write \) for the sign")
    if not 0 < found.longest <= MOST_LENGTH:
        raise ValueError(f"the pattern draws up to {found.longest} characters; 1 to {MOST_LENGTH} are possible")
    return found


def _stream(seed: str, name: str) -> Below:
    """Whole numbers from HMAC-SHA256 over a counter, four bytes at a time, without those that would favour some."""
    counter = 0

    def below(limit: int) -> int:
        nonlocal counter
        while True:
            block = hmac.new(seed.encode(), f"{name}/{counter}".encode(), hashlib.sha256).digest()
            counter += 1
            number = int.from_bytes(block[:4], "big")
            if number < (1 << 32) - (1 << 32) % limit:
                return number % limit

    return below


def _chars(options: str) -> Pattern:
    return Pattern(lambda below: options[below(len(options))], 1, len(options))


def _joined(first: Pattern, second: Pattern) -> Pattern:
    return Pattern(
        lambda below: first.draw(below) + second.draw(below),
        first.longest + second.longest,
        first.values * second.values,
    )


def _one_of(options: list[Pattern]) -> Pattern:
    longest = max(option.longest for option in options)
    return Pattern(
        lambda below: options[below(len(options))].draw(below), longest, sum(option.values for option in options)
    )


def _times(part: Pattern, least: int, most: int) -> Pattern:
    if most * part.longest > MOST_LENGTH:
        raise ValueError(f"the pattern draws up to {most * part.longest} characters; 1 to {MOST_LENGTH} are possible")

    def repeated(below: Below) -> str:
        return "".join(part.draw(below) for _ in range(least + below(most - least + 1)))

    return Pattern(repeated, most * part.longest, sum(part.values**times for times in range(least, most + 1)))


class _Reader:
    """A pattern's text, read from the left. It owns the place where reading is."""

    def __init__(self, text: str) -> None:
        self.rest = text

    def _take(self) -> str:
        if not self.rest:
            raise ValueError("the pattern ends too soon; close every '(', '[' and '{'")
        sign, self.rest = self.rest[0], self.rest[1:]
        return sign

    def options(self) -> Pattern:
        found = [self._row()]
        while self.rest.startswith("|"):
            self._take()
            found.append(self._row())
        return found[0] if len(found) == 1 else _one_of(found)

    def _row(self) -> Pattern:
        found = Pattern(lambda below: "", 0, 1)
        while self.rest and self.rest[0] not in "|)":
            found = _joined(found, self._repeated(self._part()))
        return found

    def _part(self) -> Pattern:
        sign = self._take()
        if sign == "(":
            inner = self.options()
            self._take()
            return inner
        if sign == "[":
            return self._set()
        if sign == "\\":
            escaped = self._take()
            return _chars(SETS.get(escaped, escaped))
        if sign in SPECIAL:
            raise ValueError(f"the pattern has a bare '{sign}'; write \\{sign} for the sign itself")
        return _chars(sign)

    def _set(self) -> Pattern:
        found = ""
        while (sign := self._take()) != "]":
            if sign == "^" and not found:
                raise ValueError("the pattern has a set of what is not to be; name the characters that may be")
            low = self._take() if sign == "\\" else sign
            if self.rest.startswith("-") and self.rest[1:2] not in ("]", ""):
                self._take()
                high = self._take()
                if not 0 < ord(high) - ord(low) <= 128:
                    raise ValueError(f"the pattern has a set from '{low}' to '{high}'; write it the other way round")
                found += "".join(map(chr, range(ord(low), ord(high) + 1)))
            else:
                found += SETS.get(low, low) if sign == "\\" else low
        if not found:
            raise ValueError("the pattern has an empty set")
        return _chars("".join(dict.fromkeys(found)))

    def _repeated(self, part: Pattern) -> Pattern:
        sign = self.rest[:1]
        if sign in ("*", "+"):
            raise ValueError(f"the pattern has a '{sign}', which has no end; write for example {{1,8}}")
        if sign == "?":
            self._take()
            return _times(part, 0, 1)
        if sign != "{":
            return part
        inner, _, self.rest = self.rest[1:].partition("}")
        least, comma, most = inner.partition(",")
        if not all(number.isascii() and number.isdigit() and len(number) < 4 for number in (least, most or least)):
            raise ValueError(r"the pattern has a bare '{'; write \{ for the sign itself, {12} for twelve times")
        times = int(least), int(most) if comma and most else int(least)
        if not times[0] <= times[1] <= MOST_LENGTH:
            raise ValueError(f"the pattern has '{{{inner}}}'; write for example {{2,4}}, with at most {MOST_LENGTH}")
        return _times(part, *times)
