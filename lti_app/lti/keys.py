"""The tool's own keys: RS256, as platforms ask for. They sign what we send to platforms, which fetch the public halves.

A replaced key's public half stays published for some days: platforms keep what they have fetched.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from labkit.errors import SetupError
from labkit.folders import make_private
from labkit.orchestrator.keyring import kept, write_secret
from labkit.settings import Settings

_OVERLAP = 7 * 86400.0
"""A replaced key is published for so many seconds more."""


@dataclass(frozen=True)
class ToolKey:
    """A private key and the name that platforms know it by (from RFC 7638's thumbprint of its public half)."""

    kid: str
    private: RSAPrivateKey

    def pem(self) -> bytes:
        """PKCS#8, not encrypted."""
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def public_jwk(self) -> dict[str, Any]:
        """The public half as a JSON Web Key."""
        return {**_bare_jwk(self.private), "use": "sig", "alg": "RS256", "kid": self.kid}


class ToolKeys:
    """The keys in files that only this user can read, shared by all processes: made once, replaced by `rotate`."""

    def __init__(self, settings: Settings) -> None:
        make_private(settings.state_dir)
        folder = make_private(settings.keys_dir)
        self._private, self._public, self._lock = folder / "lti.pem", folder / "lti.jwks.json", folder / "lti.lock"
        with self._locked():
            kept(self._private, lambda: _new().pem())
            if not self._public.exists():
                self._publish(self.signing, {})

    @property
    def signing(self) -> ToolKey:
        """The key that signs now: read each time, since another process may have replaced it. Raises SetupError."""
        try:
            key = serialization.load_pem_private_key(self._private.read_bytes(), password=None)
        except ValueError as error:
            raise SetupError(f"{self._private} is not a usable key ({error}); remove it for a new one") from error
        if not isinstance(key, RSAPrivateKey):
            raise SetupError(f"{self._private} is not an RSA key; remove it for a new one")
        return _named(key)

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """The public halves that platforms may see now: of the key that signs, and of those replaced lately."""
        found = json.loads(self._public.read_bytes())["keys"]
        now = time.time()
        good = [key for key in found if key.get("until", now) >= now]
        return {"keys": [{name: value for name, value in key.items() if name != "until"} for key in good]}

    def rotate(self) -> ToolKey:
        """Replace the key that signs. Safe to be killed at any point: nobody signs with what is not published."""
        with self._locked():
            old, new = self.signing, _new()
            self._publish(new, {old.kid: {**old.public_jwk(), "until": time.time() + _OVERLAP}})
            write_secret(self._private, new.pem())
        return new

    def _publish(self, key: ToolKey, replaced: dict[str, dict[str, Any]]) -> None:
        found = json.loads(self._public.read_bytes())["keys"] if self._public.exists() else []
        earlier = {old["kid"]: old for old in found if old.get("until", 0) > time.time()}
        keys = [key.public_jwk(), *{**earlier, **replaced}.values()]
        write_secret(self._public, json.dumps({"keys": keys}).encode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self._lock, "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _new() -> ToolKey:
    return _named(generate_private_key(public_exponent=65537, key_size=2048))


def _named(key: RSAPrivateKey) -> ToolKey:
    thumb = hashlib.sha256(json.dumps(_bare_jwk(key), sort_keys=True, separators=(",", ":")).encode())
    return ToolKey(thumb.hexdigest()[:32], key)


def _bare_jwk(key: RSAPrivateKey) -> dict[str, Any]:
    found = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {name: found[name] for name in ("e", "kty", "n")}
