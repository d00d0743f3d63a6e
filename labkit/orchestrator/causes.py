"""Why a machine does not run: the engine's words, and one sentence for the learner. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Object = Mapping[str, Any]

_LOOP = 3
"""A machine that has failed so often in a row goes round and round."""


class Trouble(StrEnum):
    """What keeps a machine from running."""

    IMAGE = "image not found"
    QUOTA = "quota"
    ROOM = "unschedulable"
    LOOP = "boot loop"
    POLICY = "refused by policy"
    STORAGE = "storage"
    CRASH = "crash"
    OTHER = "other"


WORDS: Mapping[Trouble, str] = {
    Trouble.IMAGE: "its image cannot be found",
    Trouble.QUOTA: "there is no room for it: a quota is used up",
    Trouble.ROOM: "there is no room for it at the moment",
    Trouble.LOOP: "it starts and fails again and again",
    Trouble.POLICY: "the cluster's policy does not allow it",
    Trouble.STORAGE: "its disk cannot be made",
    Trouble.CRASH: "it crashed",
    Trouble.OTHER: "the engine cannot make it",
}
"""What the learner is told."""

FULL = frozenset({Trouble.QUOTA, Trouble.ROOM})
"""What passes when others end."""
PASSING = frozenset({Trouble.ROOM, Trouble.STORAGE})
"""What may pass by itself: disks that are being made, nodes that come."""

_REASONS: Mapping[str, Trouble] = {
    "ErrImagePull": Trouble.IMAGE,
    "ImagePullBackOff": Trouble.IMAGE,
    "ErrImageNeverPull": Trouble.IMAGE,
    "InvalidImageName": Trouble.IMAGE,
    "CreateContainerConfigError": Trouble.STORAGE,
    "ErrorUnschedulable": Trouble.ROOM,
    "Unschedulable": Trouble.ROOM,
    "CrashLoopBackOff": Trouble.LOOP,
    "ErrorPvcNotFound": Trouble.STORAGE,
    "FailedPvcNotFound": Trouble.STORAGE,
    "DataVolumeError": Trouble.STORAGE,
    "FailedDataVolumeImport": Trouble.STORAGE,
}
_PHRASES = (
    *_REASONS.items(),
    ("exceeded quota", Trouble.QUOTA),
    ("violates PodSecurity", Trouble.POLICY),
    ("admission webhook", Trouble.POLICY),
    ("ValidatingAdmissionPolicy", Trouble.POLICY),
    ("is forbidden", Trouble.POLICY),
)

_BAD = {("Synchronized", "False"), ("Failure", "True"), ("PodScheduled", "False")}
"""Type and status of the conditions that tell a cause."""


@dataclass(frozen=True)
class Cause:
    """What is wrong with a machine: of which sort, and what the engine says of it."""

    trouble: Trouble
    said: str

    @property
    def words(self) -> str:
        """The sentence for the learner."""
        return WORDS[self.trouble]


def cause_of(*objects: Object | None) -> Cause | None:
    """The first cause that a machine's objects tell (VirtualMachine, VirtualMachineInstance, Pod), or None."""
    found = [cause for each in objects if each for cause in _causes(each)]
    return min(found, key=lambda cause: cause.trouble is Trouble.OTHER, default=None)


def trouble_of(said: str) -> Trouble:
    """The sort of trouble that the engine's words tell: of a refusal, or of a `Cause`."""
    return next((trouble for phrase, trouble in _PHRASES if phrase in said), Trouble.OTHER)


def _causes(found: Object) -> Iterator[Cause]:
    status: Object = found.get("status") or {}
    for condition in status.get("conditions") or ():
        if (condition.get("type"), condition.get("status")) in _BAD:
            yield _cause(str(condition.get("reason") or condition["type"]), str(condition.get("message") or ""))
    for container in status.get("containerStatuses") or ():
        state: Object = (container.get("state") or {}).get("waiting") or {}
        if str(state.get("reason") or "") in _REASONS:
            yield _cause(str(state["reason"]), str(state.get("message") or ""))
    failures = int((status.get("startFailure") or {}).get("consecutiveFailCount") or 0)
    if failures >= _LOOP:
        yield Cause(Trouble.LOOP, f"it failed {failures} times in a row")
    printable = str(status.get("printableStatus") or "")
    if printable in _REASONS:
        yield Cause(_REASONS[printable], f"the engine says {printable}")
    if status.get("phase") == "Failed":
        yield Cause(Trouble.CRASH, str(status.get("message") or "its process ended with an error"))


def _cause(reason: str, message: str) -> Cause:
    return Cause(_trouble(reason, message), f"{reason}: {message}" if message else reason)


def _trouble(reason: str, message: str) -> Trouble:
    return _REASONS.get(reason) or trouble_of(message)
