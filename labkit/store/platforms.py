"""The store in SQLite: learning platforms, their deployments and their keys (`protocol.Platforms`)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from labkit.errors import Conflict, NotFound
from labkit.store.course_labs import SqliteCourseLabs
from labkit.store.launch_rows import Platform, PlatformKeys, PlatformState, RegistrationLink

_PLATFORM = """
    SELECT id, issuer, client_id, name, auth_url, token_url, jwks_url, origins, templates, state, created,
        (SELECT json_group_array(deployment) FROM deployment WHERE platform = platform.id) AS deployments
    FROM platform
"""


class SqlitePlatforms(SqliteCourseLabs):
    """`protocol.Platforms` on one SQLite file."""

    def add_platform(self, platform: Platform) -> None:
        with self._connections.write() as db:
            _add(db, platform)

    def add_registration_link(self, link: RegistrationLink) -> None:
        lists = [json.dumps(link.origins), json.dumps(link.templates)]
        with self._connections.write() as db:
            db.execute("DELETE FROM registration_link WHERE expires < ?", [time.time()])
            row = [link.secret, link.origin, link.name, link.expires, *lists]
            db.execute("INSERT INTO registration_link VALUES (?, ?, ?, ?, ?, ?)", row)

    def registration_link(self, secret: str) -> RegistrationLink | None:
        row = self._row("SELECT * FROM registration_link WHERE secret = ? AND expires >= ?", secret, time.time())
        if row is None:
            return None
        return RegistrationLink(**{**row, **{name: tuple(json.loads(row[name])) for name in ("origins", "templates")}})

    def register_platform(self, secret: str, platform: Platform) -> None:
        with self._connections.write() as db:
            if not db.execute("DELETE FROM registration_link WHERE secret = ?", [secret]).rowcount:
                raise Conflict("this link was used already: ask for another one")
            _add(db, platform)

    def set_platform(
        self,
        platform: str,
        *,
        state: PlatformState | None = None,
        templates: tuple[str, ...] | None = None,
        deployments: tuple[str, ...] = (),
    ) -> None:
        with self._connections.write() as db:
            changed = "UPDATE platform SET state = coalesce(?, state), templates = coalesce(?, templates) WHERE id = ?"
            patterns = None if templates is None else json.dumps(templates)
            if not db.execute(changed, [state and state.value, patterns, platform]).rowcount:
                raise NotFound(f"there is no platform {platform}")
            for deployment in deployments:
                db.execute(
                    "INSERT OR IGNORE INTO deployment (platform, deployment) VALUES (?, ?)", [platform, deployment]
                )

    def remove_platform(self, platform: str) -> None:
        with self._connections.write() as db:
            if not db.execute("DELETE FROM platform WHERE id = ?", [platform]).rowcount:
                raise NotFound(f"there is no platform {platform}")

    def platforms(self) -> list[Platform]:
        return [_platform(row) for row in self._rows(_PLATFORM + "ORDER BY created")]

    def platform(self, platform: str) -> Platform | None:
        row = self._row(_PLATFORM + "WHERE id = ?", platform)
        return _platform(row) if row else None

    def platforms_of(self, issuer: str) -> list[Platform]:
        return [_platform(row) for row in self._rows(_PLATFORM + "WHERE issuer = ? ORDER BY created", issuer)]

    def platform_keys(self, platform: str) -> PlatformKeys:
        row = self._row("SELECT keys, fetched, tried FROM platform WHERE id = ?", platform)
        return PlatformKeys(row["keys"], row["fetched"], row["tried"]) if row else PlatformKeys("", 0.0, 0.0)

    def may_fetch_keys(self, platform: str, now: float, pause: float) -> bool:
        with self._connections.write() as db:
            changed = "UPDATE platform SET tried = ? WHERE id = ? AND (tried <= ? OR tried > ?)"
            return bool(db.execute(changed, [now, platform, now - pause, now]).rowcount)

    def save_platform_keys(self, platform: str, text: str, now: float) -> None:
        self._write("UPDATE platform SET keys = ?, fetched = ? WHERE id = ?", text, now, platform)


def _add(db: Any, platform: Platform) -> None:
    key = [platform.issuer, platform.client_id]
    if list(db.query("SELECT 1 FROM platform WHERE issuer = ? AND client_id = ?", key)):
        raise Conflict(f"client {platform.client_id} of {platform.issuer} is registered already")
    lists = {name: json.dumps(getattr(platform, name)) for name in ("origins", "templates")}
    plain = ("id", "issuer", "client_id", "name", "auth_url", "token_url", "jwks_url", "created")
    row = {name: getattr(platform, name) for name in plain}
    db.table("platform").insert({**row, **lists, "state": platform.state.value})
    for deployment in platform.deployments:
        db.execute("INSERT INTO deployment VALUES (?, ?)", [platform.id, deployment])


def _platform(row: Mapping[str, Any]) -> Platform:
    lists = {name: tuple(json.loads(row[name])) for name in ("deployments", "origins", "templates")}
    return Platform(**{**row, **lists, "state": PlatformState(row["state"])})
