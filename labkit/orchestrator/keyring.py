"""The installation's keys, in files that only its user can read: made once, found ever after."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from labkit.errors import SetupError
from labkit.folders import make_private
from labkit.settings import Settings
from labkit.tickets import SigningKey, jwks


class Keyring:
    """The keys that sign tickets and results, and the one that terminal secrets are derived from."""

    def __init__(self, settings: Settings) -> None:
        make_private(settings.state_dir)
        folder = make_private(settings.keys_dir)
        with open(folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.terminal = _kept(settings.terminal_key, lambda: secrets.token_bytes(32))
            self.tickets = _signing(folder / "tickets.pem", settings.ticket_keys)
            self.results = _signing(folder / "results.pem", settings.result_keys)


def _signing(path: Path, public_file: Path) -> SigningKey:
    """A key of ours, whose public half stands in a file of its own."""
    pem = _kept(path, lambda: SigningKey.generate().to_pem())
    try:
        found = SigningKey.from_pem(pem)
    except ValueError as error:
        raise SetupError(f"{path} is not a usable key ({error}); remove it: a new one will be made") from error
    public = json.dumps(jwks([found])).encode()
    if not public_file.exists() or public_file.read_bytes() != public:
        _write(public_file, public)
    return found


def _kept(path: Path, make: Callable[[], bytes]) -> bytes:
    if not path.exists():
        _write(path, make())
    return path.read_bytes()


def _write(path: Path, data: bytes) -> None:
    """Write a file with mode 0600, whole or not at all."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        os.fsync(file.fileno())
    draft.replace(path)
