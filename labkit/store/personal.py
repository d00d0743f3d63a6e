"""The store in SQLite: what is kept of a person, handed out and erased (`protocol.Upkeep`).

`OF_LEARNER` says for each table which of its rows are a learner's; a test compares it with the tables that there are.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from labkit.errors import Conflict, NotFound
from labkit.store.rows import LearnerRow
from labkit.store.tables import Tables

_WORKS = "SELECT id FROM work WHERE learner = :learner"
_LABS = f"SELECT id FROM lab WHERE work IN ({_WORKS})"  # noqa: S608 - constants, here and below
OF_LEARNER = {
    "learner": "id = :learner",
    "identity": "learner = :learner",
    "work": "learner = :learner",
    "lab": f"work IN ({_WORKS})",
    "operation": f"lab IN ({_LABS})",
    "event": f"operation IN (SELECT id FROM operation WHERE lab IN ({_LABS}))",  # noqa: S608
    "tick": f"work IN ({_WORKS})",
    "result": f"work IN ({_WORKS})",
    "answer": f"work IN ({_WORKS})",
    "handed_in": f"answer IN (SELECT id FROM answer WHERE work IN ({_WORKS}))",  # noqa: S608
    "opened": f"work IN ({_WORKS})",
    "api_token": "(realm, subject) IN (SELECT realm, subject FROM identity WHERE learner = :learner)",
    "grade": f"work IN ({_WORKS})",
    "excused": f"work IN ({_WORKS})",
    "membership": "learner = :learner",
    "launch": "learner = :learner",
    "author": "learner = :learner",
    "hand": f"work IN ({_WORKS})",
    "audit": "actor = :learner",
}
"""The rows of a learner, by table. All but those of `audit` go with the learner's own row."""


class SqlitePersonal(Tables):
    """The part of `protocol.Upkeep` that is about people, on one SQLite file."""

    def learners(self) -> list[LearnerRow]:
        return [
            LearnerRow(
                **row,
                identities=tuple(
                    (str(found["realm"]), str(found["subject"]))
                    for found in self._rows("SELECT * FROM identity WHERE learner = ? ORDER BY realm", row["id"])
                ),
                labs=tuple(self._running(row["id"])),
            )
            for row in self._rows(
                "SELECT *, (SELECT count(*) FROM work WHERE learner = learner.id) AS works FROM learner "
                "WHERE id IN (SELECT learner FROM identity) ORDER BY created"
            )
        ]

    def export(self, learner: str) -> Mapping[str, Any]:
        db = self._connections.db()
        found = {
            table: list(db.query(f"SELECT * FROM {table} WHERE {where}", {"learner": learner}))  # noqa: S608
            for table, where in OF_LEARNER.items()
        }
        if not found["learner"]:
            raise NotFound(f"there is no learner {learner}; `labkit learners list` shows them")
        return found

    def forget(self, learner: str, *, anyway: bool = False) -> None:
        labs = self._running(learner)
        if labs and not anyway:
            raise Conflict(f"learner {learner} has labs that run: {', '.join(labs)}; stop them first, or say --stop")
        nobody = f"forgotten-{secrets.token_hex(4)}"
        with self._connections.write() as db:
            db.execute("PRAGMA secure_delete = ON")
            if not db.execute("DELETE FROM learner WHERE id = ?", [learner]).rowcount:
                raise NotFound(f"there is no learner {learner}; `labkit learners list` shows them")
            db.execute(
                "UPDATE audit SET actor = replace(actor, ?1, ?2), target = replace(target, ?1, ?2)", [learner, nobody]
            )
            db.execute("INSERT OR REPLACE INTO forgotten VALUES (?, ?)", [learner, time.time()])
        # What was overwritten stays readable in the log beside the database until that is emptied.
        self._connections.db().execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _running(self, learner: str) -> list[str]:
        labs = "SELECT id FROM lab WHERE ended IS NULL AND work IN (SELECT id FROM work WHERE learner = ?)"
        return [str(row["id"]) for row in self._rows(labs, learner)]
