"""The store in SQLite: what keeps an installation in order (`protocol.Upkeep`)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from labkit.store.personal import SqlitePersonal
from labkit.store.rows import AuditRow, Hold, Retention
from labkit.store.tables import OPEN_STATES

_DAY = 86400.0


class SqliteUpkeep(SqlitePersonal):
    """`protocol.Upkeep` on one SQLite file."""

    def busy(self, lab: str) -> bool:
        found = f"SELECT 1 FROM operation WHERE lab = ? AND state IN {OPEN_STATES} LIMIT 1"  # noqa: S608 - a constant
        return self._row(found, lab) is not None

    def unattended(self, before: float) -> list[str]:
        # The first two conditions are the index's own.
        rows = self._rows(
            f"""
            SELECT id FROM lab WHERE ended IS NULL AND (wanted = 'ended' OR ready IS NULL)
                AND (wanted = 'ended' OR created < ?)
                AND NOT EXISTS (SELECT 1 FROM operation WHERE lab = lab.id AND state IN {OPEN_STATES})
            """,  # noqa: S608 - a constant
            before,
        )
        return [str(row["id"]) for row in rows]

    def anyone_waits(self) -> bool:
        return self._row("SELECT 1 FROM lab WHERE ended IS NULL AND admitted IS NULL LIMIT 1") is not None

    # Waiting for a person

    def hold(self) -> Hold | None:
        row = self._row("SELECT * FROM hold")
        return Hold(row["reason"], row["since"], json.loads(row["labs"]), row["approved"]) if row else None

    def hold_back(self, reason: str, labs: Mapping[str, str], now: float) -> Hold:
        self._write(
            "INSERT INTO hold VALUES (1, ?, ?, ?, NULL) ON CONFLICT DO UPDATE SET labs = excluded.labs",
            reason,
            now,
            json.dumps(dict(labs)),
        )
        return self.hold() or Hold(reason, now, labs)

    def approve(self, labs: Mapping[str, str]) -> bool:
        with self._connections.write() as db:
            changed = "UPDATE hold SET labs = ?, approved = ?"
            return bool(db.execute(changed, [json.dumps(dict(labs)), time.time()]).rowcount)

    def release_hold(self) -> None:
        self._write("DELETE FROM hold WHERE approved IS NOT NULL")

    # The audit log, and how long things are kept

    def audit(self, actor: str, action: str, target: str, *, outcome: str = "done") -> None:
        row = {"time": time.time(), "actor": actor, "action": action, "target": target, "outcome": outcome}
        with self._connections.write() as db:
            db.table("audit").insert(row)

    def audit_log(self, *, last: int, about: str | None = None) -> list[AuditRow]:
        rows = self._rows(
            """
            SELECT audit.time, actor, action, target, outcome, coalesce(learner.name, '') AS name
            FROM audit LEFT JOIN learner ON learner.id = actor
            WHERE ?1 IS NULL OR actor = ?1 OR learner.name = ?1 OR instr(' ' || target || ' ', ' ' || ?1 || ' ')
            ORDER BY audit.id DESC LIMIT ?2
            """,
            about,
            last,
        )
        return [AuditRow(**row) for row in rows]

    def purge(self, retention: Retention, now: float) -> Mapping[str, int]:
        ended = "lab IN (SELECT id FROM lab WHERE ended < :before)"
        rules = (
            ("operation", f"{ended} AND state NOT IN {OPEN_STATES}", retention.events),
            ("lab", "ended < :before", retention.labs),
            ("audit", "time < :before", retention.audit),
        )
        gone: dict[str, int] = {}
        with self._connections.write() as db:
            for table, where, days in rules:
                if days:
                    before = {"before": now - days * _DAY}
                    gone[table] = db.execute(f"DELETE FROM {table} WHERE {where}", before).rowcount  # noqa: S608
        strangers = self._strangers(now - retention.learners * _DAY) if retention.learners else []
        for learner in strangers:
            self.forget(learner)
        return {table: number for table, number in {**gone, "learner": len(strangers)}.items() if number}

    def _strangers(self, before: float) -> list[str]:
        """Learners who were made, and have last begun or had something, before then."""
        rows = self._rows(
            """
            SELECT id FROM learner WHERE created < ?1 AND NOT EXISTS (
                SELECT 1 FROM work LEFT JOIN lab ON lab.work = work.id WHERE work.learner = learner.id
                AND (work.created >= ?1 OR (lab.id IS NOT NULL AND coalesce(lab.ended, ?1) >= ?1)))
            """,
            before,
        )
        return [str(row["id"]) for row in rows]
