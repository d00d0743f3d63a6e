"""Quotas and limits of a namespace: what is counted, and what happens at the limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conformance.conftest import Space, note, vm, vmi
from tests.support.engine import until

Make = Callable[[str], dict[str, Any]]
VMS = "count/virtualmachines.kubevirt.io"
VMIS = "count/virtualmachineinstances.kubevirt.io"


def limit(space: Space, **hard: str) -> None:
    """A quota, in force."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": hard}}
    space.make(quota)
    until(lambda: set(space.get("resourcequotas", "q").document.get("status", {}).get("used", {})) == set(hard), 20)


def used(space: Space) -> dict[str, str]:
    """What is counted now."""
    return dict(space.get("resourcequotas", "q").document["status"]["used"])


@pytest.mark.parametrize(("key", "make"), [("count/secrets", note), (VMS, vm), (VMIS, vmi)])
def test_what_is_over_the_limit_is_refused_and_says_which(space: Space, key: str, make: Make) -> None:
    limit(space, **{key: "1"})
    assert space.post(make("a")).code == 201
    answer = space.post(make("b"))
    assert answer.refusal == (403, "Forbidden")
    assert f"exceeded quota: q, requested: {key}=1, used: {key}=1, limited: {key}=1" in answer.message


def test_what_is_deleted_is_no_longer_counted(space: Space) -> None:
    limit(space, **{"count/secrets": "1"})
    space.make(note("a"))
    assert used(space) == {"count/secrets": "1"}
    space.delete("secrets", "a")
    until(lambda: used(space) == {"count/secrets": "0"}, 20)
    until(lambda: space.post(note("b")).code == 201, 20)


def test_what_was_there_before_is_counted(space: Space) -> None:
    space.make(note("a"))
    limit(space, **{"count/secrets": "1"})
    assert used(space) == {"count/secrets": "1"}
    assert space.post(note("b")).refusal == (403, "Forbidden")


def test_a_dry_run_is_counted_too_but_leaves_no_trace(space: Space) -> None:
    limit(space, **{"count/secrets": "1"})
    assert space.post(note("a"), "dryRun=All").code == 201
    assert space.post(note("a")).code == 201
    assert space.post(note("b"), "dryRun=All").refusal == (403, "Forbidden")


def test_a_started_machine_without_room_starts_and_says_why_it_does_not_run(space: Space) -> None:
    limit(space, **{VMIS: "0"})
    space.make(vm())
    assert space.do("start").code == 202
    failure = until(lambda: space.condition("virtualmachines", "web", "Failure"), 30)
    assert (failure["status"], "exceeded quota" in failure["message"]) == ("True", True)
    until(lambda: "exceeded quota" in space.kubectl("get", "events"), 20)


def test_kubectl_shows_a_quota(space: Space) -> None:
    limit(space, **{"count/secrets": "5"})
    shown = " ".join(space.kubectl("describe", "quota", "q").split())
    assert "count/secrets" in shown
    assert shown.endswith("5")


def test_a_quota_must_be_a_quantity(space: Space) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}}
    answer = space.post(quota | {"spec": {"hard": {"count/secrets": "-1"}}})
    assert answer.refusal == (422, "Invalid")


def test_a_limit_range_is_kept(space: Space) -> None:
    limits = [{"type": "Container", "max": {"memory": "1Gi"}, "default": {"memory": "512Mi"}}]
    made = space.make({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": limits}})
    assert made["spec"]["limits"][0]["defaultRequest"] == {"memory": "512Mi"}
