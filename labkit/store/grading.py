"""The store in SQLite: grades on their way. The contract of each method stands in `grades.Grades`."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from labkit.store.grades import GradeRow
from labkit.store.rows import WorkRow
from labkit.store.tables import Tables, work_row

_MARKED = ("tick", "result", "answer", "opened", "excused")
"""The tables whose changes may change a work's points."""
TABLES = """
    DROP TABLE grade_outbox;
    CREATE TABLE grade (
        work TEXT PRIMARY KEY REFERENCES work(id) ON DELETE CASCADE,
        given REAL, maximum REAL NOT NULL DEFAULT 0, comment TEXT NOT NULL DEFAULT '',
        version INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL DEFAULT '' CHECK (state IN ('', 'waiting', 'sent', 'refused')),
        reason TEXT NOT NULL DEFAULT '', stamp INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
        due REAL NOT NULL DEFAULT 0, since REAL NOT NULL DEFAULT 0, sent REAL, shown REAL,
        changed INTEGER NOT NULL DEFAULT 1, known INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX grade_due ON grade (due) WHERE state = 'waiting';
    CREATE INDEX grade_uncounted ON grade (work) WHERE changed > known;
    CREATE TABLE excused (
        work TEXT NOT NULL REFERENCES work(id) ON DELETE CASCADE, step TEXT NOT NULL, reason TEXT NOT NULL,
        PRIMARY KEY (work, step)
    );
    CREATE TABLE registration_link (
        secret TEXT PRIMARY KEY, origin TEXT NOT NULL, name TEXT NOT NULL, expires REAL NOT NULL,
        origins TEXT NOT NULL, templates TEXT NOT NULL
    );
    CREATE TRIGGER grade_after_new_line_item AFTER UPDATE OF line_item ON resource_link
    WHEN NEW.line_item != OLD.line_item BEGIN
        UPDATE grade SET changed = changed + 1, given = NULL, state = '', reason = '', sent = NULL, shown = NULL,
            version = version + 1
        WHERE work IN (SELECT id FROM work WHERE activity = NEW.activity);
    END;
"""
"""`changed` counts changes of what points are made of, `known` up to which of them they were counted."""
REPLACED = """
    ALTER TABLE result ADD COLUMN replaces TEXT;
    CREATE VIEW counted_result AS SELECT result.* FROM result LEFT JOIN result AS again ON again.id =
        (SELECT max(id) FROM result AS r WHERE r.work = result.work AND r.step = result.step AND r.replaces IS NOT NULL)
    WHERE again.id IS NULL OR result.digest IN ('', again.digest)
        OR (result.id > again.id AND result.digest != again.replaces);
"""
"""Once a step was checked `again` by the template as it is now, only that counts, what the same content says, what
newer ones say (in labs that are begun later), and what a person said, which has no content. A template that is put back
to the content that was replaced counts for nothing more in that step until it is checked again."""
ITEMS = """
    ALTER TABLE grade ADD COLUMN item TEXT NOT NULL DEFAULT '';
    UPDATE grade SET item = coalesce((SELECT line_item FROM resource_link JOIN work USING (activity)
        WHERE work.id = grade.work), '') WHERE state IN ('sent', 'refused');
    DROP TRIGGER grade_after_new_line_item;
    CREATE TRIGGER grade_after_new_line_item AFTER UPDATE OF line_item, activity ON resource_link
    WHEN NEW.line_item != '' AND (NEW.line_item != OLD.line_item OR NEW.activity != OLD.activity) BEGIN
        UPDATE grade SET state = 'waiting', reason = '', attempts = 0, due = 0,
            since = CAST(strftime('%s', 'now') AS REAL), sent = NULL, shown = NULL, version = version + 1
        WHERE work IN (SELECT id FROM work WHERE activity = NEW.activity)
            AND given IS NOT NULL AND item NOT IN ('', NEW.line_item);
    END;
"""
"""`item` is the line item to which a grade was sent last, or tried: where its activity has another, it is due again."""
TRIGGERS = tuple(
    f"CREATE TRIGGER grade_after_{event}_{table} AFTER {event} ON {table} BEGIN "  # noqa: S608 - constants
    f"INSERT INTO grade (work) SELECT work.id FROM work JOIN resource_link ON resource_link.activity = work.activity "
    f"WHERE work.id = {row}.work ON CONFLICT DO UPDATE SET changed = changed + 1; END"
    for table in _MARKED
    for event, row in (("insert", "NEW"), ("update", "NEW"), ("delete", "OLD"))
)
_GRADE = """
    SELECT grade.work, context.platform, resource_link.line_item, identity.subject,
        coalesce(membership.role, 'learner') AS role, given, maximum, comment, version, grade.state, reason, stamp,
        attempts, due, since, sent, shown
    FROM grade JOIN work ON work.id = grade.work JOIN resource_link ON resource_link.activity = work.activity
        JOIN context ON context.id = resource_link.context JOIN platform ON platform.id = context.platform
        JOIN identity ON identity.learner = work.learner
            AND identity.realm = 'lti:' || platform.issuer || '#' || platform.client_id
        LEFT JOIN membership ON membership.context = context.id AND membership.learner = work.learner
"""
"""Whose lab a teacher has started, and who never came himself, has no membership: that is done for learners only."""
_READY = (
    _GRADE  # noqa: S608 - constants
    + "WHERE grade.state = 'waiting' AND due <= ? AND line_item != '' "
    "AND coalesce(membership.role, 'learner') = 'learner' "
    "AND platform.state = 'active' AND platform.id NOT IN (SELECT value FROM json_each(?)) ORDER BY due LIMIT 1"
)


class SqliteGrading(Tables):
    """The outbox on one SQLite file."""

    def uncounted(self, most: int) -> list[tuple[str, int]]:
        sql = "SELECT work, changed FROM grade WHERE changed > known LIMIT ?"
        return [(row["work"], row["changed"]) for row in self._rows(sql, most)]

    def counted(self, work: str, mark: int, given: float | None, maximum: float, comment: str, now: float) -> None:
        with self._connections.write() as db:
            db.execute("UPDATE grade SET known = ? WHERE work = ?", [mark, work])
            db.execute(
                "UPDATE grade SET given = ?1, maximum = ?2, comment = ?3, version = version + 1, state = 'waiting', "
                "reason = '', attempts = 0, due = ?4, since = ?4 "
                "WHERE work = ?5 AND ?1 IS NOT NULL AND (given IS NOT NULL OR ?1 > 0) "
                "AND (given IS NOT ?1 OR maximum IS NOT ?2 OR comment IS NOT ?3 OR state IN ('', 'refused'))",
                [given, maximum, comment, now, work],
            )

    def uncountable(self, work: str, mark: int, reason: str) -> None:
        change = "known = ?, state = 'refused', reason = ?, version = version + 1"
        self._write(f"UPDATE grade SET {change} WHERE work = ?", mark, reason, work)  # noqa: S608 - a constant

    def claim_grade(self, now: float, lease: float, paused: Collection[str] = ()) -> GradeRow | None:
        asked = [now, json.dumps(sorted(paused))]
        if not self._rows(_READY, *asked):
            return None
        with self._connections.write() as db:
            for row in list(db.query(_READY, asked)):
                stamp = max(row["stamp"] + 1, int(now))
                claim = "UPDATE grade SET due = ?, stamp = ?, item = ? WHERE work = ?"
                db.execute(claim, [now + lease, stamp, row["line_item"], row["work"]])
                return GradeRow(**{**row, "stamp": stamp})
        return None

    def grade_sent(self, row: GradeRow, now: float) -> None:
        self._end(row, "state = 'sent', reason = '', attempts = 0, shown = NULL, sent = ?", now)

    def grade_refused(self, row: GradeRow, reason: str) -> None:
        self._end(row, "state = 'refused', reason = ?", reason)

    def grade_again(self, row: GradeRow, due: float, reason: str) -> None:
        self._end(row, "attempts = attempts + 1, due = ?, reason = ?", due, reason)

    def _end(self, row: GradeRow, change: str, *values: object) -> None:
        end = f"UPDATE grade SET {change} WHERE work = ? AND version = ?"  # noqa: S608 - constants
        self._write(end, *values, row.work, row.version)

    def send_again(self, work: str) -> bool:
        with self._connections.write() as db:
            again = "UPDATE grade SET changed = changed + 1, state = '', reason = '' WHERE work = ?"
            return bool(db.execute(again, [work]).rowcount)

    def grade_shown(self, work: str, points: float | None) -> None:
        self._write("UPDATE grade SET shown = ? WHERE work = ?", points, work)

    def grade(self, work: str) -> GradeRow | None:
        row = self._row(_GRADE + "WHERE grade.work = ?", work)
        return GradeRow(**row) if row else None

    def grades(self, activity: str) -> list[GradeRow]:
        return [GradeRow(**row) for row in self._rows(_GRADE + "WHERE work.activity = ?", activity)]

    def all_grades(self) -> list[GradeRow]:
        return [GradeRow(**row) for row in self._rows(_GRADE + "ORDER BY due")]

    def excuse(self, work: str, step: str, reason: str | None) -> None:
        if reason is None:
            self._write("DELETE FROM excused WHERE work = ? AND step = ?", work, step)
        else:
            self._write("INSERT OR REPLACE INTO excused VALUES (?, ?, ?)", work, step, reason)

    def excused(self, work: str) -> Mapping[str, str]:
        return {row["step"]: row["reason"] for row in self._rows("SELECT * FROM excused WHERE work = ?", work)}

    def attested_scores(self, work: str) -> Mapping[str, float]:
        best = "SELECT step, max(score) AS score FROM counted_result WHERE work = ? AND attested GROUP BY step"
        return {row["step"]: row["score"] for row in self._rows(best, work)}

    def works_in(self, activity: str, realm: str) -> Mapping[str, WorkRow]:
        sql = "SELECT subject, work.* FROM work JOIN identity USING (learner) WHERE activity = ? AND realm = ?"
        return {str(row.pop("subject")): work_row(row) for row in self._rows(sql, activity, realm)}
