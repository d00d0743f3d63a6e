"""The objects on disk: one SQLite database, in which a change is wholly there or not at all, also after a power cut."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

from labkit.local.files import make_private

log = logging.getLogger(__name__)

Place = tuple[str, str, str]
"""Kind key, namespace, name."""

_SCHEMA = """
PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS objects (kind, namespace, name, body, PRIMARY KEY (kind, namespace, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS state (revision INTEGER NOT NULL);
INSERT INTO state SELECT 0 WHERE NOT EXISTS (SELECT * FROM state);
"""
_NOT_DAMAGE = (
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM,
)  # fmt: skip


class JournalError(Exception):
    """The database can be neither read nor written, for a reason that lies outside it: a full disk, permissions."""


class Journal:
    """``objects.db`` in ``directory``. What cannot be read is moved to ``set-aside`` there, never removed."""

    def __init__(self, directory: Path) -> None:
        self._directory = make_private(directory)
        self._file = directory / "objects.db"

    def load(self) -> tuple[int, dict[Place, str]]:
        """The highest revision given out, and every object's JSON. Raises JournalError."""
        rows: dict[Place, str] = {}
        try:
            revision = self._read(rows)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in _NOT_DAMAGE:
                why = f"'{self._file}' cannot be used ({error}): see to the disk's space and the file's rights"
                raise JournalError(why) from error
            log.error("'%s' is damaged (%s); %d objects could be read", self._file, error, len(rows))
            self._db.close()
            for part in self._directory.glob("objects.db*"):
                self._set_aside(part)
            self._open()
            # Above every revision of before, which nobody knows any more.
            revision = time.time_ns() // 1_000_000
            self.write(revision, rows)
        return revision, rows

    def write(self, revision: int, changes: Mapping[Place, str | None]) -> None:
        """Store (None: remove) objects in one transaction; on return it is on the disk. Raises sqlite3.Error."""
        with self._db:
            kept = [(*place, text) for place, text in changes.items() if text is not None]
            self._db.executemany("REPLACE INTO objects VALUES (?, ?, ?, ?)", kept)
            gone = [place for place, text in changes.items() if text is None]
            self._db.executemany("DELETE FROM objects WHERE kind = ? AND namespace = ? AND name = ?", gone)
            self._db.execute("UPDATE state SET revision = ?", (revision,))

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def _open(self) -> None:
        os.close(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._db = sqlite3.connect(self._file, check_same_thread=False)
        self._db.executescript(_SCHEMA)

    def _read(self, rows: dict[Place, str]) -> int:
        self._open()
        for *place, text in self._db.execute("SELECT kind, namespace, name, body FROM objects"):
            rows[place[0], place[1], place[2]] = text
        return int(self._db.execute("SELECT revision FROM state").fetchone()[0])

    def _set_aside(self, file: Path) -> None:
        target = make_private(self._directory / "set-aside") / f"{time.time_ns()}.{file.name}"
        file.replace(target)
        log.error("'%s' was set aside as '%s'", file, target)
