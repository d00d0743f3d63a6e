"""ServiceAccounts' tokens: JSON Web Tokens (RFC 7519) with Kubernetes' claims, good while their account lives."""

from __future__ import annotations

import time
import uuid
from functools import lru_cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from labkit.local.access.rights import ACCOUNT
from labkit.local.access.rules import User
from labkit.local.api.status import ApiError, Cause, invalid
from labkit.local.files import write_atomically
from labkit.local.objects import Obj, name_of, namespace_of, uid_of
from labkit.local.store import Store

ISSUER = "https://kubernetes.default.svc.cluster.local"
"""Also the audience that this API itself has."""
_ALGORITHM = "ES256"
_SHORTEST, _LONGEST = 600, 2**32


class Tokens:
    """Issues tokens, and says whose a token is; the key is made once, in ``key_file`` (0600)."""

    def __init__(self, store: Store, key_file: Path) -> None:
        if not key_file.exists():
            made = ec.generate_private_key(ec.SECP256R1())
            write_atomically(key_file, made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        self._store = store
        self._private: Any = load_pem_private_key(key_file.read_bytes(), None)
        self._claims = lru_cache(maxsize=1024)(self._verified)

    def issue(self, account: Obj, spec: Obj) -> tuple[str, float]:
        """A token for a ServiceAccount as a TokenRequestSpec asks, and when it expires (seconds since 1970).

        Raises ApiError 422.
        """
        now, lifetime = int(time.time()), spec["expirationSeconds"]
        if not _SHORTEST <= lifetime <= _LONGEST:
            raise _invalid("expirationSeconds", f"{lifetime} is less than 10 minutes or more than 2^32 seconds")
        if spec.get("boundObjectRef"):
            raise _invalid("boundObjectRef", "the embedded engine binds tokens to their ServiceAccount only")
        identity = {"name": name_of(account), "uid": uid_of(account)}
        about = {"namespace": namespace_of(account), "serviceaccount": identity}
        claims = {
            "iss": ISSUER, "sub": f"{ACCOUNT}{namespace_of(account)}:{name_of(account)}", "aud": spec["audiences"],
            "iat": now, "nbf": now, "exp": now + lifetime, "jti": str(uuid.uuid4()), "kubernetes.io": about,
        }  # fmt: skip
        return jwt.encode(claims, self._private, _ALGORITHM), claims["exp"]

    def user(self, token: str) -> User | None:
        """Whose token it is; None where it is not ours, or for another audience, or its time or its account is over."""
        try:
            claims = self._claims(token)
        except (jwt.InvalidTokenError, ValueError):
            return None
        space, account = claims["kubernetes.io"]["namespace"], claims["kubernetes.io"]["serviceaccount"]
        found = self._store.get("serviceaccounts", space, account["name"])
        lives = found is not None and uid_of(found) == account["uid"]
        if not (lives and claims["nbf"] <= time.time() < claims["exp"] and ISSUER in claims["aud"]):
            return None
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{space}", "system:authenticated")
        return User(claims["sub"], groups, account["uid"])

    def _verified(self, token: str) -> dict[str, Any]:
        # Times and audience are looked at in each request; this answer is remembered.
        options: Any = {"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False}
        return jwt.decode(token, self._private.public_key(), [_ALGORITHM], issuer=ISSUER, options=options)


def _invalid(part: str, why: str) -> ApiError:
    return invalid("TokenRequest", "authentication.k8s.io", "", [Cause(f"spec.{part}", f"Invalid value: {why}")])
