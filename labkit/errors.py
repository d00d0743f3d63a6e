"""What can go wrong, as a user is told it. Imports nothing of ours.

LabkitError                 anything labkit refuses or fails at; its text is one sentence fit for a user
├── Unauthenticated         who asks could not be told
├── TooMuch                 asked too often, or for too much at once; worth trying again later
├── NotFound                the named thing does not exist, or is not the principal's to see
├── Forbidden               it exists, and this principal may not do that with it
├── Conflict                the thing is in a state in which this cannot be done (says which)
├── NotBuilt                a part of the interface that this version does not implement
├── Invalid                 bad input; carries every fault found, each with its place
├── SetupError              the machine lacks something; the text says the remedy
├── MachineUnreachable      no session in a lab's machine could be had
├── FileRefused             a lab's machine refused something about a file; `reason` says why
└── ClusterError            the engine refused or could not be reached
    └── ClusterUnavailable  worth trying again
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class LabkitError(Exception):
    """The root of all errors that labkit raises on purpose. Its text is one sentence."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence. (IPython's own hook; our internals above it would help nobody.)"""
        return [f"{type(self).__name__}: {self}"]


class NotFound(LabkitError):
    """The named thing does not exist, or this principal may not know that it does."""


class Forbidden(LabkitError):
    """The principal lacks the right."""


class Unauthenticated(LabkitError):
    """Nobody that is known asks: there is no token, or it counts no (longer)."""


class TooMuch(LabkitError):
    """Asked more often than is allowed; later it may be."""


class Conflict(LabkitError):
    """The thing's state does not allow it."""


class NotBuilt(LabkitError):
    """Part of the interface, and not implemented in this version."""


class SetupError(LabkitError):
    """The machine lacks something that labkit needs."""


class MachineUnreachable(LabkitError):
    """No session in a lab's machine could be had; the text says why, in a sentence for the learner."""


class FileRefused(LabkitError):
    """Something about a file of a lab's machine was refused. `reason` is a stable word for programs: missing, denied,
    exists, not-empty, not-a-file, not-a-folder, full, too-large, failed."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text)
        self.reason = reason


class ClusterError(LabkitError):
    """The engine refused a request. `status` is the HTTP status, `reason` Kubernetes' own word."""

    def __init__(self, text: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason


class ClusterUnavailable(ClusterError):
    """The engine did not answer, or asked to be tried again later: after `retry_after` seconds.

    `request` says which request that was, to tell one that never succeeds from many that fail now and then.
    """

    def __init__(self, text: str, *, status: int = 0, reason: str = "", retry_after: float = 0.0) -> None:
        super().__init__(text, status=status, reason=reason)
        self.retry_after = retry_after
        self.request = ""


@dataclass(frozen=True, order=True)
class Fault:
    """One fault in a file: where (1-based line, 0 where unknown) and what, with the remedy in the text."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.text}"


class Invalid(LabkitError):
    """Bad input, with all its faults at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults))
        super().__init__("\n".join(str(fault) for fault in self.faults))
