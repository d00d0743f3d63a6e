"""Which headers go to a machine's web server, and which come back. Pure.

Every request to a machine is made anew from what was understood of the browser's, on a connection of its own: what two
readers could frame in two ways never gets there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from labkit.gateway.machines import Denied

COOKIE = "__Host-labkit"
"""Our cookie on a machine's origin: host-only, out of scripts' reach, and never told to the machine."""

Fields = list[tuple[str, str]]

_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer")
) | {"transfer-encoding", "upgrade", "expect"}
"""RFC 9110, 7.6.1: for the next hop only."""
_WAY = frozenset(("forwarded", "x-real-ip"))
_OURS = frozenset(("cookie", "labkit-ticket", "labkit-request")) | _WAY
_NOT_BACK = frozenset(
    ("x-frame-options", "clear-site-data", "strict-transport-security", "alt-svc", "public-key-pins", "set-cookie")
)
"""What speaks for more than the machine's own page, or forbids the frame that we show it in."""
_COOKIE_PARTS = ("domain", "samesite", "secure", "partitioned")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def check_site(method: str, headers: Mapping[str, str], origin: str) -> None:
    """A machine's page is asked for things only by itself; others may open it, and see nothing. Raises Denied.

    The cookie alone would let another machine's page, in the next frame, ask with the learner's rights.
    """
    if method not in _METHODS:
        raise Denied(405, "method", "This method is not passed on.")
    opening = method in ("GET", "HEAD") and headers.get("sec-fetch-mode", "navigate") == "navigate"
    foreign = headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not opening
    # A GET that opens a page carries no Origin. A WebSocket carries no Sec-Fetch-…, but always its Origin.
    expected = None if "upgrade" in headers else origin
    if foreign or headers.get("origin", expected) != origin:
        raise Denied(403, "origin", "This page answers only to itself.")


def session_in(headers: Mapping[str, str]) -> str:
    """Our cookie's value; "" where there is none."""
    pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), "")


def for_next_hop(fields: Iterable[tuple[str, str]]) -> Fields:
    """What labkit's own web application and a browser say to each other: all but what is for one hop, and what a
    browser says of the way that it took."""
    fields = list(fields)
    named = _named_by_connection(fields) | _HOP | _WAY
    return [(n, v) for n, v in fields if (low := n.lower()) not in named and low[:12] != "x-forwarded-"]


def to_machine(fields: Iterable[tuple[str, str]], scheme: str) -> Fields:
    """The headers of a request for the machine: its own cookies, none of ours, nothing that is for one hop."""
    fields = list(fields)
    named = _named_by_connection(fields)
    kept = [(n, v) for n, v in fields if (low := n.lower()) not in _HOP | _OURS | named and low[:12] != "x-forwarded-"]
    cookies = [part.strip() for name, value in fields if name.lower() == "cookie" for part in value.split(";")]
    own = [part for part in cookies if part and part.partition("=")[0] != COOKIE]
    host = next((value for name, value in fields if name.lower() == "host"), "")
    more = [("X-Forwarded-Host", host), ("X-Forwarded-Proto", scheme)]
    return [*kept, *([("Cookie", "; ".join(own))] if own else []), *more]


def from_machine(fields: Iterable[tuple[str, str]], host: str, names: Iterable[str]) -> Fields:
    """The headers of an answer for the browser. `host` is the origin's, `names` are the machine's own."""
    fields = list(fields)
    named = _named_by_connection(fields)
    kept = [(name, value) for name, value in fields if name.lower() not in _HOP | _NOT_BACK | named]
    back = [(n, _relative(v, host, names) if n.lower() == "location" else v) for n, v in kept]
    cookies = [_cookie(value) for name, value in fields if name.lower() == "set-cookie"]
    set_back = [("Set-Cookie", value) for value in cookies if value]
    return [*back, *set_back, ("Origin-Agent-Cluster", "?1")]


def _named_by_connection(fields: Iterable[tuple[str, str]]) -> frozenset[str]:
    values = (value for name, value in fields if name.lower() == "connection")
    return frozenset(part.strip().lower() for value in values for part in value.split(","))


def _relative(location: str, host: str, names: Iterable[str]) -> str:
    """A redirection to the machine itself, by whatever name it knows itself, stays on the origin that it has here."""
    try:
        found = urlsplit(location)
    except ValueError:
        return location
    own = {host.partition(":")[0], *names}
    if found.scheme not in ("http", "https") or found.hostname not in own:
        return location
    return found._replace(scheme="", netloc="", path="/" + found.path.lstrip("/")).geturl()


def _cookie(value: str) -> str:
    """A machine's cookie for its own host, which a frame within another site's page is given too; "" for ours."""
    first, *rest = [part.strip() for part in value.split(";")]
    if first.partition("=")[0].strip() == COOKIE:
        return ""
    kept = [part for part in rest if part.partition("=")[0].strip().lower() not in _COOKIE_PARTS]
    return "; ".join([first, *kept, "Secure", "SameSite=None", "Partitioned"])
