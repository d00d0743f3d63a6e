"""The store: what is remembered, what there can be only one of, and what a dead worker leaves."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.errors import SetupError
from labkit.model import CheckResult, OperationKind, OperationState, Principal, Verdict
from labkit.store import LabRow, SqliteStore
from tests.support.held import held_below

ADA = Principal("local", "ada", name="Ada")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    found = SqliteStore(tmp_path / "labkit.db")
    yield found
    found.close()


def begin(store: SqliteStore, principal: Principal = ADA) -> LabRow:
    work = store.work(store.learner(principal), "hello-lab", "hello-lab")
    return store.begin_lab(work, template="hello-lab", digest="d")[0]


def test_an_identity_is_one_learner_and_a_new_name_is_taken_over(store: SqliteStore) -> None:
    first = store.learner(ADA)
    assert store.learner(Principal("local", "ada", name="Ada L.")) == first
    assert store.learner(Principal("hub", "ada")) != first
    assert begin(store).learner_name == "Ada"


def test_a_work_has_one_seed_for_ever(store: SqliteStore) -> None:
    learner = store.learner(ADA)
    assert store.work(learner, "a", "t").seed == store.work(learner, "a", "t").seed
    assert store.work(learner, "a", "t").seed != store.work(learner, "b", "t").seed


def test_many_at_once_begin_just_one_lab(store: SqliteStore) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(begin(store).id)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_after_its_end_a_work_gets_a_new_lab(store: SqliteStore) -> None:
    first = begin(store)
    store.lab_ended(first.id)
    assert begin(store).id != first.id
    assert [row.id for row in store.labs(ended=True)][-1] == first.id
    assert first.id not in [row.id for row in store.labs()]


def test_the_same_operation_is_queued_once(store: SqliteStore) -> None:
    lab = begin(store).id
    assert store.queue(lab, OperationKind.START) == store.queue(lab, OperationKind.START)
    one, other = (store.queue(lab, OperationKind.CHECK, {"step": step}) for step in ("a", "b"))
    assert one.id != other.id


def test_operations_of_one_lab_are_done_one_after_the_other(store: SqliteStore) -> None:
    lab, other = begin(store).id, begin(store, Principal("local", "bob")).id
    first = store.queue(lab, OperationKind.START)
    second = store.queue(lab, OperationKind.PAUSE)
    elsewhere = store.queue(other, OperationKind.START)
    assert [store.claim(), store.claim(), store.claim()][0].id == first.id  # type: ignore[union-attr]
    assert store.operation(elsewhere.id).state is OperationState.RUNNING  # type: ignore[union-attr]
    store.finish(first.id, OperationState.DONE)
    assert store.claim().id == second.id  # type: ignore[union-attr]


def test_what_nobody_asked_for_comes_last_and_never_takes_every_worker(store: SqliteStore) -> None:
    labs = [begin(store, Principal("local", name)).id for name in "abcdef"]
    polled = [store.queue(lab, OperationKind.CHECK, {"step": "a", "polled": True}) for lab in labs]
    asked = store.queue(labs[5], OperationKind.CHECK, {"step": "a"})
    claimed = [store.claim() for _ in range(6)]
    assert [found and found.id for found in claimed] == [asked.id, *(one.id for one in polled[:4]), None]


def test_what_nobody_asked_for_is_no_use_of_the_lab_and_leaves_only_its_last_trace(store: SqliteStore) -> None:
    lab = begin(store)
    before = store.labs()[0].used
    for _ in range(3):
        operation = store.queue(lab.id, OperationKind.CHECK, {"step": "a", "polled": True})
        store.finish(operation.id, OperationState.DONE)
    assert store.operations(lab.id) == [store.operation(operation.id)]
    assert store.labs()[0].used == before


def test_a_stop_makes_way_for_itself(store: SqliteStore) -> None:
    lab = begin(store).id
    running, waiting = store.queue(lab, OperationKind.START), store.queue(lab, OperationKind.PAUSE)
    store.claim()
    store.queue(lab, OperationKind.STOP)
    assert store.cancelled(running.id)
    assert store.operation(waiting.id).state is OperationState.CANCELLED  # type: ignore[union-attr]


def test_what_a_dead_worker_left_is_done_again(store: SqliteStore) -> None:
    operation = store.queue(begin(store).id, OperationKind.START)
    store.claim()
    assert store.claim() is None
    assert store.requeue_interrupted() == 1
    assert store.claim().id == operation.id  # type: ignore[union-attr]


def test_events_are_read_from_a_cursor(store: SqliteStore) -> None:
    operation = store.queue(begin(store).id, OperationKind.START)
    for number in range(3):
        store.add_event(operation.id, "stage", f"event {number}", number / 2)
    events = store.events(operation.id)
    assert [event.text for event in store.events(operation.id, events[0].seq)] == ["event 1", "event 2"]


def test_a_passed_check_ticks_its_step_and_a_later_failure_does_not_untick_it(store: SqliteStore) -> None:
    work = begin(store).work
    for verdict, ticks in ((Verdict.NOT_YET, set()), (Verdict.PASSED, {"note"}), (Verdict.NOT_YET, {"note"})):
        store.record_result(work, CheckResult("note", verdict, "why", time.time(), attested=False))
        assert store.progress(work).ticks == ticks
    assert store.progress(work).results["note"].verdict is Verdict.NOT_YET


def test_ticks_hang_on_the_work_and_outlive_its_lab(store: SqliteStore) -> None:
    lab = begin(store)
    store.tick(lab.work, "look", True)
    store.lab_ended(lab.id)
    assert store.progress(begin(store).work).ticks == {"look"}
    store.tick(lab.work, "look", False)
    assert not store.progress(lab.work).ticks


def test_a_store_opened_again_is_the_same(tmp_path: Path) -> None:
    first = SqliteStore(tmp_path / "labkit.db")
    installation, lab = first.installation(), begin(first)
    first.close()
    second = SqliteStore(tmp_path / "labkit.db")
    assert (second.installation(), second.lab(lab.id)) == (installation, lab)
    second.close()


def test_the_database_can_be_read_by_its_user_alone(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "labkit.db").close()
    assert (tmp_path / "labkit.db").stat().st_mode & 0o077 == 0


def test_a_file_that_is_no_database_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "labkit.db").write_text("not a database at all, just some text" * 100)
    with pytest.raises(SetupError, match=r"labkit\.db cannot be used .*move it away"):
        SqliteStore(tmp_path / "labkit.db")


def test_a_lab_of_no_work_is_refused_by_the_database_itself(store: SqliteStore, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "labkit.db")
    connection.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(
            "INSERT INTO lab (id, work, template, digest, wanted, created) VALUES ('x','none','t','d','running',0)"
        )
    connection.close()


def test_an_installation_belongs_to_one_engine_as_long_as_it_has_labs_there(store: SqliteStore) -> None:
    assert store.belongs_to("one")
    lab = begin(store)
    assert not store.belongs_to("other")
    assert store.belongs_to("one")
    store.lab_ended(lab.id)
    assert store.belongs_to("other")


def test_closing_leaves_a_thread_alone_that_is_in_the_middle_of_something(tmp_path: Path) -> None:
    store, begun, go_on = SqliteStore(tmp_path / "labkit.db"), threading.Event(), threading.Event()
    found: list[int] = []

    def read() -> None:
        rows = store._connections.db().conn.execute("SELECT 1 UNION SELECT 2")
        found.append(rows.fetchone()[0])
        begun.set()
        go_on.wait(10)
        found.append(rows.fetchone()[0])

    reader = threading.Thread(target=read)
    reader.start()
    assert begun.wait(10)
    store.close()
    go_on.set()
    reader.join(10)
    assert found == [1, 2]


def test_threads_that_come_and_go_leave_no_connection_behind(store: SqliteStore, tmp_path: Path) -> None:
    held = []
    for _ in range(20):
        thread = threading.Thread(target=store.installation)
        thread.start()
        thread.join()
        held.append(len(held_below(tmp_path)))
    assert held[1] > 0
    assert held[-1] == held[1]  # SQLite keeps one file open for the next to use


def test_who_is_known_is_told_while_another_process_writes(store: SqliteStore, tmp_path: Path) -> None:
    person = Principal("local", "ada")
    known = store.learner(person)
    (file,) = tmp_path.rglob("*.db")
    other = sqlite3.connect(file)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert store.learner(person) == known
    finally:
        other.close()
