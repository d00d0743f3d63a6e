"""Rows of labs for tests of what is decided about them."""

from __future__ import annotations

from typing import Any

from labkit.model import Reservation
from labkit.store import LabRow

GIB = 1 << 30


def lab(name: str = "a", **changes: Any) -> LabRow:
    """A running lab that was ready at 100; `changes` are its other values."""
    values: dict[str, Any] = {"wanted": "running", "admitted": 50.0, "ready": 100.0, "used": 100.0, "activity": "any"}
    plain: dict[str, Any] = {"created": 40.0, "ended": None, "lost": False, "fault": "", "memory": GIB}
    digest = changes.pop("digest", "d")
    return LabRow(name, f"work-{name}", "l", "Ada", "hello-lab", digest, **{**plain, **values, **changes})


def waits(name: str, created: float, **changes: Any) -> LabRow:
    """A lab that waits for room since `created`."""
    return lab(name, admitted=None, ready=None, created=created, **changes)


def reservation(activity: str = "exam", **changes: Any) -> Reservation:
    """Room for two labs of an activity, from 0 to 10,000."""
    values: dict[str, Any] = {"begins": 0.0, "ends": 10_000.0, "labs": 2, "spares": 0, "memory": GIB}
    return Reservation("r1", activity, "hello-lab", **{**values, **changes})
