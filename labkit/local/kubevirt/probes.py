"""What a probe's results mean over time, as the kubelet counts them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.local.kubevirt.rules import HANDLERS
from labkit.local.objects import Obj


@dataclass(frozen=True)
class Timing:
    """How often a probe asks (seconds), and how many answers in a row change its verdict."""

    delay: float
    period: float
    timeout: float
    success: int
    failure: int

    @classmethod
    def of(cls, probe: Obj) -> Timing:
        """That of a defaulted probe."""
        keys = ("periodSeconds", "timeoutSeconds", "successThreshold", "failureThreshold")
        return cls(probe.get("initialDelaySeconds", 0), *(probe[key] for key in keys))


@dataclass(frozen=True)
class Verdict:
    """What is believed now (``good``), and how many answers in a row have said so (``same``) or otherwise."""

    good: bool
    streak: int = 0
    """Answers in a row that contradict the belief."""

    def after(self, answer: bool, timing: Timing) -> Verdict:
        """The verdict after one more answer."""
        if answer == self.good:
            return Verdict(self.good)
        needed = timing.success if answer else timing.failure
        return Verdict(answer) if self.streak + 1 >= needed else Verdict(self.good, self.streak + 1)


def handler_of(probe: Obj) -> str:
    """Which of ``HANDLERS`` a probe has."""
    return next(name for name in HANDLERS if name in probe)
