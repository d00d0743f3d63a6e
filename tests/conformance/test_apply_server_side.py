"""Server-side apply: who manages which field, and what happens when two want the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.conformance.conftest import Space, note, vm
from tests.support.cluster import Answer


def applied(space: Space, obj: dict[str, Any], manager: str = "one", query: str = "") -> Answer:
    """Apply an object as somebody."""
    plural = "secrets" if obj["kind"] == "Secret" else "virtualmachines"
    body = yaml.safe_dump(obj)
    return space.patch(plural, obj["metadata"]["name"], body, "apply", f"fieldManager={manager}{query}")


def bare(**data: str) -> dict[str, Any]:
    """A Secret with such data and nothing else."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": data}


def test_apply_makes_what_is_not_there_and_changes_what_is(space: Space) -> None:
    assert applied(space, bare(k="MQ==")).code == 201
    again = applied(space, bare(k="Mg=="))
    assert (again.code, again.document["data"]) == (200, {"k": "Mg=="})


def test_what_one_no_longer_wants_goes(space: Space) -> None:
    applied(space, bare(k="MQ==", l="MQ=="))
    assert applied(space, bare(k="MQ==")).document["data"] == {"k": "MQ=="}


def test_what_another_wants_stays(space: Space) -> None:
    applied(space, bare(k="MQ=="))
    assert applied(space, bare(l="MQ=="), "two").document["data"] == {"k": "MQ==", "l": "MQ=="}
    assert applied(space, bare(), "two").document["data"] == {"k": "MQ=="}


def test_two_who_want_different_values_are_in_conflict(space: Space) -> None:
    applied(space, bare(k="MQ=="))
    answer = applied(space, bare(k="Mg=="), "two")
    assert answer.refusal == (409, "Conflict")
    cause = answer.document["details"]["causes"][0]
    assert (cause["reason"], cause["field"]) == ("FieldManagerConflict", ".data.k")
    assert 'conflict with "one"' in cause["message"]
    forced = applied(space, bare(k="Mg=="), "two", "&force=true")
    assert (forced.code, forced.document["data"]) == (200, {"k": "Mg=="})
    assert applied(space, bare(k="MQ==")).refusal == (409, "Conflict")


def test_two_who_want_the_same_value_share_it(space: Space) -> None:
    applied(space, bare(k="MQ=="))
    assert applied(space, bare(k="MQ=="), "two").code == 200
    assert applied(space, bare(), "two").document["data"] == {"k": "MQ=="}


def test_managers_are_written_down(space: Space) -> None:
    managed = applied(space, bare(k="MQ==")).document["metadata"]["managedFields"]
    found = next(entry for entry in managed if entry["manager"] == "one")
    assert (found["operation"], found["apiVersion"], found["fieldsType"]) == ("Apply", "v1", "FieldsV1")
    assert found["fieldsV1"]["f:data"]["f:k"] == {}


def test_a_change_by_other_means_is_a_conflict_too(space: Space) -> None:
    applied(space, bare(k="MQ=="))
    space.patch("secrets", "a", {"data": {"k": "Mg=="}})
    assert applied(space, bare(k="MQ==")).refusal == (409, "Conflict")


@pytest.mark.parametrize("query", ["", "fieldManager="])
def test_whoever_applies_gives_a_name(space: Space, query: str) -> None:
    assert space.patch("secrets", "a", json.dumps(bare()), "apply", query).refusal[0] in (400, 422)


def test_a_dry_run_stores_nothing(space: Space) -> None:
    assert applied(space, bare(k="MQ=="), query="&dryRun=All").code == 201
    assert space.get("secrets", "a").code == 404


def test_machines_can_be_applied_and_applied_again(space: Space) -> None:
    assert [applied(space, vm()).code, applied(space, vm()).code] == [201, 200]
    changed = applied(space, vm(hostname="other")).document
    assert changed["spec"]["template"]["spec"]["hostname"] == "other"


def test_kubectl_applies_on_the_server_and_tells_of_a_conflict(space: Space) -> None:
    said = space.kubectl("apply", "--server-side", "-f", "-", stdin=note("a", labels={"x": "1"}))
    assert said == "secret/a serverside-applied\n"
    words = ("apply", "--server-side", "--field-manager=other", "-f", "-")
    said = space.kubectl(*words, stdin=note("a", labels={"x": "2"}), check=False)
    assert "conflict with" in said
    assert ".metadata.labels.x" in said
    assert "serverside-applied" in space.kubectl(*words, "--force-conflicts", stdin=note("a", labels={"x": "2"}))
