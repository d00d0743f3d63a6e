"""Connections to the one SQLite file: a connection per thread, WAL, migrations with a backup first."""

from __future__ import annotations

import fcntl
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from labkit.errors import SetupError
from labkit.store.copies import copy
from labkit.store.migrations import migrations

BUSY_SECONDS = 30.0


class Connections:
    """Hands each thread its own connection to `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._all: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._migrate()

    def db(self) -> Database:
        """This thread's connection."""
        db: Database | None = getattr(self._local, "db", None)
        if db is None:
            db = self._open()
            self._local.db = db
        return db

    @contextmanager
    def write(self) -> Iterator[Database]:
        """One transaction that takes the write lock at once, so that what it reads is still so when it writes."""
        db = self.db()
        try:
            db.conn.execute("BEGIN IMMEDIATE")
            yield db
            db.conn.execute("COMMIT")
        except BaseException:
            # Also where beginning or committing was interrupted: what stays open would lock everybody else out.
            if db.conn.in_transaction:
                db.conn.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close this thread's connection, and those of threads that have ended. The store must not be used after.

        A thread that still runs may be in the middle of a statement, which SQLite does not survive: its connection is
        closed when it ends.
        """
        with self._lock:
            for thread, connection in self._all:
                if thread is threading.current_thread() or not thread.is_alive():
                    connection.close()
            self._all.clear()

    def _open(self) -> Database:
        connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        with self._lock:
            # Threads come and go; what those had that have ended, nobody can use any more.
            ended = [held for held in self._all if not held[0].is_alive()]
            for _, left in ended:
                left.close()
            self._all = [held for held in self._all if held not in ended]
            self._all.append((threading.current_thread(), connection))
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA synchronous=NORMAL")
        return Database(connection)

    def _migrate(self) -> None:
        with open(self.path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                existed = self.path.exists()
                db = self.db()
                self.path.chmod(0o600)
                if existed and migrations.applied(db) and migrations.pending(db):
                    self._backup(db)
                migrations.apply(db)
            except sqlite3.DatabaseError as error:
                raise SetupError(
                    f"the database {self.path} cannot be used ({error}); move it away to begin anew, "
                    f"or put back a copy named {self.path.name}.before-*"
                ) from error

    def _backup(self, db: Database) -> None:
        first = migrations.pending(db)[0].name
        copy(db.conn, self.path.with_name(f"{self.path.name}.before-{first}"))
