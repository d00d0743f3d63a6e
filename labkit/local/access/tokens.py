"""ServiceAccounts' tokens: JSON Web Tokens (RFC 7519) with Kubernetes' claims, good while their account lives."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from labkit.local.access.rights import ACCOUNT
from labkit.local.access.rules import User
from labkit.local.api.status import Cause, conflict, invalid
from labkit.local.files import write_atomically
from labkit.local.objects import Obj, get_path, name_of, namespace_of, uid_of
from labkit.local.store import Store

ISSUER = "https://kubernetes.default.svc.cluster.local"
"""Also the audience that this API itself has."""
_BOUND = {"Pod": "pods", "Secret": "secrets"}
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

        Raises ApiError 404, 409 or 422.
        """
        now, lifetime = int(time.time()), spec["expirationSeconds"]
        if not _SHORTEST <= lifetime <= _LONGEST:
            why = (
                f"Invalid value: {lifetime}: may not specify a duration less than 10 minutes or more than 2^32 seconds"
            )
            raise invalid("TokenRequest", "authentication.k8s.io", "", [Cause("spec.expirationSeconds", why)])
        about = {"namespace": namespace_of(account), "serviceaccount": _identity(account)}
        if reference := spec.get("boundObjectRef"):
            about[reference["kind"].lower()] = _identity(self._bound(account, reference))
        claims = {
            "iss": ISSUER, "sub": f"{ACCOUNT}{namespace_of(account)}:{name_of(account)}", "aud": spec["audiences"],
            "iat": now, "nbf": now, "exp": now + lifetime, "jti": str(uuid.uuid4()), "kubernetes.io": about,
        }  # fmt: skip
        return jwt.encode(claims, self._private, _ALGORITHM), claims["exp"]

    def user(self, token: str, audiences: Collection[str] = (ISSUER,)) -> User | None:
        """Whose token it is; None where it is not ours, or its time, its account or what it is bound to is over."""
        try:
            claims = self._claims(token)
        except (jwt.InvalidTokenError, ValueError):
            return None
        about = claims["kubernetes.io"]
        bound = [("serviceaccounts", about["serviceaccount"])]
        bound += [(plural, about[kind.lower()]) for kind, plural in _BOUND.items() if kind.lower() in about]
        living = all(self._lives(plural, about["namespace"], identity) for plural, identity in bound)
        if not (living and claims["nbf"] <= time.time() < claims["exp"] and set(audiences) & set(claims["aud"])):
            return None
        extra = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
        if pod := about.get("pod"):
            extra |= {f"authentication.kubernetes.io/pod-{key}": [value] for key, value in pod.items()}
        return User(claims["sub"], own_groups(claims["sub"]), about["serviceaccount"]["uid"], extra)

    def _verified(self, token: str) -> dict[str, Any]:
        # Times and audience are looked at in each request; this answer is remembered.
        options: Any = {"verify_aud": False, "verify_exp": False, "verify_nbf": False, "verify_iat": False}
        return jwt.decode(token, self._private.public_key(), [_ALGORITHM], issuer=ISSUER, options=options)

    def _lives(self, plural: str, namespace: str, identity: dict[str, str]) -> bool:
        found = self._store.get(plural, namespace, identity["name"])
        return found is not None and uid_of(found) == identity["uid"]

    def _bound(self, account: Obj, reference: Obj) -> Obj:
        kind, name = reference["kind"], reference.get("name", "")
        if kind not in _BOUND:
            why = f"cannot bind token to object of type {kind}: the embedded engine binds to Pod and Secret"
            raise invalid("TokenRequest", "authentication.k8s.io", "", [Cause("spec.boundObjectRef.kind", why)])
        found = self._store.require(_BOUND[kind], namespace_of(account), name)
        if reference.get("uid", uid_of(found)) != uid_of(found):
            why = f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record"
            raise conflict(_BOUND[kind], "", name, why)
        if kind == "Pod" and get_path(found, "spec.serviceAccountName", "default") != name_of(account):
            why = "cannot bind token to a pod running with a different serviceaccount name"
            raise invalid("TokenRequest", "authentication.k8s.io", "", [Cause("spec.boundObjectRef", why)])
        return found


def own_groups(user: str) -> tuple[str, ...]:
    """The groups that come with a name: those of ServiceAccounts, and last that of all who are (not) known."""
    if user == "system:anonymous":
        return ("system:unauthenticated",)
    space = user.removeprefix(ACCOUNT).partition(":")[0] if user.startswith(ACCOUNT) else ""
    own = ("system:serviceaccounts", f"system:serviceaccounts:{space}") if space else ()
    return (*own, "system:authenticated")


def _identity(obj: Obj) -> dict[str, str]:
    return {"name": name_of(obj), "uid": uid_of(obj)}
