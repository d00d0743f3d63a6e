"""The store in SQLite. The contract of each method stands in `protocol.Store`."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.errors import Conflict
from labkit.model import (
    Event,
    Operation,
    OperationKind,
    OperationState,
    Principal,
)
from labkit.store.grading import SqliteGrading
from labkit.store.launches import SqliteLaunches
from labkit.store.learning import SqliteLearning
from labkit.store.lives import SqliteLives, claim_spare, insert_lab
from labkit.store.rows import LabRow, Terms, WorkRow
from labkit.store.tables import LAB, OPEN_STATES, known_learner, lab_row, learner_of, new_id, operation_of, work_row
from labkit.store.tokens import SqliteTokens
from labkit.store.upkeep import SqliteUpkeep

_FREE = Terms()


class SqliteStore(SqliteLives, SqliteUpkeep, SqliteLearning, SqliteLaunches, SqliteGrading, SqliteTokens):
    """`protocol.Store` on one SQLite file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._connections.write() as db:
            db.execute(
                "INSERT INTO installation (id) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM installation)", [new_id()]
            )

    # Who, and what they work on

    def installation(self) -> str:
        return str(self._rows("SELECT id FROM installation")[0]["id"])

    def belongs_to(self, engine: str) -> bool:
        free = "engine = '' OR NOT EXISTS (SELECT 1 FROM lab WHERE ended IS NULL)"
        with self._connections.write() as db:
            db.execute(f"UPDATE installation SET engine = ? WHERE {free}", [engine])  # noqa: S608 - a constant
            return bool(next(iter(db.query("SELECT engine FROM installation")))["engine"] == engine)

    def learner(self, principal: Principal) -> str:
        # Asked at every question: who is known, and brings no new name, is not to wait for those who write.
        known = None if principal.name else known_learner(self._connections.db(), principal)
        if known is not None:
            return known
        with self._connections.write() as db:
            return learner_of(db, principal)

    def work(self, learner: str, activity: str, template: str) -> WorkRow:
        now = time.time()
        with self._connections.write() as db:
            db.execute("INSERT OR IGNORE INTO activity VALUES (?, ?, ?)", [activity, template, now])
            db.execute(
                "INSERT OR IGNORE INTO work VALUES (?, ?, ?, ?, ?, ?)",
                [new_id(), learner, activity, template, secrets.token_hex(16), now],
            )
        row = self._row("SELECT * FROM work WHERE learner = ? AND activity = ?", learner, activity)
        return work_row(row or {})

    # Labs

    def begin_lab(self, work: WorkRow, *, template: str, digest: str, terms: Terms = _FREE) -> tuple[LabRow, bool]:
        with self._connections.write() as db:
            own = LAB + "WHERE work.id = ? AND lab.ended IS NULL"
            made = not list(db.query(own, [work.id]))
            if made:
                _check_share(db, work.learner, terms.most)
                if claim_spare(db, work.id, work.activity, digest, terms) is None:
                    insert_lab(db, new_id(), work.id, template, digest, terms)
            return lab_row(next(iter(db.query(own, [work.id])))), made

    def lab(self, lab: str) -> LabRow | None:
        row = self._row(LAB + "WHERE lab.id = ?", lab)
        return lab_row(row) if row else None

    def labs(self, *, learner: str | None = None, ended: bool = False) -> list[LabRow]:
        where = "WHERE (? IS NULL OR work.learner = ?) AND (? OR lab.ended IS NULL) ORDER BY lab.created DESC"
        return [lab_row(row) for row in self._rows(LAB + where, learner, learner, ended)]

    def want(self, lab: str, wanted: str) -> None:
        self._write("UPDATE lab SET wanted = ? WHERE id = ? AND ended IS NULL", wanted, lab)

    def lab_ready(self, lab: str) -> None:
        now = time.time()
        self._write(
            "UPDATE lab SET ready = ?, used = max(used, ?), fault = '', lost = 0, "
            "expires = coalesce(expires, ? + max_seconds) WHERE id = ?",
            now,
            now,
            now,
            lab,
        )

    def lab_failed(self, lab: str, fault: str, cause: str = "") -> None:
        self._write("UPDATE lab SET fault = ?, cause = ? WHERE id = ? AND fault = ''", fault, cause, lab)

    def end(self, lab: str, why: str, *, kind: str = "age") -> Operation:
        self._write("UPDATE lab SET wanted = 'ended', ending = ? WHERE id = ? AND ended IS NULL", why, lab)
        return self.queue(lab, OperationKind.STOP, {"reason": kind})

    def lab_lost(self, lab: str) -> None:
        self._write("UPDATE lab SET lost = 1 WHERE id = ? AND ended IS NULL", lab)

    def lab_ended(self, lab: str) -> None:
        self._write("UPDATE lab SET wanted = 'ended', ended = ? WHERE id = ? AND ended IS NULL", time.time(), lab)

    # Operations and their events

    def queue(self, lab: str, kind: OperationKind, arguments: Mapping[str, Any] | None = None) -> Operation:
        text = json.dumps(dict(arguments or {}), sort_keys=True)
        with self._connections.write() as db:
            same = f"SELECT id FROM operation WHERE lab = ? AND kind = ? AND arguments = ? AND state IN {OPEN_STATES} AND NOT cancel"  # noqa: S608, E501 - a constant
            found = list(db.query(same, [lab, kind.value, text]))
            if found:
                operation = str(found[0]["id"])
            else:
                if kind is OperationKind.STOP:
                    _make_way(db, lab)
                if (arguments or {}).get("polled"):
                    last = f"lab = ? AND kind = ? AND arguments = ? AND state NOT IN {OPEN_STATES}"
                    db.execute(f"DELETE FROM operation WHERE {last}", [lab, kind.value, text])  # noqa: S608 - a constant
                else:
                    db.execute("UPDATE lab SET used = max(used, ?) WHERE id = ?", [time.time(), lab])
                operation = new_id(12)
                row = {"id": operation, "lab": lab, "kind": kind.value, "state": "queued", "arguments": text}
                db.table("operation").insert({**row, "created": time.time()})
            return operation_of(next(iter(db.query("SELECT * FROM operation WHERE id = ?", [operation]))))

    def claim(self) -> Operation | None:
        polled = "json_extract(arguments, '$.polled') IS NOT NULL"
        next_one = f"""
            SELECT * FROM operation AS it WHERE state = 'queued'
                AND NOT EXISTS (SELECT 1 FROM operation AS other WHERE other.lab = it.lab AND other.state = 'running')
                AND NOT (kind = 'start' AND EXISTS (SELECT 1 FROM lab WHERE lab.id = it.lab AND admitted IS NULL))
                AND NOT ({polled} AND {POLLED_AT_ONCE} <= (
                    SELECT count(*) FROM operation WHERE state = 'running' AND {polled}))
            ORDER BY kind = 'stop' DESC, {polled}, created LIMIT 1
        """  # noqa: S608 - constants
        if not self._rows(next_one):
            return None
        with self._connections.write() as db:
            for row in list(db.query(next_one)):
                db.execute("UPDATE operation SET state = 'running' WHERE id = ?", [row["id"]])
                return operation_of({**row, "state": "running"})
        return None

    def requeue_interrupted(self) -> int:
        with self._connections.write() as db:
            return db.execute("UPDATE operation SET state = 'queued' WHERE state = 'running'").rowcount

    def operation(self, operation: str) -> Operation | None:
        row = self._row("SELECT * FROM operation WHERE id = ?", operation)
        return operation_of(row) if row else None

    def latest_operation(self, lab: str, kind: OperationKind | None = None) -> Operation | None:
        row = self._row(
            "SELECT * FROM operation WHERE lab = ? AND (kind = ? OR (? IS NULL AND kind NOT IN ('extend', 'notice'))) "
            "ORDER BY rowid DESC LIMIT 1",
            lab,
            kind,
            kind,
        )
        return operation_of(row) if row else None

    def cancelled(self, operation: str) -> bool:
        row = self._row("SELECT cancel FROM operation WHERE id = ?", operation)
        return row is None or bool(row["cancel"])

    def finish(
        self, operation: str, state: OperationState, *, result: Mapping[str, Any] | None = None, error: str = ""
    ) -> None:
        self._write(
            "UPDATE operation SET state = ?, result = ?, error = ?, finished = ? WHERE id = ?",
            state.value,
            None if result is None else json.dumps(dict(result)),
            error,
            time.time(),
            operation,
        )

    def add_event(self, operation: str, stage: str, text: str, progress: float) -> None:
        self._write(
            "INSERT INTO event (operation, time, stage, text, progress) VALUES (?, ?, ?, ?, ?)",
            operation,
            time.time(),
            stage,
            text,
            progress,
        )

    def events(self, operation: str, after: int = 0) -> list[Event]:
        rows = self._rows("SELECT * FROM event WHERE operation = ? AND seq > ? ORDER BY seq", operation, after)
        return [Event(**row) for row in rows]

    # Keeping an eye on things

    def last_activity(self) -> float | None:
        busy = self._row(
            f"SELECT 1 FROM lab WHERE ended IS NULL AND NOT lost UNION SELECT 1 FROM operation WHERE state IN {OPEN_STATES}"  # noqa: S608, E501 - a constant
        )
        if busy:
            return time.time()
        row = self._row(
            "SELECT max(t) AS time FROM (SELECT max(ended) AS t FROM lab UNION SELECT max(finished) FROM operation)"
        )
        return row["time"] if row else None


POLLED_AT_ONCE = 4
"""Half of a controller's workers: what somebody waits for always finds one."""


def _check_share(db: Any, learner: str, most: int) -> None:
    """Raises Conflict where a learner has as many labs as he may have."""
    mine = "SELECT lab.id FROM lab JOIN work ON work.id = lab.work WHERE work.learner = ? AND lab.ended IS NULL"
    labs = [str(row["id"]) for row in db.query(mine, [learner])]
    if most and len(labs) >= most:
        raise Conflict(
            f"you may have {most} {'lab' if most == 1 else 'labs'} at a time: stop {' or '.join(labs)} first"
        )


def _make_way(db: Any, lab: str) -> None:
    """Before a stop: what waits is cancelled, what runs is asked to end."""
    db.execute("UPDATE operation SET cancel = 1 WHERE lab = ? AND state = 'running'", [lab])
    db.execute(
        "UPDATE operation SET state = 'cancelled', finished = ? WHERE lab = ? AND state = 'queued'", [time.time(), lab]
    )
