"""What a registered platform lacks: asked of the platform itself, by all that launches and grades will need."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from labkit.errors import LabkitError
from labkit.store import Platform, PlatformState, Store
from lti_app.lti import ags, nrps
from lti_app.lti.calls import Calls, body_of
from lti_app.lti.keys import ToolKeys
from lti_app.lti.outbound import Answer, fetch

_SKEW_SECONDS = 10.0
_SERVICES = (
    (ags.SCORE, "send grades", "switch the grade service on for this tool there"),
    (ags.RESULT, "see what became of grades", "switch the grade service on for this tool there"),
    (nrps.SCOPE, "see who is in a course", "switch the names and roles service on for this tool there"),
)


@dataclass(frozen=True)
class Finding:
    """One thing that was tried: whether it is as it should be, and what to do where it is not."""

    name: str
    good: bool
    text: str


def findings(
    store: Store, calls: Calls, keys: ToolKeys, platform: Platform, origin: str, *, private: bool
) -> Iterator[Finding]:
    """Try all there is, one after the other. `origin` is our own."""
    active = platform.state is PlatformState.ACTIVE
    yield Finding("switched on", active, "" if active else f"it is {platform.state.value}: no launch is taken from it")
    named = ", ".join(platform.deployments)
    yield Finding("deployments", bool(named), named or "none is known: see `labkit lti platforms add --deployment`")
    yield Finding("own address", origin.startswith("https:"), origin if origin.startswith("https:") else
                  f"{origin} is not https: browsers keep no cookie of it in a platform's frame")  # fmt: skip
    yield _tried("platform's keys", lambda: _keys(platform, private=private))
    yield _tried("sign-in address", lambda: _sign_in(platform, private=private))
    yield _tried("own keys, from outside", lambda: _own_keys(keys, origin))
    for scope, what, remedy in _SERVICES:
        why = calls.why_not(platform, scope)
        yield Finding(what, not why, f"{why}; {remedy}" if why else "")
    contexts = [one for one in store.contexts(platform.id) if one.roster_url]
    text = f"{len(contexts)} courses" if contexts else "nobody has been launched from a course with a roster yet"
    yield Finding("courses", bool(contexts), text)


def _tried(name: str, try_it: Callable[[], str]) -> Finding:
    try:
        fault = try_it()
    except LabkitError as error:
        fault = str(error)
    return Finding(name, not fault, fault)


def _keys(platform: Platform, *, private: bool) -> str:
    answer = fetch(platform, platform.jwks_url, private=private)
    body = body_of(answer)
    keys = body.get("keys", ()) if isinstance(body, dict) else ()
    if answer.status != 200 or not any(isinstance(key, dict) and key.get("kty") == "RSA" for key in keys):
        return f"{platform.jwks_url} has no RSA key (status {answer.status})"
    return _clock(answer)


def _clock(answer: Answer) -> str:
    """A platform's launches are good for a minute: clocks must agree."""
    try:
        ahead = parsedate_to_datetime(str(answer.headers.get("Date", ""))).timestamp() - time.time()
    except ValueError:
        return ""
    return f"its clock differs from ours by {ahead:.0f} s: set both by NTP" if abs(ahead) > _SKEW_SECONDS else ""


def _sign_in(platform: Platform, *, private: bool) -> str:
    """Without a request it can only refuse; that there is something to refuse is what can be seen from here."""
    answer = fetch(platform, platform.auth_url, private=private)
    body = answer.body.decode("latin-1").lower()
    missing = answer.status == 404 and "invalid request" not in body  # Moodle says so to a request without a hint
    return f"{platform.auth_url} is not there (404)" if missing else ""


def _own_keys(keys: ToolKeys, origin: str) -> str:
    """The platform has to fetch them. That this computer can says little, that it cannot says much."""
    ourselves = Platform("", origin, "", "this tool", "", "", "")
    body = body_of(fetch(ourselves, f"{origin}/lti/jwks", private=True))
    found = [key.get("kid") for key in body.get("keys", ())] if isinstance(body, dict) else []
    return "" if keys.signing.kid in found else f"{origin}/lti/jwks does not have our key: does the proxy lead here?"
