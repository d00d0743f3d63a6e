"""The commands that keep an installation in order, as an operator types them."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from labkit.cli import main
from labkit.model import Principal
from labkit.settings import load
from labkit.store import SqliteStore

ADA = Principal("hub", "ada", name="Ada")


class Operator:
    """A state folder with one learner and an ended lab, and the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = load({"LABKIT_STATE_DIR": str(folder), "HOME": str(folder)})
        self.store = SqliteStore(self.settings.database)
        learner = self.store.learner(ADA)
        self.lab = self.store.begin_lab(self.store.work(learner, "a", "t"), template="t", digest="d")[0]
        self.store.audit(learner, "start", self.lab.id)

    def types(self, *words: str) -> Result:
        environment = {"LABKIT_STATE_DIR": str(self.folder), "HOME": str(self.folder)}
        return CliRunner(env=environment).invoke(main, words)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    found = Operator(tmp_path)
    yield found
    found.store.close()


def test_a_backup_can_be_put_back_while_nothing_runs_and_is_marked(operator: Operator) -> None:
    target = str(operator.folder / "copy.db")
    assert operator.types("backup", target).exit_code == 0
    operator.store.close()
    assert operator.types("restore", target, "--yes").exit_code == 0
    status = operator.types("controller", "status", "--json")
    assert (status.exit_code, json.loads(status.output)["reason"]) == (1, "the store was put back from a backup")
    assert operator.types("controller", "approve", "--yes").exit_code == 0
    assert operator.types("controller", "status").exit_code == 0


def test_a_restore_is_refused_while_a_controller_runs(operator: Operator) -> None:
    target = str(operator.folder / "copy.db")
    operator.types("backup", target)
    with open(operator.folder / "controller.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = operator.types("restore", target, "--yes")
    assert (done.exit_code, "engine down --keep-labs" in done.output) == (1, True)


def test_a_learner_is_found_by_identity_handed_out_and_forgotten_once_no_lab_runs(operator: Operator) -> None:
    assert "hub:ada" in operator.types("learners", "list").output
    assert json.loads(operator.types("learners", "export", "hub:ada").output)["learner"][0]["name"] == "Ada"
    refused = operator.types("learners", "forget", "Ada", "--yes")
    assert (refused.exit_code, operator.lab.id in refused.output) == (1, True)
    operator.store.lab_ended(operator.lab.id)
    operator.types("backup")
    done = operator.types("learners", "forget", "Ada", "--yes")
    assert (done.exit_code, "labkit.db.backup-" in done.output) == (0, True)
    assert operator.types("learners", "export", "hub:ada").exit_code == 1


def test_the_audit_log_says_who_did_what_to_what(operator: Operator) -> None:
    operator.store.audit("controller", "delete", "other-lab")
    (entry,) = json.loads(operator.types("audit", operator.lab.id, "--json").output)
    assert (entry["name"], entry["action"], entry["target"]) == ("Ada", "start", operator.lab.id)
    assert len(json.loads(operator.types("audit", "--json", "--last", "1").output)) == 1


def test_nothing_to_approve_is_said(operator: Operator) -> None:
    assert "nothing waits" in operator.types("controller", "approve", "--yes").output
