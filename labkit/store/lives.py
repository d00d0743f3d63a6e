"""The store in SQLite: how long labs live, which wait for room, what is reserved (`protocol.Lives`)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from labkit.model import Event, Operation, OperationKind, OperationState, Reservation
from labkit.store.protocol import Decide
from labkit.store.rows import LabRow, Terms
from labkit.store.tables import LAB, Tables, lab_row, new_id, operation_of

_NOBODY = "nobody"
"""The learner of spares: an account that no identity leads to."""
_MEASURED = 20


class SqliteLives(Tables):
    """`protocol.Lives` on one SQLite file."""

    def admit(self, decide: Decide) -> list[str]:
        with self._connections.write() as db:
            rows = db.query(LAB + "WHERE lab.ended IS NULL ORDER BY lab.created, lab.rowid")
            reserved = db.query("SELECT * FROM reservation ORDER BY begins")
            chosen = list(decide([lab_row(row) for row in rows], [Reservation(**row) for row in reserved]))
            for lab in chosen:
                db.execute("UPDATE lab SET admitted = ? WHERE id = ? AND admitted IS NULL", [time.time(), lab])
        return chosen

    def put_back(self, operation: str, until: float) -> None:
        with self._connections.write() as db:
            where = "WHERE id = (SELECT lab FROM operation WHERE id = ?)"
            db.execute(f"UPDATE lab SET admitted = NULL, retry = ? {where}", [until, operation])  # noqa: S608
            db.execute("UPDATE operation SET state = 'queued' WHERE id = ?", [operation])

    def start_seconds(self, template: str) -> list[float]:
        measured = """
            SELECT ready - admitted AS seconds FROM lab
            WHERE template = ? AND ready > admitted ORDER BY ready DESC LIMIT ?
        """
        return [float(row["seconds"]) for row in self._rows(measured, template, _MEASURED)]

    def near_end(self, now: float, within: float) -> list[LabRow]:
        # The conditions of each half are those of an index.
        near = """
            WHERE lab.wanted != 'ended' AND lab.ready IS NOT NULL AND lab.spare IS NULL AND lab.id IN (
                SELECT id FROM lab WHERE ended IS NULL AND expires IS NOT NULL AND expires < :soon
                UNION SELECT id FROM lab WHERE ended IS NULL AND wanted = 'running' AND idle_seconds IS NOT NULL
                    AND used + idle_seconds < :soon)
        """
        return [lab_row(row) for row in self._connections.db().query(LAB + near, {"soon": now + within})]

    def warn(self, lab: str, threshold: float, text: str) -> None:
        with self._connections.write() as db:
            changed = "UPDATE lab SET warned = ? WHERE id = ? AND coalesce(warned, 0) < ?"
            if db.execute(changed, [threshold, lab, threshold]).rowcount:
                _record(db, lab, OperationKind.NOTICE, "warning", text, None)

    def set_expiry(self, lab: str, expires: float) -> None:
        self._write(
            "UPDATE lab SET expires = ?, used = ? WHERE id = ? AND ended IS NULL",
            expires,
            time.time(),
            lab,
        )

    def used(self, labs: Mapping[str, float]) -> None:
        newer = "UPDATE lab SET used = ? WHERE id = ? AND used < ? AND ended IS NULL"
        with self._connections.write() as db:
            for lab, when in labs.items():
                db.execute(newer, [when, lab, when])

    def record(
        self, lab: str, kind: OperationKind, stage: str, text: str, result: Mapping[str, Any] | None = None
    ) -> Operation:
        with self._connections.write() as db:
            return _record(db, lab, kind, stage, text, result)

    def operations(self, lab: str) -> list[Operation]:
        return [operation_of(row) for row in self._rows("SELECT * FROM operation WHERE lab = ? ORDER BY rowid", lab)]

    def lab_events(self, lab: str, after: int = 0) -> list[Event]:
        of_lab = """
            SELECT event.* FROM event JOIN operation ON operation.id = event.operation
            WHERE operation.lab = ? AND event.seq > ? ORDER BY event.seq
        """
        return [Event(**row) for row in self._rows(of_lab, lab, after)]

    def cancel(self, operation: str) -> Operation | None:
        with self._connections.write() as db:
            db.execute("UPDATE operation SET cancel = 1 WHERE id = ? AND state = 'running'", [operation])
            db.execute(
                "UPDATE operation SET state = 'cancelled', error = 'it was cancelled', finished = ? "
                "WHERE id = ? AND state = 'queued'",
                [time.time(), operation],
            )
        row = self._row("SELECT * FROM operation WHERE id = ?", operation)
        return operation_of(row) if row else None

    # Reservations and spares

    def template_of(self, activity: str) -> str | None:
        row = self._row("SELECT template FROM activity WHERE id = ?", activity)
        return str(row["template"]) if row else None

    def reserve(self, reservation: Reservation) -> None:
        with self._connections.write() as db:
            db.table("reservation").insert(asdict(reservation))

    def unreserve(self, reservation: str) -> bool:
        with self._connections.write() as db:
            db.execute("UPDATE lab SET wanted = 'ended' WHERE spare = ? AND ended IS NULL", [reservation])
            return bool(db.execute("DELETE FROM reservation WHERE id = ?", [reservation]).rowcount)

    def reservations(self) -> list[Reservation]:
        return [Reservation(**row) for row in self._rows("SELECT * FROM reservation ORDER BY begins")]

    def spares(self, reservation: str) -> list[LabRow]:
        return [lab_row(row) for row in self._rows(LAB + "WHERE lab.spare = ? ORDER BY lab.created", reservation)]

    def begin_spare(self, reservation: Reservation, terms: Terms, *, digest: str) -> LabRow:
        now, lab, work = time.time(), new_id(), new_id()
        activity = f"spare {lab}"
        with self._connections.write() as db:
            db.execute("INSERT OR IGNORE INTO learner VALUES (?, '', ?)", [_NOBODY, now])
            db.execute("INSERT INTO activity VALUES (?, ?, ?)", [activity, reservation.template, now])
            db.execute(
                "INSERT INTO work VALUES (?, ?, ?, ?, ?, ?)", [work, _NOBODY, activity, reservation.template, "", now]
            )
            insert_lab(db, lab, work, reservation.template, digest, terms, spare=reservation.id)
            return lab_row(next(iter(db.query(LAB + "WHERE lab.id = ?", [lab]))))


def _record(
    db: Any, lab: str, kind: OperationKind, stage: str, text: str, result: Mapping[str, Any] | None
) -> Operation:
    now = time.time()
    row = {
        "id": new_id(12),
        "lab": lab,
        "kind": kind.value,
        "state": OperationState.DONE.value,
        "arguments": "{}",
        "created": now,
        "finished": now,
        "result": None if result is None else json.dumps(dict(result)),
    }
    event = {"operation": row["id"], "time": now, "stage": stage, "text": text, "progress": 1.0}
    db.table("operation").insert(row)
    db.table("event").insert(event)
    return operation_of(row)


def insert_lab(
    db: Any, lab: str, work: str, template: str, digest: str, terms: Terms, *, spare: str | None = None
) -> None:
    """Write a new lab's row."""
    now = time.time()
    row = {
        "id": lab,
        "work": work,
        "template": template,
        "digest": digest,
        "wanted": "running",
        "created": now,
        "admitted": None if terms.wait else now,
        "used": now,
        "memory": terms.memory,
        "max_seconds": terms.max_seconds,
        "idle_seconds": terms.idle_seconds,
        "spare": spare,
    }
    db.table("lab").insert(row)


def claim_spare(db: Any, work: str, activity: str, digest: str, terms: Terms) -> str | None:
    """Give a work one of the ready spares of its activity: it is the work's lab then. None where there is none."""
    spare = """
        SELECT lab.id, lab.work FROM lab JOIN reservation ON reservation.id = lab.spare
        WHERE reservation.activity = ? AND lab.digest = ? AND lab.ready IS NOT NULL AND lab.ended IS NULL
            AND lab.wanted = 'running' AND NOT lab.lost
        ORDER BY lab.ready LIMIT 1
    """
    for row in list(db.query(spare, [activity, digest])):
        now = time.time()
        db.execute(
            "UPDATE lab SET work = ?, spare = NULL, ready = NULL, expires = NULL, warned = NULL, "
            "created = ?, admitted = ?, used = ?, max_seconds = ?, idle_seconds = ? WHERE id = ?",
            [work, now, now, now, terms.max_seconds, terms.idle_seconds, row["id"]],
        )
        db.execute("DELETE FROM work WHERE id = ?", [row["work"]])
        db.execute("DELETE FROM activity WHERE id = ?", [f"spare {row['id']}"])
        return str(row["id"])
    return None
