"""Text to one value of a template: names, sizes, times. Each raises Wrong with the remedy."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from decimal import Decimal

from labkit.documents import Wrong, shaped
from labkit.wording import did_you_mean

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
MACHINE_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
VARIABLE = re.compile(r"[a-z][A-Za-z0-9_]{0,62}")
ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
FILE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
REGISTRY = re.compile(
    r"(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+|[a-z0-9-]+(?=:))(:[0-9]{1,5})?(/[a-z0-9._-]+)+"
    r"(:[\w][\w.-]{0,127})?(@sha256:[a-f0-9]{64})?"
)
QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti|k|M|G|T)?")
QUANTITY_UNITS = {
    "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40,
}  # fmt: skip
DURATION = re.compile(r"(?=[0-9])(?:([0-9]{1,4})h)?(?:([0-9]{1,5})m)?(?:([0-9]{1,6})s)?")
KEY_TYPES = re.compile(
    r"ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com"
)
RESERVED_USERS = ("root",)

Convert = Callable[[str], str]


def words(pattern: re.Pattern[str], wrong: str) -> Convert:
    """A converter of text that matches `pattern`; `wrong` is the message on any other, with {} for the text."""

    @shaped({"type": "string", "pattern": f"^(?:{pattern.pattern})$"})
    def convert(text: str) -> str:
        if not pattern.fullmatch(text):
            raise Wrong(wrong.format(f"'{text}'"))
        return text

    return convert


label = words(LABEL, "{} is no name; use at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends")
"""A DNS label (RFC 1123): a template's, a pane's or a tag's name."""
machine_label = words(
    MACHINE_LABEL, "{} is no name for a machine; use a-z, 0-9 and '-', beginning with a letter, 63 at most"
)
"""A DNS label that begins with a letter (RFC 1035), since it also names a Service."""
variable_name = words(
    VARIABLE, "{} is no name for a variable; use letters, digits and '_', beginning with a small letter"
)
"""A variable's name as it stands in `{{ name }}`."""
environment_name = words(ENVIRONMENT, "{} is no name for an environment variable; use letters, digits and '_'")
file_name = words(FILE_NAME, "{} is no name for a file; use letters, digits, '.', '_' and '-', no '/'")
reference = words(REGISTRY, "{} is no image; write it with its registry, for example quay.io/labs/web:1")
"""An image with its registry, so that it means the same everywhere."""
object_name = words(
    re.compile(rf"{LABEL.pattern}/{LABEL.pattern}"), "{} names nothing; write NAMESPACE/NAME, for example nets/dmz"
)
sha256 = words(re.compile("[a-f0-9]{64}"), "{} is no checksum; write the 64 hex digits that sha256sum prints")
url = words(
    re.compile(r"https?://[A-Za-z0-9.\[\]:-]+/(?!.*/\.\.?(/|$))[!-~]+"),
    "{} is no address; write https://…, with the file's whole path",
)
guest_path = words(
    re.compile(r"(?!.*/\.\.?(/|$))(/[^/\x00-\x1f]+)+"), "{} is no path; write all of it, for example /etc/motd"
)
template_path = words(
    re.compile(r"(?!\.|.*/\.)[^/\x00-\x1f]+(/[^/\x00-\x1f]+)*"), "{} is no file of the template; write files/NAME"
)
url_path = words(re.compile(r"/[!-~]*"), "{} is no path; begin it with '/'")
mode = words(re.compile("0[0-7]{3}"), '{} is no mode; write four digits in quotes, for example "0755"')
owner = words(re.compile(rf"{USER.pattern}(:{USER.pattern})?"), "{} is no owner; write for example root:root")
mac = words(re.compile("([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}"), "{} is no hardware address; write 02:00:00:00:00:01")
shell = guest_path


account = words(USER, "{} is no user name; use a-z, 0-9, '_' and '-', beginning with a letter, 32 at most")


@shaped({"type": "string", "pattern": f"^(?:{USER.pattern})$"})
def user_name(text: str) -> str:
    """A Unix account name; `root` is kept for labkit's own checks."""
    if text in RESERVED_USERS:
        raise Wrong(f"'{text}' is kept for labkit's checks; give the learner another account")
    return account(text)


def password(text: str) -> str:
    """A password: one line, no colon (it ends the field in a password file), 1 to 128 characters."""
    if not 1 <= len(text) <= 128 or ":" in text or not text.isprintable():
        raise Wrong("a password is 1 to 128 printable characters without ':'")
    return text


def public_key(text: str) -> str:
    """A public key as it stands in authorized_keys, without options before it."""
    kind, _, rest = text.strip().partition(" ")
    try:
        blob = base64.b64decode(rest.split(" ")[0], validate=True)
    except binascii.Error:
        blob = b""
    if not KEY_TYPES.fullmatch(kind) or kind.encode() not in blob[:64] or not text.strip().isprintable():
        raise Wrong("is no public key; write the line of a file such as id_ed25519.pub")
    return text.strip()


def line(most: int) -> Convert:
    """One line of at most `most` characters, not blank."""

    @shaped({"type": ["string", "number", "boolean"], "maxLength": most})
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


def content(text: str) -> str:
    """Text as it is, 64 KiB at most."""
    if len(text.encode()) > 1 << 16:
        raise Wrong("has more than 65536 bytes; make it a file of the template")
    return text


def one_of(*words: str) -> Convert:
    """One of `words`."""

    @shaped({"enum": list(words)})
    def convert(text: str) -> str:
        if text not in words:
            raise Wrong(f"'{text}' is not known{did_you_mean(text, words)}")
        return text

    return convert


def whole(least: int, most: int) -> Callable[[str], int]:
    """A whole number between `least` and `most`."""

    @shaped({"type": "integer", "minimum": least, "maximum": most})
    def convert(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise Wrong(f"'{text}' is no whole number from {least} to {most}")
        return int(text)

    return convert


@shaped({"type": "boolean"})
def truth(text: str) -> bool:
    """`true` or `false`."""
    if text not in ("true", "false"):
        raise Wrong(f"'{text}' is neither true nor false")
    return text == "true"


@shaped({"enum": [True]})
def only_true(text: str) -> bool:
    """`true`: where the other would say nothing."""
    if text != "true":
        raise Wrong("can only be true; leave it out otherwise")
    return True


@shaped({"type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]{1,3}|m)?$"})
def cores(text: str) -> float:
    """Processor cores as Kubernetes writes them: 2, 0.5, 250m. From 10m to 64."""
    found = re.fullmatch(r"([0-9]{1,5})m|([0-9]{1,2}(?:\.[0-9]{1,3})?)", text)
    number = (int(found[1]) / 1000 if found[1] else float(found[2])) if found else 0
    if not 0.01 <= number <= 64:
        raise Wrong(f"'{text}' is no number of processor cores; write for example 1, 0.5 or 250m (64 at most)")
    return number


@shaped({"type": ["string", "integer"], "pattern": f"^(?:{QUANTITY.pattern})$"})
def memory(text: str) -> int:
    """A Kubernetes quantity, in bytes: 512Mi, 1.5Gi, 1000000000. From 1Mi to 1Ti."""
    return _quantity(text, "memory")


@shaped({"type": ["string", "integer"], "pattern": f"^(?:{QUANTITY.pattern})$"})
def disk_size(text: str) -> int:
    """A Kubernetes quantity, in bytes, from 1Mi to 1Ti."""
    return _quantity(text, "a disk")


def amount(text: str) -> int:
    """A Kubernetes quantity, in bytes, of any size up to 1Ei."""
    return _quantity(text, "anything", 0, 1 << 60)


def _quantity(text: str, thing: str, least: int = 1 << 20, most: int = 1 << 40) -> int:
    found = QUANTITY.fullmatch(text)
    size = int(Decimal(found[1]) * QUANTITY_UNITS[found[2] or ""]) if found and len(text) < 20 else -1
    if not least <= size <= most:
        raise Wrong(f"'{text}' is no size of {thing}; write a number and a unit, for example 512Mi or 2Gi")
    return size


@shaped({"type": "string", "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$"})
def seconds(text: str) -> int:
    """A time such as 45m, 4h or 1h30m, in seconds; more than none, at most 30 days."""
    found = DURATION.fullmatch(text)
    hours, minutes, rest = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = hours * 3600 + minutes * 60 + rest
    if not 0 < total <= 30 * 86400:
        raise Wrong(f"'{text}' is no length of time; write for example 45m, 4h or 1h30m (30 days at most)")
    return total


@shaped({"type": "string"})
def cidr(text: str) -> str:
    """A network such as 192.0.2.0/24, in its shortest writing."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        raise Wrong(f"'{text}' is no network; write for example 192.0.2.0/24 (with the host bits zero)") from None
