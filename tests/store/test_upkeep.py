"""The store kept in order: backups, what is kept for how long, people handed out and erased, the audit log."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from labkit.errors import Conflict, NotFound, SetupError
from labkit.model import Answer, CheckResult, Mark, OperationKind, OperationState, Principal, Verdict
from labkit.store import LabRow, Retention, SqliteStore, backup, restore
from labkit.store.migrations import migrations
from labkit.store.personal import OF_LEARNER

ADA = Principal("lti:school", "ada-17", name="Ada Lovelace")
DAY = 86400.0
NOT_HERE = ("grade", "excused", "launch", "membership", "hand", "author")
ONE_OF_EACH = dict.fromkeys(OF_LEARNER, 1) | dict.fromkeys(NOT_HERE, 0)


def older(path: Path, before: str) -> Database:
    """A store as it was before a change of its tables, with somebody's answer and a lab that one course may use."""
    db = Database(path)
    migrations.apply(db, stop_before=before)
    db.execute("INSERT INTO learner VALUES ('ada', 'Ada', 1)")
    db.execute("INSERT INTO work (id, learner, activity, template, seed, created) VALUES ('w', 'ada', 'a', 't', '', 1)")
    db.execute("INSERT INTO answer VALUES (1, 'w', 'why', '[]', NULL, 2, 1, 'good', 5)")
    db.execute("INSERT INTO course_template VALUES ('net', 'c1')")
    db.conn.commit()
    return db


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    found = SqliteStore(tmp_path / "labkit.db")
    yield found
    found.close()


def begin(store: SqliteStore, principal: Principal = ADA) -> LabRow:
    work = store.work(store.learner(principal), "hello-lab", "hello-lab")
    return store.begin_lab(work, template="hello-lab", digest="d")[0]


def busy_life(store: SqliteStore, principal: Principal = ADA) -> LabRow:
    """A lab that has ended, and left something in every table there is."""
    lab = begin(store, principal)
    operation = store.queue(lab.id, OperationKind.START)
    store.add_event(operation.id, "ready", "The lab is ready", 1.0)
    store.finish(operation.id, OperationState.DONE)
    store.record_result(lab.work, CheckResult("note", Verdict.PASSED, "well done", time.time(), attested=False))
    store.record_answer(lab.work, Answer("port", ("/etc/x", "1"), None, None, time.time()), most=1, content=b"x")
    store.open_hint(lab.work, "how", 5)
    store.add_token(principal, scope="all", note="", expires=time.time() + 60)
    store.audit(lab.learner, "start", lab.id)
    store.lab_ended(lab.id)
    return lab


def test_an_older_store_is_copied_and_brought_up_with_all_that_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "labkit.db"
    older(path, "labs_of_courses").close()
    with closing(SqliteStore(path)) as found:
        assert found.bound_templates() == {"net": frozenset({"c1"})}
        assert found.marks() == [Mark("w", "why", 2, "good", 5, attested=False)]
    with closing(sqlite3.connect(tmp_path / "labkit.db.before-labs_of_courses")) as copy:
        assert copy.execute("SELECT * FROM course_template").fetchall() == [("net", "c1")]


def test_a_backup_of_a_store_in_use_holds_what_was_there(store: SqliteStore, tmp_path: Path) -> None:
    lab = begin(store)
    backup(tmp_path / "labkit.db", tmp_path / "copy.db")
    assert (tmp_path / "copy.db").stat().st_mode & 0o077 == 0
    copy = SqliteStore(tmp_path / "copy.db")
    assert copy.lab(lab.id) == lab
    copy.close()


def test_a_restored_store_is_as_it_was_waits_for_a_person_and_keeps_what_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "labkit.db"
    before = SqliteStore(path)
    lab = begin(before)
    backup(path, tmp_path / "copy.db")
    before.lab_ended(lab.id)
    before.close()
    kept = restore(tmp_path / "copy.db", path)
    after, replaced = SqliteStore(path), SqliteStore(kept)  # type: ignore[arg-type]
    assert after.lab(lab.id) == lab
    assert after.hold().reason == "the store was put back from a backup"  # type: ignore[union-attr]
    assert replaced.lab(lab.id).ended  # type: ignore[union-attr]
    after.close()
    replaced.close()


def test_a_restore_does_not_bring_back_who_was_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "labkit.db"
    store = SqliteStore(path)
    lab = busy_life(store)
    backup(path, tmp_path / "copy.db")
    store.forget(lab.learner)
    store.close()
    restore(tmp_path / "copy.db", path)
    after = SqliteStore(path)
    assert after.learners() == []
    after.close()


def test_a_restore_over_a_store_that_is_open_elsewhere_is_refused(store: SqliteStore, tmp_path: Path) -> None:
    begin(store)
    backup(tmp_path / "labkit.db", tmp_path / "copy.db")
    with pytest.raises(SetupError, match="in use"):
        restore(tmp_path / "copy.db", tmp_path / "labkit.db")


@pytest.mark.parametrize("damage", ["cut", "scribble", "stranger"])
def test_what_is_no_whole_backup_is_refused_and_nothing_changes(tmp_path: Path, damage: str) -> None:
    path, copy = tmp_path / "labkit.db", tmp_path / "copy.db"
    store = SqliteStore(path)
    for number in range(50):
        busy_life(store, Principal("local", f"learner-{number}"))
    backup(path, copy)
    store.close()
    whole = copy.read_bytes()
    spoilt = {"cut": whole[: len(whole) // 2], "scribble": whole[:-4096] + b"?" * 4096, "stranger": b"hello"}
    copy.write_bytes(spoilt[damage])
    with pytest.raises(SetupError, match=r"copy\.db is"):
        restore(copy, path)
    assert SqliteStore(path).hold() is None


def test_every_table_that_hangs_on_a_learner_is_exported(store: SqliteStore, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "labkit.db")) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        parents = {t: {row[2] for row in connection.execute(f"PRAGMA foreign_key_list({t})")} for t in tables}
    hanging = {"learner"}
    while more := {table for table in tables if parents[table] & hanging} - hanging:
        hanging |= more
    assert set(OF_LEARNER) == hanging | {"audit"}


def test_an_export_is_all_there_is_of_a_learner_and_of_nobody_else(store: SqliteStore) -> None:
    busy_life(store, Principal("local", "bob", name="Bob Dobbs"))
    found = store.export(busy_life(store).learner)
    assert {table: len(rows) for table, rows in found.items()} == ONE_OF_EACH
    assert "Bob" not in json.dumps(found)


def test_who_was_forgotten_is_in_no_byte_of_the_store_and_the_audit_log_says_somebody(
    store: SqliteStore, tmp_path: Path
) -> None:
    lab = busy_life(store)
    store.forget(lab.learner)
    files = b"".join(path.read_bytes() for path in tmp_path.glob("labkit.db*"))
    for trace in (b"Lovelace", b"ada-17", b"well done", lab.work.encode()):
        assert trace not in files
    (entry,) = store.audit_log(last=9)
    assert (entry.actor.startswith("forgotten-"), entry.action, entry.target) == (True, "start", lab.id)


def test_nobody_is_forgotten_while_a_lab_runs(store: SqliteStore) -> None:
    lab = begin(store)
    with pytest.raises(Conflict, match=lab.id):
        store.forget(lab.learner)
    with pytest.raises(NotFound):
        store.forget("nobody")


def test_what_was_kept_for_long_enough_is_purged_and_nothing_else(store: SqliteStore) -> None:
    lab, running = busy_life(store), begin(store, Principal("local", "bob"))
    store.queue(running.id, OperationKind.START)
    days = Retention(events=30, labs=60, audit=90, learners=120)
    assert store.purge(days, time.time() + 29 * DAY) == {}
    assert store.purge(days, time.time() + 31 * DAY) == {"operation": 1}
    assert store.purge(days, time.time() + 61 * DAY) == {"lab": 1}
    assert store.purge(days, time.time() + 91 * DAY) == {"audit": 1}
    assert store.purge(days, time.time() + 121 * DAY) == {"learner": 1}
    assert [row.id for row in store.learners()] == [running.learner]
    assert store.lab(lab.id) is None


def test_nothing_is_purged_that_is_to_be_kept_for_ever(store: SqliteStore) -> None:
    busy_life(store)
    assert store.purge(Retention(), time.time() + 9999 * DAY) == {}


def test_labs_that_nothing_works_on_are_found(store: SqliteStore) -> None:
    forgotten, waiting = begin(store), begin(store, Principal("local", "bob"))
    store.queue(waiting.id, OperationKind.START)
    assert store.unattended(time.time() - 60) == []
    assert store.unattended(time.time() + 1) == [forgotten.id]
    store.lab_ready(forgotten.id)
    assert store.unattended(time.time() + 1) == []
    store.want(forgotten.id, "ended")
    assert store.unattended(0.0) == [forgotten.id]
