"""Every call that changes something is in the audit log: who, what, when, on what, how it ended, and no secrets."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from labkit.errors import Forbidden
from labkit.model import Operation, OperationKind, OperationState, Principal
from labkit.orchestrator.audit import READS, audited
from labkit.orchestrator.labs import Labs
from labkit.store import SqliteStore

ADA = Principal("local", "ada", name="Ada")


class SomeLabs:
    """Answers as `DirectLabs` does."""

    def start(self, principal: Principal, template: str, *, activity: str | None = None) -> Operation:
        return Operation("op", OperationKind.START, "lab-1", OperationState.QUEUED, 0.0)

    def status(self, principal: Principal, lab: str) -> str:
        return "running"

    def execute(self, principal: Principal, lab: str, machine: str, command: str, *, timeout: float) -> Any:
        raise Forbidden("for operators")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    found = SqliteStore(tmp_path / "labkit.db")
    yield found
    found.close()


def test_a_call_is_noted_with_its_target_and_how_it_ended_and_without_its_command(store: SqliteStore) -> None:
    labs = audited(cast(Labs, SomeLabs()), store)
    labs.start(ADA, "hello-lab")
    assert labs.status(ADA, "lab-1") == "running"
    with pytest.raises(Forbidden):
        labs.execute(ADA, "lab-1", "box", "echo hunter2", timeout=1)
    found = [(entry.name, entry.action, entry.target, entry.outcome) for entry in store.audit_log(last=9)]
    assert found == [("Ada", "execute", "lab-1 box", "forbidden"), ("Ada", "start", "hello-lab lab-1", "done")]


def test_what_is_not_audited_are_calls_that_there_are() -> None:
    calls = {name for name, _ in inspect.getmembers(Labs, inspect.isfunction) if not name.startswith("_")}
    assert calls >= READS
