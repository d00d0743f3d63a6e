"""The door: finds out who sends a request, and whether they may, before anything else is looked at."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterable
from functools import partial

from multidict import CIMultiDictProxy

from labkit.local.access.requests import refusal
from labkit.local.access.rights import Rights
from labkit.local.access.rules import MASTERS, Attributes, Caller, User
from labkit.local.access.tokens import Tokens
from labkit.local.api.discovery import SUBRESOURCES
from labkit.local.api.status import ApiError, bad_request, unauthorized

Headers = CIMultiDictProxy[str]

OPERATOR = User("labkit-admin", (MASTERS, "system:authenticated"))
_TOKEN_PROTOCOL = "base64url.bearer.authorization.k8s.io."  # noqa: S105 - the name of a protocol


class Guard:
    """Tokens in, callers out. The operator's token may do everything."""

    def __init__(self, rights: Rights, tokens: Tokens, operator_token: str) -> None:
        self._rights = rights
        self._tokens = tokens
        self._operator = operator_token.encode()

    def admit(self, headers: Headers, needed: Iterable[Attributes]) -> Caller:
        """Who asks. ApiError 401 where that is unknown, 403 where they may not, 400 for acting as another."""
        token = bearer(headers)
        known = hmac.compare_digest(token.encode(errors="surrogateescape"), self._operator)
        user = OPERATOR if known else self._tokens.user(token)
        if user is None:
            raise unauthorized()
        if other := sorted(name for name in headers if name.lower().startswith("impersonate-")):
            raise bad_request(f"the embedded engine does not serve {', '.join(other)}")
        self._require(user, needed)
        return Caller(user, partial(self._rights.may, user))

    def _require(self, user: User, needed: Iterable[Attributes]) -> None:
        for wanted in needed:
            if self._rights.may(user, wanted):
                continue
            refused = refusal(user, wanted)
            if wanted.group == SUBRESOURCES and wanted.resource.count("/") > 1:
                # This one KubeVirt's own server asks for, and it refuses so.
                raise ApiError(401, "Unauthorized", refused.message, plain=True)
            raise refused


def bearer(headers: Headers) -> str:
    """The token in ``Authorization``, or in a WebSocket subprotocol (beside another), which is all a browser can set.

    Raises ApiError 401 where there is none.
    """
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and given.strip():
        return given.strip()
    offered = [protocol.strip() for protocol in headers.get("Sec-WebSocket-Protocol", "").split(",")]
    coded = [protocol for protocol in offered if protocol.startswith(_TOKEN_PROTOCOL)]
    if len(coded) != 1 or len(offered) < 2:
        raise unauthorized()
    text = coded[0].removeprefix(_TOKEN_PROTOCOL)
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise unauthorized() from error
