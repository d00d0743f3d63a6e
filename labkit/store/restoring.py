"""Putting a backup in the place of the database."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from labkit.errors import NotFound, SetupError
from labkit.store.copies import check, copy, draft_of, fill, opened
from labkit.store.sqlite import SqliteStore

REASON = "the store was put back from a backup"


def restore(source: Path, database: Path) -> Path | None:
    """Put the backup `source` in the place of `database`, which nobody may use. Raises SetupError.

    What was there is kept beside it (returned). The store is marked: a controller retires nothing on its word until a
    person has approved. Whoever was forgotten since the backup stays so.
    """
    check(source)
    with draft_of(database) as draft:
        with opened(source) as connection:
            fill(draft, connection)
        kept = _keep(database)
        store = SqliteStore(draft)  # brings the tables of an older version up to date, too
        try:
            for learner in _forgotten(kept):
                with contextlib.suppress(NotFound):
                    store.forget(learner, anyway=True)
            store.release_hold()
            store.hold_back(REASON, {}, time.time())
        finally:
            store.close()
    return kept


def _forgotten(database: Path | None) -> list[str]:
    """Who was forgotten by the one that is replaced, as far as it can still say."""
    if database is None:
        return []
    try:
        with opened(database) as connection:
            return [str(row[0]) for row in connection.execute("SELECT learner FROM forgotten")]
    except sqlite3.DatabaseError:
        return []


def _keep(database: Path) -> Path | None:
    if not database.exists():
        return None
    kept = database.with_name(f"{database.name}.replaced-{time.strftime('%Y%m%d-%H%M%S')}")
    kept.unlink(missing_ok=True)
    _refuse_if_used(database)
    try:
        with opened(database) as connection:
            copy(connection, kept)
    except (SetupError, sqlite3.DatabaseError):
        os.link(database, kept)  # damaged: a reason for a restore, and all the more to be kept as it is
    return kept


def _refuse_if_used(database: Path) -> None:
    """Raises SetupError where another process has the database open: it would go on with what is no longer there."""
    try:
        with closing(sqlite3.connect(database, timeout=1)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")  # refused as long as there is any other connection
    except sqlite3.OperationalError as error:
        raise SetupError(f"{database} is in use ({error}): end the notebooks and commands that use labkit") from error
    except sqlite3.DatabaseError:
        return  # damaged
