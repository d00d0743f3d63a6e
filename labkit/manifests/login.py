"""How labkit signs in to a machine over SSH: on this, user data, the machine's annotation and its readers agree. Pure.

The learner's key of a lab is derived, as terminals' secrets are: the gateway, which may read no Secret, can make it,
and it opens no more than the learner's own account. The machine's host key was drawn by labkit and given to the
machine; its public half is in the machine's annotation: who signs in knows the machine at the first connection.
"""

from __future__ import annotations

import hashlib
import hmac
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from labkit.model import Login


def new_key() -> str:
    """A private Ed25519 key, drawn at random (OpenSSH)."""
    return _text(Ed25519PrivateKey.generate())


def learner_key(key: bytes, lab: str) -> str:
    """The private key (OpenSSH) that signs in as the learner in the machines of `lab`: derived from the same key as
    terminals' secrets, under a name that no machine of any lab can have."""
    return _text(Ed25519PrivateKey.from_private_bytes(hmac.new(key, f"ssh {lab}".encode(), hashlib.sha256).digest()))


def public_line(private: str) -> str:
    """The public half of an OpenSSH private key, as a line for authorized_keys."""
    key = load_ssh_private_key(private.encode(), password=None).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " labkit"


def written(user: str, host_key: str) -> str:
    """A machine's annotation: the learner's account in it, and its public host key."""
    return json.dumps({"user": user, "hostKey": host_key})


def read(annotation: str, key: bytes, lab: str) -> Login:
    """What an annotation says, with the key that belongs to it. Raises ValueError where it says something else."""
    try:
        found = json.loads(annotation)
        return Login(str(found["user"]), learner_key(key, lab), str(found["hostKey"]))
    except (KeyError, TypeError) as error:
        raise ValueError("not an annotation of labkit's") from error


def _text(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
