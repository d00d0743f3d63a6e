"""What all parts of the SQLite store share: asking, writing, and rows as values."""

from __future__ import annotations

import json
import secrets
import string
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError
from labkit.model import Operation, OperationKind, OperationState, Principal
from labkit.store.connection import Connections
from labkit.store.rows import LabRow, WorkRow

LAB = """
    SELECT lab.*, work.learner AS learner, work.seed AS seed, learner.name AS learner_name,
        coalesce(reservation.activity, work.activity) AS activity
    FROM lab JOIN work ON work.id = lab.work JOIN learner ON learner.id = work.learner
        LEFT JOIN reservation ON reservation.id = lab.spare
"""
OPEN_STATES = "('queued', 'running')"


def new_id(length: int = 10) -> str:
    """A random id that may stand in a DNS label: a letter, then letters and digits (50 bits at the usual length)."""
    first = secrets.choice(string.ascii_lowercase)
    return first + "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(length - 1))


class Tables:
    """One SQLite file."""

    def __init__(self, path: Path) -> None:
        self._connections = Connections(path)

    def close(self) -> None:
        """Close the file. The store must not be used after."""
        self._connections.close()

    def _rows(self, sql: str, *values: object) -> list[dict[str, Any]]:
        return list(self._connections.db().query(sql, list(values)))

    def _row(self, sql: str, *values: object) -> dict[str, Any] | None:
        return next(iter(self._rows(sql, *values)), None)

    def _write(self, sql: str, *values: object) -> None:
        with self._connections.write() as db:
            db.execute(sql, list(values))


def known_learner(db: Any, principal: Principal) -> str | None:
    """Who a principal is, where he was seen before. Raises LabkitError for a subject that is none."""
    if not principal.subject or any("\ud800" <= letter <= "\udfff" for letter in principal.subject):
        raise LabkitError("an identity needs a subject, which must be text")
    key = [principal.realm, principal.subject]
    found = list(db.query("SELECT learner FROM identity WHERE realm = ? AND subject = ?", key))
    return str(found[0]["learner"]) if found else None


def learner_of(db: Any, principal: Principal) -> str:
    """`protocol.Store.learner`, within a transaction that is under way."""
    known = known_learner(db, principal)
    if known is not None:
        if principal.name:
            db.execute("UPDATE learner SET name = ? WHERE id = ?", [principal.name, known])
        return known
    learner = new_id()
    db.table("learner").insert({"id": learner, "name": principal.name, "created": time.time()})
    db.table("identity").insert({"realm": principal.realm, "subject": principal.subject, "learner": learner})
    return learner


def work_row(row: Mapping[str, Any]) -> WorkRow:
    """A row of the table work."""
    return WorkRow(row["id"], row["learner"], row["activity"], row["template"], row["seed"])


def lab_row(row: Mapping[str, Any]) -> LabRow:
    """A row of `LAB`."""
    return LabRow(**{**row, "lost": bool(row["lost"])})


def operation_of(row: Mapping[str, Any]) -> Operation:
    """A row of the table operation."""
    return Operation(
        id=row["id"],
        kind=OperationKind(row["kind"]),
        lab=row["lab"],
        state=OperationState(row["state"]),
        created=row["created"],
        arguments=json.loads(row["arguments"]),
        result=json.loads(row["result"]) if row.get("result") else None,
        error=row.get("error") or "",
    )
