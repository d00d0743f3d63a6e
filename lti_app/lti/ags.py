"""Assignment and Grade Services: scores to a line item, and what the gradebook shows (LTI-AGS 2.0).

What each status means is what Moodle 4.5 was seen to mean by it. A score is always FullyGraded: any other word there
wipes the grade that stands. It always has its comment: one without erases the one before.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from labkit.errors import LabkitError
from labkit.store import GradeRow, Platform
from lti_app.lti.calls import Calls, body_of
from lti_app.lti.outbound import Answer

_SCOPE = "https://purl.imsglobal.org/spec/lti-ags/scope/"
SCORE, RESULT = _SCOPE + "score", _SCOPE + "result.readonly"
ITEM = _SCOPE + "lineitem"
_SCORE_TYPE = "application/vnd.ims.lis.v1.score+json"
_RESULT_TYPE = "application/vnd.ims.lis.v2.resultcontainer+json"


LONGEST_ASKED = 3600.0
"""Seconds. No platform is left alone for longer, whatever it asks for."""


class ResultsRefused(LabkitError):
    """The platform does not say what its grade book shows."""


class Outcome(StrEnum):
    """What became of a score: taken, refused for good, overtaken by a newer one, or worth another try."""

    SENT = "sent"
    REFUSED = "refused"
    NEWER = "newer"
    AGAIN = "again"


@dataclass(frozen=True)
class Delivery:
    """An outcome, in words where it is not SENT. `wait`: for so many seconds the platform asked to be left alone."""

    outcome: Outcome
    reason: str = ""
    wait: float = 0.0


def below(address: str, segment: str) -> str:
    """A line item's address with a segment more: before its query, which is part of it."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{segment}", fragment=""))


def score_of(row: GradeRow) -> dict[str, Any]:
    """The score that says a grade. Raises ValueError for one that no gradebook should hold."""
    given = row.given
    if given is None or not math.isfinite(given) or not 0 <= given <= row.maximum or not 0 < row.maximum < math.inf:
        raise ValueError(f"{given} of {row.maximum} is no grade")
    return {
        "userId": row.subject,
        "scoreGiven": given,
        "scoreMaximum": row.maximum,
        "comment": row.comment,
        "timestamp": datetime.fromtimestamp(row.stamp, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "activityProgress": "Completed" if given >= row.maximum else "InProgress",
        "gradingProgress": "FullyGraded",
    }


def judged(answer: Answer, now: float) -> Delivery:
    """What a platform's answer to a score means, at this time."""
    status, said = answer.status, _reason(answer)
    if 200 <= status < 300:
        return Delivery(Outcome.SENT)
    if status == 409:
        return Delivery(Outcome.NEWER, "the platform holds a newer grade")
    if 300 <= status < 400:
        text = f"the platform sends elsewhere ({status}), where nothing is sent: it may be under maintenance"
        return Delivery(Outcome.AGAIN, text, _wait(answer, now))
    if status >= 500 or status in (408, 425, 429):
        return Delivery(Outcome.AGAIN, f"the platform answers {status}{said}", _wait(answer, now))
    why = {
        400: "the platform does not take it: it may not know this learner as one who can be graded",
        401: "the platform does not let this tool send grades",
        403: "the platform does not let this tool send grades",
        404: "the platform no longer has a grade for this activity",
    }
    return Delivery(Outcome.REFUSED, f"{why.get(status, 'the platform does not take it')} ({status}{said})")


def send(calls: Calls, platform: Platform, row: GradeRow) -> Delivery:
    """Send a grade. Raises OutboundRefused, TokenRefused, ValueError."""
    body = json.dumps(score_of(row)).encode()
    address = below(row.line_item, "scores")
    answer = calls.call(platform, "POST", address, SCORE, body=body, content_type=_SCORE_TYPE)
    return judged(answer, calls.clock())


def shown(calls: Calls, platform: Platform, line_item: str, subject: str = "") -> Mapping[str, tuple[float, float]]:
    """What the gradebook shows of a line item: for each user who has a grade there the score and its maximum (0 where
    none is told); of one user, or of all. Raises ResultsRefused, OutboundRefused, TokenRefused.
    """
    address = below(line_item, "results")
    query = {"user_id": subject} if subject else {}
    found: dict[str, tuple[float, float]] = {}
    for answer in calls.pages(platform, address, RESULT, accept=_RESULT_TYPE, query=query):
        results = body_of(answer)
        if answer.status != 200 or not isinstance(results, list):
            raise ResultsRefused(f"the platform does not say what its grade book shows ({answer.status})")
        for one in results:
            score = _number(one.get("resultScore")) if isinstance(one, dict) else None
            if score is not None and "userId" in one:
                found[str(one["userId"])] = (score, _number(one.get("resultMaximum")) or 0.0)
    return found


def _number(told: object) -> float | None:
    """A number as JSON has it; None for anything else."""
    good = isinstance(told, int | float) and not isinstance(told, bool) and math.isfinite(told)
    return float(told) if good else None  # type: ignore[arg-type]  # it is a number


def _reason(answer: Answer) -> str:
    """What the platform says of its status, where it says something: one short line of plain text."""
    body = body_of(answer)
    said = body.get("reason") or body.get("message") if isinstance(body, dict) else None
    return f": {' '.join(str(said).split())[:200]}" if said else ""


def _wait(answer: Answer, now: float) -> float:
    """The seconds of a Retry-After, which says them, or when they are over (RFC 9110, 10.2.3): an hour at most."""
    said = str(answer.headers.get("Retry-After", "")).strip()
    if said.isascii() and said.isdecimal():
        return min(float(said[:9]), LONGEST_ASKED)
    try:
        return min(max(parsedate_to_datetime(said).timestamp() - now, 0.0), LONGEST_ASKED)
    except (ValueError, OverflowError):
        return 0.0
