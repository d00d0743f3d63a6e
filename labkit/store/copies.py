"""Copies of the database: made while it is in use (SQLite's online backup), looked at before they are trusted, and put
in place in one step.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from labkit.errors import SetupError

_DRAFT = ".part"


def copy(source: sqlite3.Connection, target: Path) -> None:
    """A whole and verified copy at `target`, readable by its user alone, or nothing. Raises SetupError."""
    with draft_of(target) as draft:
        fill(draft, source)


def fill(draft: Path, source: sqlite3.Connection) -> None:
    """Copy all of `source` into a file, and look at what has arrived. Raises SetupError."""
    with closing(sqlite3.connect(draft)) as connection:
        source.backup(connection)
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, whole without a log beside it
    check(draft)


def backup(database: Path, target: Path) -> None:
    """Copy the database at `database`, which may be in use. Raises SetupError where there is none, or it fails."""
    if not database.exists():
        raise SetupError(f"there is no database at {database} to back up")
    if target.exists():
        raise SetupError(f"{target} is there already: name another file")
    with opened(database) as connection:
        copy(connection, target)


def opened(path: Path) -> closing[sqlite3.Connection]:
    """A database to be read, and closed at the end of a `with`."""
    return closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True))


@contextlib.contextmanager
def draft_of(target: Path) -> Iterator[Path]:
    """A file that becomes `target` when all has gone well."""
    draft = target.with_name(target.name + _DRAFT)
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        for rest in ("-wal", "-shm"):  # of the one that is replaced: they must not be read into the new one
            target.with_name(target.name + rest).unlink(missing_ok=True)
        draft.replace(target)
    except sqlite3.DatabaseError as error:
        raise SetupError(f"{target} was not written: {error}") from error
    finally:
        for rest in ("", "-wal", "-shm", "-journal"):
            draft.with_name(draft.name + rest).unlink(missing_ok=True)
        draft.with_suffix(".lock").unlink(missing_ok=True)


def check(path: Path) -> None:
    """Raises SetupError where a file is no whole database of labkit's."""
    if not path.exists():
        raise SetupError(f"there is no backup at {path}")
    try:
        with opened(path) as connection:
            found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
            connection.execute("SELECT id FROM installation").fetchone()
    except sqlite3.DatabaseError as error:
        raise SetupError(f"{path} is no whole database of labkit's: {error}") from error
    if found != ["ok"]:
        raise SetupError(f"{path} is damaged: {found[0]}")
