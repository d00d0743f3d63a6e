"""Errors as JSON (RFC 9457, application/problem+json) and back. Pure.

{"type": "about:blank", "title": the class, "status", "detail": the sentence, "faults": [{file, line, text}]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.errors import (
    ClusterError,
    ClusterUnavailable,
    Conflict,
    Fault,
    Forbidden,
    Invalid,
    LabkitError,
    MachineUnreachable,
    NotBuilt,
    NotFound,
    SetupError,
    TooMuch,
    Unauthenticated,
)
from labkit.wire import to_json

TYPE = "application/problem+json"
STATUS: Mapping[type[LabkitError], int] = {
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    TooMuch: 429,
    Invalid: 422,
    NotBuilt: 501,
    MachineUnreachable: 504,
    ClusterUnavailable: 503,
    ClusterError: 502,
    SetupError: 503,
    LabkitError: 400,
}
"""The status of each class; of a class that is not named, its nearest base's."""
OPERATORS_BUSINESS = (ClusterError, SetupError)
"""What a learner is not told in the engine's own words."""
_PLAIN: Mapping[str, type[LabkitError]] = {kind.__name__: kind for kind in STATUS if kind is not Invalid}


def problem(error: LabkitError) -> tuple[int, dict[str, Any]]:
    """The status and the body for an error."""
    kind = next(found for found in type(error).__mro__ if found in STATUS)
    status = STATUS[kind]
    body = {"type": "about:blank", "title": kind.__name__, "status": status, "detail": str(error)}
    if isinstance(error, Invalid):
        body["faults"] = to_json(tuple[Fault, ...], error.faults)
    return status, body


def raised(status: int, body: object) -> LabkitError:
    """The error that a problem stands for, or one that says that the answer was none of labkit's."""
    if not isinstance(body, Mapping) or not isinstance(body.get("detail"), str):
        return LabkitError(f"the service answered {status}, and not in labkit's words: is LABKIT_URL right?")
    faults = body.get("faults")
    if body.get("title") == "Invalid" and isinstance(faults, list):
        return Invalid([Fault(str(each["file"]), int(each["line"]), str(each["text"])) for each in faults])
    return _PLAIN.get(str(body.get("title")), LabkitError)(body["detail"])
