"""Platforms' public keys: kept in the store for all processes, fetched anew when they are old or a key is unknown.

However many launches name unknown keys, a platform is asked once in a while, by one process.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt

from labkit.store import Platform, PlatformKeys, Store
from lti_app.lti.outbound import WHOLE_SECONDS, OutboundRefused, fetch

log = logging.getLogger(__name__)

PAUSE = 60.0
"""Seconds between two requests for one platform's keys."""
FRESH, LONGEST = 3600.0, 86400.0
"""Keys are asked for anew after an hour; where that fails, they are believed for a day."""

_PATIENCE, _LOOK = 5.0, 0.05
"""For how long one process waits for what another is fetching, and how often it looks, in seconds."""

Keys = Mapping[str, jwt.PyJWK]


class KeysUnavailable(Exception):
    """A platform's keys cannot be had; the text is for the operator."""


class KeyFinder:
    """Finds the key with which a platform says that it has signed. `seconds`: how long an answer may take."""

    def __init__(
        self,
        store: Store,
        *,
        private: bool,
        clock: Callable[[], float] = time.time,
        seconds: float = WHOLE_SECONDS,
    ) -> None:
        self._store, self._private, self._clock, self._seconds = store, private, clock, seconds
        self._parsed: dict[str, tuple[str, Keys]] = {}

    def find(self, platform: Platform, kid: str) -> jwt.PyJWK | None:
        """The RS256 key of that name; None where the platform has none. Raises KeysUnavailable."""
        now, kept = self._clock(), self._store.platform_keys(platform.id)
        found = self._keys(platform, kept).get(kid)
        if found is None or now - kept.fetched > FRESH:
            kept = self._renewed(platform, kept, now)
            found = self._keys(platform, kept).get(kid)
        if now - kept.fetched > LONGEST:
            raise KeysUnavailable("the platform's keys could not be fetched")
        return found

    def _renewed(self, platform: Platform, kept: PlatformKeys, now: float) -> PlatformKeys:
        """The keys as they are at the platform now; those that are kept where it was asked just now, or fails."""
        if not self._store.may_fetch_keys(platform.id, now, PAUSE):
            return self._awaited(platform, now)
        try:
            text = self._fetched(platform)
        except (OutboundRefused, ValueError) as error:
            log.warning("keys of platform %s: %s", platform.id, error)
            return kept
        self._store.save_platform_keys(platform.id, text, now)
        return PlatformKeys(text, now, now)

    def _awaited(self, platform: Platform, now: float) -> PlatformKeys:
        """The keys that somebody else is just fetching: a whole class may begin with the first launch of all."""
        for _ in range(round(_PATIENCE / _LOOK)):
            kept = self._store.platform_keys(platform.id)
            if kept.fetched >= kept.tried or now - kept.tried > _PATIENCE:
                break
            time.sleep(_LOOK)
        return kept

    def _fetched(self, platform: Platform) -> str:
        answer = fetch(platform, platform.jwks_url, private=self._private, seconds=self._seconds)
        if answer.status != 200:
            raise ValueError(f"they answer with status {answer.status}")
        text = answer.body.decode()
        if not _parsed(text):
            raise ValueError("there is no key for RS256 among them")
        return text

    def _keys(self, platform: Platform, kept: PlatformKeys) -> Keys:
        known = self._parsed.get(platform.id)
        if known is None or known[0] != kept.text:
            known = self._parsed[platform.id] = (kept.text, _parsed(kept.text) if kept.text else {})
        return known[1]


def _parsed(text: str) -> Keys:
    """The keys of a set with which RS256 can be verified, by name; others are passed over. ValueError for no set."""
    body = json.loads(text)
    found = body.get("keys") if isinstance(body, dict) else None
    if not isinstance(found, list):
        raise ValueError("they are no JSON Web Key Set")
    return {key["kid"]: jwt.PyJWK(_public(key), algorithm="RS256") for key in found if _usable(key)}


def _usable(key: Any) -> bool:
    if not isinstance(key, dict) or not isinstance(key.get("kid"), str):
        return False
    if key.get("kty") != "RSA" or key.get("alg", "RS256") != "RS256" or key.get("use", "sig") != "sig":
        return False
    try:
        return int(jwt.PyJWK(_public(key), algorithm="RS256").key.key_size) >= 2048
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError):
        return False


def _public(key: Mapping[str, Any]) -> dict[str, Any]:
    """The public half alone, whatever else the platform has published."""
    return {name: key[name] for name in ("kty", "n", "e")}
