"""The store in SQLite: personal access tokens (`protocol.Tokens`): each `labkit_ID_SECRET`; the secret is not kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time

from labkit.errors import LabkitError, NotFound
from labkit.model import Principal, Role
from labkit.store.rows import TokenRow
from labkit.store.tables import Tables, new_id

PREFIX = "labkit_"
_FORM = re.compile(rf"{PREFIX}([a-z0-9]+)_([A-Za-z0-9_-]{{43}})")
_USED_SECONDS = 60.0


class SqliteTokens(Tables):
    """`protocol.Tokens` on one SQLite file."""

    def add_token(self, principal: Principal, *, scope: str, note: str, expires: float) -> tuple[TokenRow, str]:
        learner = list(self._rows("SELECT 1 FROM identity WHERE realm = ? AND subject = ?", *_identity(principal)))
        if not learner:
            raise LabkitError(f"nobody is known as {principal.realm}:{principal.subject} yet")
        new, secret, role = new_id(), secrets.token_urlsafe(32), principal.role.value
        values = (new, _hash(secret), *_identity(principal), role, scope, note, time.time(), expires, None, None)
        self._write(f"INSERT INTO api_token VALUES ({', '.join('?' * len(values))})", *values)  # noqa: S608
        return next(row for row in self.tokens() if row.id == new), f"{PREFIX}{new}_{secret}"

    def tokens(self) -> list[TokenRow]:
        columns = "id, realm, subject, role, scope, note, created, expires, used, revoked"
        rows = self._rows(f"SELECT {columns} FROM api_token ORDER BY created")  # noqa: S608 - a constant
        return [TokenRow(**row) for row in rows]

    def revoke_token(self, token: str) -> None:
        if not self._rows("SELECT 1 FROM api_token WHERE id = ?", token):
            raise NotFound(f"there is no token {token!r}; `labkit tokens list` shows all")
        self._write("UPDATE api_token SET revoked = coalesce(revoked, ?) WHERE id = ?", time.time(), token)

    def token_holder(self, token: str) -> tuple[Principal, str] | None:
        form = _FORM.fullmatch(token)
        found = self._rows("SELECT * FROM api_token WHERE id = ?", form[1]) if form else []
        now = time.time()
        if not form or not found or not hmac.compare_digest(found[0]["hash"], _hash(form[2])):
            return None
        row = found[0]
        if row["revoked"] is not None or row["expires"] <= now:
            return None
        if (row["used"] or 0) < now - _USED_SECONDS:
            self._write("UPDATE api_token SET used = ? WHERE id = ?", now, row["id"])
        return Principal(row["realm"], row["subject"], role=Role(row["role"])), str(row["scope"])


def _identity(principal: Principal) -> tuple[str, str]:
    return principal.realm, principal.subject


def _hash(secret: str) -> str:
    """What is kept of a secret. It is 32 random bytes: there is nothing to guess, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()
