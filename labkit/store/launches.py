"""The store in SQLite: launches from learning platforms, and what they lead to (`protocol.Launches`)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from labkit.model import Principal
from labkit.store.launch_rows import Context, Hand, Launch, LaunchRole, LaunchState, Link, LinkRow, Member, NewLaunch
from labkit.store.platforms import SqlitePlatforms
from labkit.store.rows import LabRow, WorkRow
from labkit.store.tables import LAB, lab_row, learner_of, new_id, work_row

_LAUNCH = "SELECT launch.*, learner.name AS name FROM launch JOIN learner ON learner.id = launch.learner "


class SqliteLaunches(SqlitePlatforms):
    """`protocol.Launches` on one SQLite file."""

    def add_state(self, state: LaunchState, most: int) -> None:
        with self._connections.write() as db:
            db.execute("DELETE FROM launch_state WHERE expires < ?", [time.time()])
            db.execute("DELETE FROM launch_state WHERE id <= (SELECT max(id) FROM launch_state) - ?", [most - 1])
            db.execute(
                "INSERT INTO launch_state (state, nonce, platform, browser, expires, deployment) "
                "VALUES (:state, :nonce, :platform, :browser, :expires, :deployment)",
                vars(state),
            )

    def state(self, state: str) -> LaunchState | None:
        row = self._row(
            "SELECT state, nonce, platform, browser, expires, deployment FROM launch_state WHERE state = ?", state
        )
        return LaunchState(**row) if row else None

    def record_launch(self, state: str, launch: NewLaunch) -> Launch | None:
        now = time.time()
        with self._connections.write() as db:
            taken = "DELETE FROM launch_state WHERE state = ? AND expires >= ? RETURNING nonce"
            if not list(db.query(taken, [state, now])):
                return None
            learner = learner_of(db, Principal(launch.platform.realm, launch.subject, launch.name))
            context = _context_of(db, launch)
            db.execute(
                "INSERT INTO membership VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET role = excluded.role, "
                "subject = excluded.subject, seen = excluded.seen",
                [context, learner, launch.subject, launch.role.value, now],
            )
            link = _link_of(db, context, launch.link) if launch.link else ""
            db.execute("DELETE FROM launch WHERE expires < ?", [now])
            found, expires = new_id(20), now + launch.seconds
            values = [found, launch.secret, launch.platform.id, context, link, learner, launch.subject]
            about = [launch.role.value, launch.kind, launch.locale, now, expires, json.dumps(dict(launch.details))]
            db.execute("INSERT INTO launch VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [*values, *about])
            return _launch(next(iter(db.query(_LAUNCH + "WHERE launch.id = ?", [found]))))

    def launch(self, launch: str, secret: str) -> Launch | None:
        row = self._row(
            _LAUNCH + "JOIN platform ON platform.id = launch.platform AND platform.state = 'active' "
            "WHERE launch.id = ? AND launch.secret = ? AND expires >= ?",
            launch,
            secret,
            time.time(),
        )
        return _launch(row) if row else None

    # What launches told of courses

    def context(self, context: str) -> Context | None:
        row = self._row("SELECT * FROM context WHERE id = ?", context)
        return Context(**row) if row else None

    def context_of(self, platform: str, deployment: str, context: str) -> Context | None:
        row = self._row(
            "SELECT * FROM context WHERE platform = ? AND deployment = ? AND context = ?", platform, deployment, context
        )
        return Context(**row) if row else None

    def contexts(self, platform: str) -> list[Context]:
        return [Context(**row) for row in self._rows("SELECT * FROM context WHERE platform = ?", platform)]

    def link(self, link: str) -> LinkRow | None:
        row = self._row("SELECT * FROM resource_link WHERE id = ?", link)
        return _link(row) if row else None

    def link_of(self, context: str, link: str) -> LinkRow | None:
        row = self._row("SELECT * FROM resource_link WHERE context = ? AND link = ?", context, link)
        return _link(row) if row else None

    def links(self, context: str) -> list[LinkRow]:
        return [_link(row) for row in self._rows("SELECT * FROM resource_link WHERE context = ? ORDER BY id", context)]

    def members(self, context: str) -> list[Member]:
        rows = self._rows(
            "SELECT membership.*, learner.name AS name FROM membership JOIN learner ON learner.id = membership.learner "
            "WHERE context = ? ORDER BY learner.name, learner.id",
            context,
        )
        return [Member(**{**row, "role": LaunchRole(row["role"])}) for row in rows]

    # A learner's work

    def work_of(self, learner: str, activity: str) -> WorkRow | None:
        row = self._row("SELECT * FROM work WHERE learner = ? AND activity = ?", learner, activity)
        return work_row(row) if row else None

    def lab_of_work(self, work: str) -> LabRow | None:
        row = self._row(LAB + "WHERE work.id = ? ORDER BY lab.ended IS NULL DESC, lab.created DESC LIMIT 1", work)
        return lab_row(row) if row else None

    def raise_hand(self, work: str) -> None:
        self._write("INSERT OR IGNORE INTO hand VALUES (?, ?)", work, time.time())

    def lower_hand(self, work: str) -> None:
        self._write("DELETE FROM hand WHERE work = ?", work)

    def hands(self, activity: str) -> list[Hand]:
        rows = self._rows(
            "SELECT hand.work, work.learner, learner.name, hand.raised FROM hand JOIN work ON work.id = hand.work "
            "JOIN learner ON learner.id = work.learner WHERE work.activity = ? ORDER BY hand.raised",
            activity,
        )
        return [Hand(**row) for row in rows]


def _context_of(db: Any, launch: NewLaunch) -> str:
    """The course's id, made at first sight; what the launch says of it is taken over."""
    saved = """
        INSERT INTO context VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (platform, deployment, context)
        DO UPDATE SET label = excluded.label, title = excluded.title, roster_url = excluded.roster_url RETURNING id
    """
    told = [launch.platform.id, launch.deployment, launch.context, launch.label, launch.title, launch.roster_url]
    return str(next(iter(db.query(saved, [new_id(), *told])))["id"])


def _link_of(db: Any, context: str, link: Link) -> str:
    """The activity's id, made at first sight. A launch that names no lab, or no place for grades, leaves what is there:
    platforms leave a line item out now and then, and what is not theirs counts as none."""
    saved = """
        INSERT INTO resource_link (id, context, link, title, template, activity, line_item, line_items, scopes)
        VALUES (:id, :context, :link, :title, :template, '', :line_item, :line_items, :scopes)
        ON CONFLICT (context, link) DO UPDATE SET title = excluded.title,
            template = CASE excluded.template WHEN '' THEN template ELSE excluded.template END,
            line_item = CASE excluded.line_item WHEN '' THEN line_item ELSE excluded.line_item END,
            line_items = CASE excluded.line_items WHEN '' THEN line_items ELSE excluded.line_items END,
            scopes = CASE excluded.scopes WHEN '[]' THEN scopes ELSE excluded.scopes END
        RETURNING id, template
    """
    told = {**vars(link), "scopes": json.dumps(link.scopes), "id": new_id(), "context": context}
    row = next(iter(db.query(saved, told)))
    activity = f"{row['id']}.{row['template']}" if row["template"] else ""
    db.execute("UPDATE resource_link SET activity = ? WHERE id = ? AND activity != ?", [activity, row["id"], activity])
    return str(row["id"])


def _launch(row: Mapping[str, Any]) -> Launch:
    kept = {name: value for name, value in row.items() if name != "secret"}
    return Launch(**{**kept, "role": LaunchRole(row["role"]), "details": json.loads(row["details"])})


def _link(row: Mapping[str, Any]) -> LinkRow:
    return LinkRow(**{**row, "scopes": tuple(json.loads(row["scopes"]))})
