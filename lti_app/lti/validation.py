"""The checks of an id_token, in their order, each with a refusal of its own. Pure: keys and the time are given.

The order and the rules are those of the 1EdTech Security Framework 1.0 (5.1.3) and LTI Core 1.3 (5.3), with what
pylti1p3 2.0.0 leaves out: times that are missing, `azp`, the nonce bound to its state, the target, the types of claims.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from jwt.utils import base64url_decode
from pylti1p3.exception import LtiException
from pylti1p3.message_validators import get_validators

from labkit.store import LaunchState, Platform
from lti_app.lti import claims as c
from lti_app.lti.outbound import origin_of, owns
from lti_app.refusals import Refusal

ALGORITHM = "RS256"
LONGEST_AGE = 600.0
"""Seconds since `iat` after which a message is too old, whatever its `exp` says."""
_MOST_TEXT, _LONGEST_HEADER = 255, 4096
_AGAIN = "Go back to your course and open the activity again."
_PLATFORM = "Please tell the people who run your learning platform."
_ONLY_SIGNATURE = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}

FindKey = Callable[[str], jwt.PyJWK | None]
Claims = Mapping[str, Any]


@dataclass(frozen=True)
class Expected:
    """What a message is held against: its platform, the sign-in that it answers, our origin, and the time."""

    platform: Platform
    state: LaunchState
    origin: str
    now: float
    leeway: float


def verified(token: str, expected: Expected, find_key: FindKey) -> Claims:
    """The claims of an id_token that has passed every check but the last: that its nonce is still unused, which only
    the store can say, when the launch is recorded. Raises Refusal."""
    claims = _signed(token, find_key)
    for check in CHECKS:
        check(claims, expected)
    return claims


def _signed(token: str, find_key: FindKey) -> Claims:
    header = _header(token)
    if header.get("alg") != ALGORITHM:
        raise _refusal("algorithm", "The message is signed in a way that is not accepted.", repr(header.get("alg")))
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise _refusal("no-key-id", "The message does not say with which key it is signed.")
    key = find_key(kid)
    if key is None:
        raise _refusal(
            "unknown-key", "The message is signed with a key that your learning platform does not have.", kid
        )
    try:
        found = jwt.decode(token, key, algorithms=[ALGORITHM], options={**_ONLY_SIGNATURE})  # type: ignore[arg-type]
    except jwt.InvalidSignatureError as error:
        raise _refusal("signature", "The message's signature is wrong.", kid) from error
    except (jwt.InvalidTokenError, RecursionError) as error:
        raise _refusal("not-a-message", "What was signed is no message that can be read.", repr(error)) from error
    return found


def _header(token: str) -> Claims:
    """A token's first part alone: PyJWT would read all of it, and then once more to verify it."""
    first = token.partition(".")[0]
    try:
        found = json.loads(base64url_decode(first)) if len(first) <= _LONGEST_HEADER else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise _refusal("not-a-token", "What your learning platform sent is no signed message.")
    return found


def _issuer(claims: Claims, expected: Expected) -> None:
    if claims.get("iss") != expected.platform.issuer:  # exactly: a slash more is another issuer
        raise _refusal("issuer", "The message is from another platform than the sign-in.", repr(claims.get("iss")))


def _audience(claims: Claims, expected: Expected) -> None:
    given, client = claims.get("aud"), expected.platform.client_id
    audiences = [given] if isinstance(given, str) else given
    if not isinstance(audiences, list) or client not in audiences:
        raise _refusal("audience", "The message is meant for another tool.", repr(given))
    azp = claims.get("azp")
    if (azp is None and len(audiences) > 1) or (azp is not None and azp != client):
        raise _refusal("authorized-party", "The message was made for another tool.", repr(azp))


def _times(claims: Claims, expected: Expected) -> None:
    now, leeway = expected.now, expected.leeway
    expires, issued, since = (_moment(claims, name) for name in ("exp", "iat", "nbf"))
    if expires is None:
        raise _refusal("no-expiry", "The message does not say until when it is good.", repr(claims.get("exp")))
    if now > expires + leeway:
        raise _refusal("expired", f"The message is too old. {_AGAIN}", f"by {now - expires:.0f} s", advice="")
    if issued is None:
        raise _refusal("no-issue-time", "The message does not say when it was made.", repr(claims.get("iat")))
    if issued > now + leeway or (since is not None and since > now + leeway):
        ahead = max(issued, since or issued) - now
        raise _refusal("future", "The message comes from the future: one of the two clocks is wrong.", f"{ahead:.0f} s")
    if now - issued > LONGEST_AGE + leeway:
        raise _refusal("ancient", f"The message was made too long ago. {_AGAIN}", f"{now - issued:.0f} s", advice="")


def _nonce(claims: Claims, expected: Expected) -> None:
    if claims.get("nonce") != expected.state.nonce:
        raise _refusal("nonce", f"The message does not belong to this sign-in. {_AGAIN}", advice="")


def _kind(claims: Claims, expected: Expected) -> None:
    if claims.get(c.VERSION) != "1.3.0":
        raise _refusal("version", "The message is not of LTI 1.3.", repr(claims.get(c.VERSION)))
    kind = claims.get(c.MESSAGE_TYPE)
    if kind not in c.KINDS:
        raise _refusal("message-type", "The message is of a kind that labkit does not know.", repr(kind))


def _deployment(claims: Claims, expected: Expected) -> None:
    found = claims.get(c.DEPLOYMENT)
    if not _is_id(found) or found not in expected.platform.deployments:
        raise _refusal("deployment", "The place that the message is from is not registered here.", repr(found))
    if expected.state.deployment not in ("", found):
        raise _refusal("other-deployment", "The message is from another place than the sign-in.", repr(found))


def _person(claims: Claims, expected: Expected) -> None:
    subject = claims.get("sub")
    if subject is None:
        text = "Your learning platform does not say who you are, so labkit cannot keep your work."
        raise _refusal("anonymous", text)
    if not _is_id(subject) or not subject.isascii():
        raise _refusal("subject", "The message does not name a person as it should.", type(subject).__name__)
    roles = claims.get(c.ROLES)
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise _refusal("roles", "The message does not list your roles as it should.", repr(roles))


def _place(claims: Claims, expected: Expected) -> None:
    """What each kind of message must bring, by our own rules, and then by pylti1p3's."""
    for name, needed in c.CLAIMS_OF_KINDS[claims[c.MESSAGE_TYPE]]:
        found = claims.get(name)
        if not isinstance(found, dict) or not _is_id(found.get(needed)):
            raise _refusal("incomplete", "The message lacks something that it must have.", f"{name} {needed}")
    context = claims.get(c.CONTEXT)
    if context is not None and not (isinstance(context, dict) and _is_id(context.get("id"))):
        raise _refusal("context", "The message does not name its course as it should.", repr(context))
    wrong = [name for name in c.OBJECTS if name in claims and not isinstance(claims[name], dict | None)]
    if wrong:
        raise _refusal("malformed", "A part of the message is not what it should be.", ", ".join(wrong))
    try:
        for validator in get_validators():  # type: ignore[no-untyped-call]
            if validator.can_validate(claims):
                validator.validate(claims)
    except (LtiException, AttributeError, TypeError) as error:
        raise _refusal("incomplete", "The message lacks something that it must have.", str(error)) from error


def _target(claims: Claims, expected: Expected) -> None:
    target = claims.get(c.TARGET)
    if not isinstance(target, str) or not target:
        raise _refusal("no-target", "The message does not say what it wants to open.")
    if origin_of(target) != expected.origin:
        raise _refusal("target", "The message wants to open a page of another site.", repr(target))
    settings = claims.get(c.DEEP_LINKING)
    if settings is not None and not owns(expected.platform, str(settings.get("deep_link_return_url"))):
        raise _refusal("return-address", "The message wants the answer to go to another site.")


def _custom(claims: Claims, expected: Expected) -> None:
    custom = claims.get(c.CUSTOM)
    wrong = [name for name, value in (custom or {}).items() if not isinstance(value, str | None)]
    if wrong:
        raise _refusal("custom", "The activity's settings are not texts.", ", ".join(wrong))


CHECKS = (_issuer, _audience, _times, _nonce, _kind, _deployment, _person, _place, _target, _custom)
"""After the signature, in this order."""


def _moment(claims: Claims, name: str) -> float | None:
    found = claims.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        return None
    return float(found)


def _is_id(found: object) -> bool:
    return isinstance(found, str) and 0 < len(found) <= _MOST_TEXT


def _refusal(code: str, text: str, detail: str = "", *, advice: str = _PLATFORM) -> Refusal:
    return Refusal(code, f"{text} {advice}".strip(), detail=detail)
