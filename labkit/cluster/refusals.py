"""What the engine says when it refuses, as an error. The one place that knows which refusals pass by themselves."""

from __future__ import annotations

import json

from labkit.errors import ClusterError, ClusterUnavailable

_RETRYABLE = (408, 429, 500, 502, 503, 504)


def refusal(status: int, data: bytes, *, about: str = "", wait: str | None = None) -> ClusterError:
    """The error for an answer that is none: a Kubernetes Status where `data` is one, else only its number.

    `about` stands before what the engine says. ClusterUnavailable where another try may do, not before the seconds of
    `wait` are over (a Retry-After header).
    """
    try:
        body = json.loads(data)
    except ValueError:
        body = {}
    body = body if isinstance(body, dict) else {}
    text = about + str(body.get("message") or f"the engine answered {status}")
    reason = str(body.get("reason") or "")
    if status not in _RETRYABLE:
        return ClusterError(text, status=status, reason=reason)
    seconds = float(wait) if wait and wait.isascii() and wait.isdigit() else 0.0
    return ClusterUnavailable(text, status=status, reason=reason, retry_after=seconds)
