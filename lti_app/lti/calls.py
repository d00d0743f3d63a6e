"""Calls to a platform's services: only where the platform lives, with a token, in bounded time and size.

A token is good for all courses of a tool (seen with Moodle 4.5), and service addresses come with launches, where course
teachers can set them. So no request goes to an origin that is not the registered platform's, and none is redirected.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

import jwt

from labkit.errors import LabkitError
from labkit.store import Platform
from lti_app.lti.keys import ToolKeys
from lti_app.lti.outbound import WHOLE_SECONDS, Answer, OutboundRefused, Unreachable, fetch, origin_of, owns

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_NEXT = re.compile(r'<([^<>]+)>\s*;[^,<]*\brel="?next"?', re.IGNORECASE)
_MOST_PAGES = 100
_MARGIN = 60.0
"""A token is not used in the last so many seconds of its life."""


class TokenRefused(LabkitError):
    """The platform gives this tool no token for what it wants to do."""


@dataclass(frozen=True)
class _Token:
    text: str
    expires: float


class Calls:
    """Calls with tokens, which are kept until they expire and renewed once where the platform refuses one.

    `private`: platforms may be in private networks. `seconds`: how long an answer may take. Safe in any number of
    threads.
    """

    def __init__(
        self,
        keys: ToolKeys,
        *,
        private: bool,
        clock: Callable[[], float] = time.time,
        seconds: float = WHOLE_SECONDS,
    ) -> None:
        self._keys, self.clock = keys, clock
        self._fetched = partial(fetch, private=private, seconds=seconds)
        self._tokens: dict[tuple[str, str], _Token] = {}
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._lock = threading.Lock()

    def call(
        self,
        platform: Platform,
        method: str,
        address: str,
        scope: str,
        *,
        body: bytes | None = None,
        content_type: str = "",
        accept: str = "",
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        """One call, with `query` added to the address. Raises OutboundRefused (Unreachable: worth another
        try), TokenRefused."""
        if not owns(platform, address):
            raise OutboundRefused(f"{origin_of(address) or 'that address'} is not {platform.name}'s: nothing was sent")
        parts = urlsplit(address)
        together = "&".join(part for part in (parts.query, urlencode(query or {})) if part)
        url = urlunsplit(parts._replace(query=together))
        headers = {"Content-Type": content_type, "Accept": accept}
        headers = {name: value for name, value in headers.items() if value}
        refused = ""
        while True:
            token = self._token(platform, scope, refused)
            headers["Authorization"] = f"Bearer {token}"
            answer = self._fetched(platform, url, method=method, headers=headers, data=body)
            if answer.status != 401 or refused:
                return answer
            refused = token

    def pages(
        self, platform: Platform, address: str, scope: str, *, accept: str, query: Mapping[str, str] | None = None
    ) -> Iterator[Answer]:
        """A list's pages, one after the other as each names the next (RFC 8288), a bounded number of them. An answer
        that is no page is the last. Raises what `call` does."""
        for _ in range(_MOST_PAGES):
            answer = self.call(platform, "GET", address, scope, accept=accept, query=query)
            yield answer
            following = _NEXT.search(str(answer.headers.get("Link", "")))
            if answer.status != 200 or following is None or following[1] == address:
                return
            address, query = urljoin(address, following[1]), None

    def why_not(self, platform: Platform, scope: str) -> str:
        """Why there is no token for a scope, in a sentence; nothing where there is one."""
        try:
            self._token(platform, scope, "")
        except LabkitError as error:
            return str(error)
        return ""

    def _token(self, platform: Platform, scope: str, refused: str) -> str:
        """A token that is good, and another one than `refused`: fetched once, whoever waits for it."""
        key = (platform.id, scope)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            found = self._tokens.get(key)
            if found is None or found.text == refused or found.expires < self.clock() + _MARGIN:
                found = self._tokens[key] = self._fetch(platform, scope)
            return found.text

    def _fetch(self, platform: Platform, scope: str) -> _Token:
        now = self.clock()
        claims = {
            "iss": platform.client_id,
            "sub": platform.client_id,
            "aud": platform.token_url,
            "iat": int(now),
            "exp": int(now) + 60,
            "jti": secrets.token_hex(16),
        }
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": _ASSERTION,
            "client_assertion": signed(self._keys, claims),
            "scope": scope,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        answer = self._fetched(platform, platform.token_url, method="POST", headers=headers, data=urlencode(form))
        told = body_of(answer)
        if answer.status >= 500 or answer.status == 429:
            raise Unreachable(f"the platform's token service answers {answer.status}")
        if answer.status != 200 or not isinstance(told, dict) or not told.get("access_token"):
            why = told.get("error", "") if isinstance(told, dict) else ""
            raise TokenRefused(f"the platform gives no token ({answer.status} {why}): {_REMEDY.get(why, _ANY)}")
        return _Token(str(told["access_token"]), now + _seconds(told.get("expires_in")))


_REMEDY = {"invalid_scope": "the service is not switched on for this tool there"}
_ANY = "it may not reach this tool's keys, or not know this client any more"


def signed(keys: ToolKeys, claims: Mapping[str, Any]) -> str:
    """A JWT of claims with the tool's key."""
    key = keys.signing
    return jwt.encode(dict(claims), key.private, algorithm="RS256", headers={"kid": key.kid})


def body_of(answer: Answer) -> Any:
    """An answer's JSON; None where it is none."""
    try:
        return json.loads(answer.body)
    except ValueError:
        return None


def _seconds(told: object) -> float:
    return float(told) if isinstance(told, int | float) and told > 0 else 3600.0
