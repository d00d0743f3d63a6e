"""What the store remembers of labs' lives: room, ends, warnings, spares; and learners with nasty ids."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from labkit.errors import Conflict, LabkitError
from labkit.manifests.lab import namespace
from labkit.model import OperationKind, OperationState, Principal, Reservation
from labkit.store import LabRow, SqliteStore, Terms

ADA = Principal("local", "ada", name="Ada")
WAIT = Terms(memory=1 << 30, max_seconds=3600, idle_seconds=600, wait=True)
HELD = Reservation("r1", "hello-lab", "hello-lab", 0.0, None, 0, 1, 1 << 30)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    found = SqliteStore(tmp_path / "labkit.db")
    yield found
    found.close()


def begin(store: SqliteStore, terms: Terms = WAIT, *, activity: str = "hello-lab", who: Principal = ADA) -> LabRow:
    work = store.work(store.learner(who), activity, "hello-lab")
    return store.begin_lab(work, template="hello-lab", digest="d", terms=terms)[0]


def everybody(labs: Sequence[LabRow], reservations: Sequence[Reservation]) -> list[str]:
    return [row.id for row in labs if row.admitted is None]


def test_the_start_of_a_lab_that_waits_is_not_done_until_it_has_room(store: SqliteStore) -> None:
    lab = begin(store)
    operation = store.queue(lab.id, OperationKind.START)
    assert (lab.admitted, store.claim()) == (None, None)
    assert store.admit(everybody) == [lab.id]
    assert store.admit(everybody) == []
    assert store.claim() == store.operation(operation.id)


def test_a_lab_that_waits_can_be_stopped(store: SqliteStore) -> None:
    lab = begin(store)
    start, stop = (store.queue(lab.id, kind) for kind in (OperationKind.START, OperationKind.STOP))
    claimed = store.claim()
    assert claimed is not None
    assert claimed.id == stop.id
    assert store.operation(start.id).state is OperationState.CANCELLED  # type: ignore[union-attr]


def test_what_found_no_room_is_put_back_and_waits_again(store: SqliteStore) -> None:
    lab = begin(store, Terms())
    operation = store.queue(lab.id, OperationKind.START)
    store.claim()
    store.put_back(operation.id, until=99.0)
    found = store.lab(lab.id)
    assert found is not None
    assert (found.admitted, found.retry, store.claim()) == (None, 99.0, None)
    assert store.operation(operation.id).state is OperationState.QUEUED  # type: ignore[union-attr]


def test_a_learner_has_no_more_labs_than_he_may_and_is_told_which_he_has(store: SqliteStore) -> None:
    first = begin(store, Terms(most=1))
    assert begin(store, Terms(most=1)) == first
    with pytest.raises(Conflict, match=f"1 lab at a time: stop {first.id} first"):
        begin(store, Terms(most=1), activity="other")
    assert begin(store, Terms(most=1), activity="other", who=Principal("local", "bob")).id != first.id


def test_a_lab_that_gets_ready_has_an_end_which_a_second_ready_does_not_move(store: SqliteStore) -> None:
    lab = begin(store)
    store.lab_ready(lab.id)
    first = store.lab(lab.id)
    store.lab_ready(lab.id)
    assert first is not None
    assert first.expires == pytest.approx(time.time() + 3600, abs=5)
    assert store.lab(lab.id).expires == first.expires  # type: ignore[union-attr]


def test_only_labs_near_their_end_are_looked_at_and_use_puts_that_off(store: SqliteStore) -> None:
    lab = begin(store)
    store.lab_ready(lab.id)
    soon = time.time() + 590
    assert [row.id for row in store.near_end(soon, within=60)] == [lab.id]
    assert store.near_end(soon, within=1) == []
    store.used({lab.id: soon, "nobody's": soon})
    assert store.near_end(soon, within=60) == []
    store.used({lab.id: 1.0})
    assert store.lab(lab.id).used == soon  # type: ignore[union-attr]


def test_a_warning_is_given_once_for_each_time_it_is_due_and_stands_among_the_labs_events(store: SqliteStore) -> None:
    lab = begin(store)
    for threshold in (100.0, 100.0, 50.0, 400.0):
        store.warn(lab.id, threshold, f"due at {threshold:.0f}")
    assert [event.text for event in store.lab_events(lab.id)] == ["due at 100", "due at 400"]
    assert {found.kind for found in store.operations(lab.id)} == {OperationKind.NOTICE}


def test_a_notice_is_not_taken_for_the_work_under_way(store: SqliteStore) -> None:
    lab = begin(store, Terms())
    start = store.queue(lab.id, OperationKind.START)
    store.warn(lab.id, 1.0, "soon")
    assert store.latest_operation(lab.id) == start


def test_what_waits_is_cancelled_at_once_and_what_runs_is_asked_to_end(store: SqliteStore) -> None:
    lab = begin(store, Terms())
    start, pause = (store.queue(lab.id, kind) for kind in (OperationKind.START, OperationKind.PAUSE))
    store.claim()
    assert store.cancel(pause.id).state is OperationState.CANCELLED  # type: ignore[union-attr]
    assert store.cancel(start.id).state is OperationState.RUNNING  # type: ignore[union-attr]
    assert store.cancelled(start.id)
    store.finish(start.id, OperationState.DONE)
    assert store.cancel(start.id).state is OperationState.DONE  # type: ignore[union-attr]


def test_a_ready_spare_is_claimed_in_one_step_and_then_is_the_learners_lab(store: SqliteStore) -> None:
    store.reserve(HELD)
    spare = store.begin_spare(HELD, Terms(), digest="d")
    assert begin(store, who=Principal("local", "bob")).id != spare.id, "it was not ready yet"
    store.lab_ready(spare.id)
    mine = begin(store)
    assert (mine.id, mine.learner_name, mine.spare, mine.ready) == (spare.id, "Ada", None, None)
    assert mine.max_seconds == 3600
    assert store.spares(HELD.id) == []


def test_a_spare_of_an_older_template_or_another_activity_is_not_claimed(store: SqliteStore) -> None:
    store.reserve(HELD)
    old = store.begin_spare(HELD, Terms(), digest="old")
    other = store.begin_spare(HELD, Terms(), digest="d")
    store.lab_ready(old.id)
    store.lab_ready(other.id)
    assert begin(store, activity="elsewhere").id not in (old.id, other.id)
    assert begin(store).id == other.id


def test_a_reservation_that_goes_takes_its_spares_with_it(store: SqliteStore) -> None:
    store.reserve(HELD)
    spare = store.begin_spare(HELD, Terms(), digest="d")
    assert store.unreserve(HELD.id)
    assert not store.unreserve(HELD.id)
    assert store.lab(spare.id).wanted == "ended"  # type: ignore[union-attr]


def test_starts_are_measured_from_the_moment_they_had_room(store: SqliteStore) -> None:
    lab = begin(store)
    store.admit(everybody)
    store.lab_ready(lab.id)
    assert store.start_seconds("hello-lab") == pytest.approx([0.0], abs=2.0)
    assert store.start_seconds("other") == []


NASTY = (
    *("ada{}@example.org", "Ada {}", "ADA-{}", "ada_{}", "ada.{}", "Ädä{}", "李{}", "\U0001f9d1{}", "../{}", "-{}"),
    *("{}'; DROP TABLE lab; --", "\u202e{}", " {} ", "{}\n", "a\u0301{}", "á{}", "{}\x00", "%s{}", "<b>{}</b>"),
    "x" * 300 + "{}",
)


def test_a_thousand_nasty_learner_ids_are_as_many_learners_and_labs_and_stand_in_no_name_or_label(
    store: SqliteStore,
) -> None:
    subjects = [NASTY[number % 20].format(f"id{number // 20}") for number in range(1000)]
    labs = [begin(store, who=Principal("lti", subject, name=subject)) for subject in subjects]
    assert len({row.id for row in labs}) == len({row.learner for row in labs}) == 1000
    for subject, row in zip(subjects, labs, strict=True):
        made = namespace(store.installation(), row.id)
        assert subject.strip() not in json.dumps(made, ensure_ascii=False)
        assert re.fullmatch("labkit-[a-z0-9]{10}", made["metadata"]["name"])
    again = begin(store, who=Principal("lti", subjects[7], name=subjects[7]))
    assert again.id == labs[7].id


@pytest.mark.parametrize("subject", ["", "\ud800"])
def test_what_is_no_text_is_no_identity(store: SqliteStore, subject: str) -> None:
    with pytest.raises(LabkitError, match="identity"):
        store.learner(Principal("lti", subject))
