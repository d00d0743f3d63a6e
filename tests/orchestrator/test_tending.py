"""What the controller does as time goes by, on a real store: the cluster is not asked."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.model import LabState, OperationKind, OperationState, Principal
from labkit.orchestrator import tending
from tests.support.service import OPERATOR, Service

ADA, BOB = (Principal("local", name, name=name) for name in ("ada", "bob"))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """Two learners, and room for one lab."""
    found = Service(tmp_path, tmp_path / "no-kubeconfig", most_labs="1", lab_idle_minutes="16.667")
    yield found
    found.store.close()  # type: ignore[attr-defined]


def ready(service: Service, who: Principal = ADA) -> str:
    lab = service.labs.start(who, "hello-lab").lab
    operation = service.store.claim()
    assert operation is not None
    service.store.lab_ready(lab)
    service.store.finish(operation.id, OperationState.DONE)
    return lab


def tend(service: Service, now: float, *, heard: bool = True) -> None:
    report = service.around.activity
    if report is not None and heard:
        report.touch()
        os.utime(report, (now, now))
    endings, late = tending.ends(service.around, now)
    tending.end(service.around, endings)
    for lab in late:
        tending.warn_late(service.around, lab, now)
    tending.tend_spares(service.around, now)
    tending.give_room(service.around, now)


def notices(service: Service, lab: str) -> list[str]:
    return [event.text for event in service.store.lab_events(lab) if event.stage == "warning"]


def test_a_lab_that_nobody_uses_is_warned_once_and_then_ended_with_the_reason(service: Service) -> None:
    lab = ready(service)
    for seconds in (110, 710, 720, 1010):
        tend(service, time.time() + seconds)
    assert len(notices(service, lab)) == 2, "one warning 15 minutes before, one 5 minutes before"
    row = service.store.lab(lab)
    assert row is not None
    assert (row.wanted, row.ending) == ("ended", "it ended by itself: nobody used it for 17 minutes")
    stop = service.store.latest_operation(lab)
    assert stop is not None
    assert (stop.kind, stop.arguments) == (OperationKind.STOP, {"reason": "idle"})


def test_what_the_gateway_reports_keeps_a_lab_alive(service: Service) -> None:
    lab = ready(service)
    report = service.around.activity
    assert report is not None
    report.write_text(json.dumps({lab: time.time() + 900, "unknown": 1.0}))
    tend(service, time.time() + 1010)
    assert service.store.lab(lab).wanted == "running"  # type: ignore[union-attr]


def test_nobodys_want_of_use_is_believed_while_no_gateway_reports(service: Service) -> None:
    lab = ready(service)
    for seconds in (110, 710, 1010):
        tend(service, time.time() + seconds, heard=False)
    assert notices(service, lab) == []
    assert service.store.lab(lab).wanted == "running"  # type: ignore[union-attr]


def test_an_end_that_nobody_saw_coming_is_announced_and_put_off(service: Service) -> None:
    lab, late = ready(service), time.time() + 9000
    tend(service, late)
    assert len(notices(service, lab)) == 1
    assert service.store.lab(lab).wanted == "running"  # type: ignore[union-attr]
    tend(service, late + 301)
    assert service.store.lab(lab).wanted == "ended"  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["", "{", '{"a": '])
def test_a_report_that_cannot_be_read_is_passed_over(service: Service, text: str) -> None:
    report = service.around.activity
    assert report is not None
    report.write_text(text)
    assert tending.last_uses(report) == {}


def test_whoever_waits_starts_by_himself_when_a_lab_has_ended(service: Service) -> None:
    first = ready(service)
    waiting = service.labs.start(BOB, "hello-lab")
    assert service.labs.status(BOB, waiting.lab).state is LabState.QUEUED
    tend(service, time.time())
    assert service.store.claim() is None
    service.store.lab_ended(first)
    tend(service, time.time())
    claimed = service.store.claim()
    assert claimed is not None
    assert claimed.id == waiting.id


def test_a_place_in_the_queue_is_told_again_only_when_it_changes(service: Service) -> None:
    first = ready(service)
    others = [service.labs.start(Principal("local", name), "hello-lab") for name in ("b", "c")]
    for _ in range(3):
        tend(service, time.time())
    assert [len(service.store.events(found.id)) for found in others] == [1, 1]
    service.store.lab_ended(first)
    tend(service, time.time())
    assert "number 1 in the queue" in service.store.events(others[1].id)[-1].text


def test_spares_wait_behind_learners_and_go_when_their_time_is_over(service: Service) -> None:
    now = time.time()
    held = service.labs.reserve(OPERATOR, "hello-lab", begins=now, ends=now + 100, labs=0, spares=2)
    tend(service, now)
    assert len(service.store.spares(held.id)) == 2
    tend(service, now + 101)
    assert service.store.reservations() == []
    assert {row.wanted for row in service.store.labs()} == {"ended"}
