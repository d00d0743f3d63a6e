"""Tickets: short-lived signed rights to the panes of one lab. Imports nothing of ours.

A ticket is a JSON Web Token signed with Ed25519 (RFC 8037), its key named in `kid`. It travels in a URL's fragment to a
pane page, and from there in the header `Labkit-Ticket` or as the second WebSocket subprotocol, `labkit.ticket.<token>`
(the token's alphabet is a subset of RFC 7230's token, so it may stand there). It never stands in a path or a query.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ISSUER = "labkit"
AUDIENCE = "labkit-gateway"
LIFETIME = 300.0
SUBPROTOCOL_PREFIX = "labkit.ticket."
HEADER = "Labkit-Ticket"


class TicketError(Exception):
    """The ticket gives no right; the text says why in words that hold no part of it."""


@dataclass(frozen=True)
class Ticket:
    """What a ticket says: who (an opaque learner id) may open which machines of which lab, how, and until when.

    `machines` empty means all machines of the lab. `epoch` is the lab's ticket epoch when it was signed: raising the
    lab's epoch revokes every ticket signed before.
    """

    lab: str
    learner: str
    expires: float
    machines: tuple[str, ...] = ()
    mode: str = "control"
    epoch: int = 0


@dataclass(frozen=True)
class SigningKey:
    """A private key and the name it is known by (the RFC 7638-like thumbprint of its public half)."""

    kid: str
    private: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key."""
        return cls._named(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> SigningKey:
        """The key in `pem` (PKCS#8, not encrypted). Raises ValueError where it is no Ed25519 key."""
        key = serialization.load_pem_private_key(pem, password=None)
        if not isinstance(key, Ed25519PrivateKey):
            raise ValueError("not an Ed25519 key")
        return cls._named(key)

    @classmethod
    def _named(cls, key: Ed25519PrivateKey) -> SigningKey:
        digest = hashes.Hash(hashes.SHA256())
        digest.update(key.public_key().public_bytes_raw())
        return cls(_b64(digest.finalize())[:16], key)

    def to_pem(self) -> bytes:
        """The key as PKCS#8 PEM, not encrypted: for a file with mode 0600."""
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    def public_jwk(self) -> dict[str, str]:
        """The public half as a JSON Web Key (RFC 8037)."""
        raw = self.private.public_key().public_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.kid, "x": _b64(raw)}


def jwks(keys: Sequence[SigningKey]) -> dict[str, list[dict[str, str]]]:
    """A JSON Web Key Set with the public halves of `keys`."""
    return {"keys": [key.public_jwk() for key in keys]}


def sign(ticket: Ticket, key: SigningKey, *, now: float | None = None) -> str:
    """The ticket as a compact JWT."""
    issued = time.time() if now is None else now
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": ticket.learner,
        "iat": int(issued),
        "exp": int(ticket.expires),
        "lab": ticket.lab,
        "machines": list(ticket.machines),
        "mode": ticket.mode,
        "epoch": ticket.epoch,
    }
    return jwt.encode(claims, key.private, algorithm="EdDSA", headers={"kid": key.kid})


def key_id(token: str) -> str | None:
    """The key id that `token` names, unverified; None where it is no JWT. For choosing a key, for nothing else."""
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except jwt.InvalidTokenError:
        return None
    return kid if isinstance(kid, str) else None


def verify(token: str, key_set: Mapping[str, Any]) -> Ticket:
    """The ticket in `token`, once its signature, issuer, audience and times hold.

    `key_set` is a JSON Web Key Set; a key that was replaced has an `exp`, after which it counts no more.
    Raises TicketError.
    """
    kid, now = key_id(token), time.time()
    good = [key for key in key_set.get("keys", ()) if key.get("exp", now) >= now]
    jwk = next((key for key in good if kid is not None and key.get("kid") == kid), None)
    if jwk is None:
        raise TicketError("the ticket is not signed by this installation")
    try:
        claims = jwt.decode(
            token,
            jwt.PyJWK(jwk),
            algorithms=["EdDSA"],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={"require": ["exp", "iat", "sub", "aud", "iss"]},
        )
    except jwt.ExpiredSignatureError:
        raise TicketError("the ticket has expired") from None
    except (jwt.InvalidTokenError, jwt.PyJWKError):
        raise TicketError("the ticket is not valid") from None
    return _ticket(claims)


def _ticket(claims: Mapping[str, Any]) -> Ticket:
    lab, machines, mode, epoch = (claims.get(name) for name in ("lab", "machines", "mode", "epoch"))
    well_formed = (
        isinstance(lab, str)
        and isinstance(machines, list)
        and all(isinstance(machine, str) for machine in machines)
        and mode in ("control", "view")
        and isinstance(epoch, int)
    )
    if not well_formed:
        raise TicketError("the ticket is not valid")
    return Ticket(str(lab), claims["sub"], claims["exp"], tuple(machines or ()), str(mode), int(epoch or 0))


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
