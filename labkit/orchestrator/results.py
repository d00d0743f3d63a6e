"""Results as records that can leave the installation: without personal data, and signed where they are attested.

A work is a random id; whose it is, only the installation knows. Feedback may name people, so that only its digest goes
out. The signature is a JSON Web Signature over the whole record (RFC 7515, Ed25519 as in RFC 8037).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import jwt

from labkit.model import CheckResult, Mark
from labkit.tickets import SigningKey, key_id

Record = dict[str, Any]
_ALGORITHM = "EdDSA"


def record(installation: str, work: str, result: CheckResult) -> Record:
    """A result without what may name a person. `time` is UTC seconds, `score` 0..1, `seconds` how long it took."""
    return {
        "installation": installation,
        "work": work,
        "step": result.step,
        "template": result.digest,
        "verdict": result.verdict.value,
        "score": result.score,
        "points": result.points,
        "feedback_sha256": hashlib.sha256(result.feedback.encode()).hexdigest(),
        "time": result.time,
        "seconds": result.seconds,
        "attested": result.attested,
    }


def marked(installation: str, mark: Mark) -> Record:
    """A person's mark without what may name one. `time` is UTC seconds."""
    return {
        "installation": installation,
        "work": mark.work,
        "question": mark.question,
        "points": mark.points,
        "comment_sha256": hashlib.sha256(mark.comment.encode()).hexdigest(),
        "time": mark.time,
        "attested": mark.attested,
    }


def exported(found: Record, key: SigningKey) -> Record:
    """A record with its `signature`; one that is not attested, where the learner could have written it, has none."""
    signed = found["attested"] is True
    signature = jwt.encode(found, key.private, algorithm=_ALGORITHM, headers={"kid": key.kid}) if signed else None
    return {**found, "signature": signature}


def fault(exported: Record, keys: Mapping[str, Any]) -> str:
    """What keeps an exported record from being believed, in a few words; nothing where its signature holds.

    `keys` is the installation's JSON Web Key Set.
    """
    rest = {name: value for name, value in exported.items() if name != "signature"}
    signature = exported.get("signature")
    if not isinstance(signature, str):
        return "is not signed: whoever did it could have written it"
    kid = key_id(signature)
    jwk = next((key for key in keys.get("keys", ()) if kid is not None and key.get("kid") == kid), None)
    if jwk is None:
        return "is signed by none of these keys"
    try:
        claims = jwt.decode(signature, jwt.PyJWK(jwk), algorithms=[_ALGORITHM])
    except (jwt.InvalidTokenError, jwt.PyJWKError):
        return "has a signature that does not hold"
    return "" if claims == rest else "says something else than was signed"
