"""Why a machine does not run: what the engine's words come to."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.orchestrator import disks
from labkit.orchestrator.causes import Trouble, cause_of, trouble_of


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {"status": {"conditions": [{"type": kind, "status": status, "reason": reason, "message": message}]}}


def waiting(reason: str) -> dict[str, Any]:
    return {"status": {"containerStatuses": [{"state": {"waiting": {"reason": reason}}}]}}


QUOTA = 'pods "virt-launcher-box" is forbidden: exceeded quota: labkit, requested: limits.memory=2Gi'


@pytest.mark.parametrize(
    ("found", "trouble"),
    [
        (condition("Synchronized", "False", "ErrImagePull", "no such image"), Trouble.IMAGE),
        (condition("Synchronized", "False", "FailedCreate", QUOTA), Trouble.QUOTA),
        (condition("Failure", "True", "FailedCreate", 'violates PodSecurity "baseline:latest"'), Trouble.POLICY),
        (condition("PodScheduled", "False", "Unschedulable", "0/3 nodes are available"), Trouble.ROOM),
        (condition("Synchronized", "False", "FailedPvcNotFound", "no claim"), Trouble.STORAGE),
        (condition("Synchronized", "False", "Strange", "something else"), Trouble.OTHER),
        ({"status": {"printableStatus": "CrashLoopBackOff"}}, Trouble.LOOP),
        ({"status": {"startFailure": {"consecutiveFailCount": 3}}}, Trouble.LOOP),
        ({"status": {"phase": "Failed"}}, Trouble.CRASH),
        (waiting("ImagePullBackOff"), Trouble.IMAGE),
        (waiting("CrashLoopBackOff"), Trouble.LOOP),
    ],
)
def test_every_trouble_is_told_from_what_the_objects_say(found: dict[str, Any], trouble: Trouble) -> None:
    cause = cause_of(found)
    assert cause is not None
    assert cause.trouble is trouble
    assert cause.words
    assert cause.said


def test_nothing_wrong_has_no_cause_and_a_clear_cause_wins() -> None:
    vague = condition("Synchronized", "False", "Strange", "?")
    assert cause_of({"status": {"phase": "Running"}}, None) is None
    found = cause_of(vague, condition("Failure", "True", "FailedCreate", QUOTA))
    assert found is not None
    assert found.trouble is Trouble.QUOTA


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        (QUOTA, Trouble.QUOTA),
        ('admission webhook "x" denied the request', Trouble.POLICY),
        ('secrets is forbidden: User "x" cannot create', Trouble.POLICY),
        ("connection lost", Trouble.OTHER),
    ],
)
def test_a_refusal_to_make_an_object_is_told_by_its_words(said: str, trouble: Trouble) -> None:
    assert trouble_of(said) is trouble


def test_what_a_switch_off_loses_and_what_stays() -> None:
    volumes = [
        {"name": "root", "containerDisk": {"image": "x"}},
        {"name": "iso", "containerDisk": {"image": "y"}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "seed", "cloudInitNoCloud": {}},
        {"name": "scratch", "emptyDisk": {"capacity": "1Gi"}},
    ]
    devices = {"disks": [{"name": "root", "disk": {}}, {"name": "iso", "cdrom": {}}]}
    vm = {"spec": {"template": {"spec": {"domain": {"devices": devices}, "volumes": volumes}}}}
    assert disks.lost(vm) == ("root", "scratch")
    assert disks.kept(vm) == ("data",)
