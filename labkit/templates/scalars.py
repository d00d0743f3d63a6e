"""Text to one value of a template: names, sizes, times. Each raises Wrong with the remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from labkit.documents import Wrong
from labkit.wording import did_you_mean

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
MACHINE_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
VARIABLE = re.compile(r"[a-z][A-Za-z0-9_]{0,62}")
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti|k|M|G|T)?")
QUANTITY_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
}  # fmt: skip
DURATION = re.compile(r"(?=[0-9])(?:([0-9]{1,4})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,6})s)?")
RESERVED_USERS = ("root",)


def label(text: str) -> str:
    """A DNS label (RFC 1123): a template's, a pane's or a tag's name."""
    if not LABEL.fullmatch(text):
        raise Wrong(f"'{text}' is no name; use at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends")
    return text


def machine_label(text: str) -> str:
    """A DNS label that begins with a letter (RFC 1035), since it also names a Service."""
    if not MACHINE_LABEL.fullmatch(text):
        raise Wrong(f"'{text}' is no name for a machine; use a-z, 0-9 and '-', beginning with a letter, 63 at most")
    return text


def user_name(text: str) -> str:
    """A Unix account name; `root` is kept for labkit's own checks."""
    if text in RESERVED_USERS:
        raise Wrong(f"'{text}' is kept for labkit's checks; give the learner another account")
    if not USER.fullmatch(text):
        raise Wrong(f"'{text}' is no user name; use a-z, 0-9, '_' and '-', beginning with a letter, 32 at most")
    return text


def password(text: str) -> str:
    """A password: one line, no colon (it ends the field in a password file), 1 to 128 characters."""
    if not 1 <= len(text) <= 128 or ":" in text or not text.isprintable():
        raise Wrong("a password is 1 to 128 printable characters without ':'")
    return text


def variable_name(text: str) -> str:
    """A variable's name as it stands in `{{ name }}`."""
    if not VARIABLE.fullmatch(text):
        raise Wrong(f"'{text}' is no name for a variable; use letters, digits and '_', beginning with a small letter")
    return text


def line(most: int) -> Callable[[str], str]:
    """One line of at most `most` characters, not blank."""

    def convert(text: str) -> str:
        stripped = text.strip()
        if not stripped or not stripped.isprintable() or len(stripped) > most:
            raise Wrong(f"wants one line of 1 to {most} characters")
        return stripped

    return convert


def paragraph(text: str) -> str:
    """Text of any number of lines, 4,000 characters at most."""
    if len(text) > 4000:
        raise Wrong(f"has {len(text)} characters; 4000 are the most")
    return text.strip()


def one_of(*words: str, planned: tuple[str, ...] = ()) -> Callable[[str], str]:
    """One of `words`. Those `planned` belong to the format, and this version does not do them."""

    def convert(text: str) -> str:
        if text in planned:
            raise Wrong(f"'{text}' is not built in this version; use {' or '.join(words)}")
        if text not in words:
            raise Wrong(f"'{text}' is not known{did_you_mean(text, words)}")
        return text

    return convert


def whole(least: int, most: int) -> Callable[[str], int]:
    """A whole number between `least` and `most`."""

    def convert(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise Wrong(f"'{text}' is no whole number from {least} to {most}")
        return int(text)

    return convert


def truth(text: str) -> bool:
    """`true` or `false`."""
    if text not in ("true", "false"):
        raise Wrong(f"'{text}' is neither true nor false")
    return text == "true"


def memory(text: str) -> int:
    """A Kubernetes quantity, in bytes: 512Mi, 1.5Gi, 1000000000. From 1Mi to 1Ti."""
    found = QUANTITY.fullmatch(text)
    size = int(Decimal(found[1]) * QUANTITY_UNITS[found[2] or ""]) if found and len(text) < 20 else 0
    if not 1 << 20 <= size <= 1 << 40:
        raise Wrong(f"'{text}' is no size of memory; write a number and a unit, for example 512Mi or 2Gi")
    return size


def seconds(text: str) -> int:
    """A time such as 45m, 4h or 1h30m, in seconds; more than none, at most 30 days."""
    found = DURATION.fullmatch(text)
    hours, minutes, rest = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + rest
    if not 0 < total <= 30 * 86400:
        raise Wrong(f"'{text}' is no length of time; write for example 45m, 4h or 1h30m (30 days at most)")
    return total
