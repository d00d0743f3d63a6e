"""The installation's keys, in files that only its user can read: made once, found ever after."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.errors import SetupError
from labkit.folders import make_private
from labkit.settings import Settings
from labkit.tickets import LIFETIME, SigningKey, jwks

_OVERLAP = LIFETIME + 60.0
"""A replaced key is believed for so many seconds more: until the last ticket that it signed has expired."""


class Keyring:
    """The keys that sign tickets and results, and the one that terminal secrets are derived from."""

    def __init__(self, settings: Settings) -> None:
        make_private(settings.state_dir)
        self._folder = make_private(settings.keys_dir)
        self._public = settings.ticket_keys
        self._private = self._folder / "tickets.pem"
        with self._locked():
            kept(self._private, lambda: SigningKey.generate().to_pem())
            self.terminal = kept(settings.terminal_key, lambda: secrets.token_bytes(32))
            self._publish(self.tickets)
            kept(self._folder / "results.pem", lambda: SigningKey.generate().to_pem())
            public = json.dumps(jwks([self.results])).encode()
            if not settings.result_keys.exists() or settings.result_keys.read_bytes() != public:
                write_secret(settings.result_keys, public)

    @property
    def tickets(self) -> SigningKey:
        """The key that signs now: read each time, since another process may have replaced it. Raises SetupError."""
        return _signing(self._private)

    @property
    def results(self) -> SigningKey:
        """The key that signs exported results. Raises SetupError."""
        return _signing(self._folder / "results.pem")

    def rotate(self) -> SigningKey:
        """Replace the key that signs tickets. Those that it has signed are good until they expire."""
        with self._locked():
            old, new = self.tickets, SigningKey.generate()
            self._publish(new, {**old.public_jwk(), "exp": int(time.time() + _OVERLAP)})
            write_secret(self._private, new.to_pem())  # last: nobody may sign with a key that is not published
        return new

    def _publish(self, key: SigningKey, replaced: dict[str, Any] | None = None) -> None:
        """Write the public halves: of `key`, and of those replaced a short while ago."""
        try:
            found = json.loads(self._public.read_bytes())["keys"] if self._public.exists() else []
        except (ValueError, KeyError, TypeError):
            found = []
        names = {key.kid, replaced["kid"] if replaced else None}
        earlier = [old for old in found if old.get("exp", 0) > time.time() and old.get("kid") not in names]
        public = json.dumps({"keys": [*jwks([key])["keys"], *([replaced] if replaced else []), *earlier]}).encode()
        if not self._public.exists() or self._public.read_bytes() != public:
            write_secret(self._public, public)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with open(self._folder / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _signing(path: Path) -> SigningKey:
    try:
        return SigningKey.from_pem(path.read_bytes())
    except ValueError as error:
        raise SetupError(f"{path} is not a usable key ({error}); remove it: a new one will be made") from error


def kept(path: Path, make: Callable[[], bytes]) -> bytes:
    """What a file holds, made at first sight."""
    if not path.exists():
        write_secret(path, make())
    return path.read_bytes()


def write_secret(path: Path, data: bytes) -> None:
    """Write a file with mode 0600, whole or not at all."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        os.fsync(file.fileno())
    draft.replace(path)
