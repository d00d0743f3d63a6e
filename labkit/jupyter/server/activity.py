"""When somebody last used a pane: what the gateway reports, which tells typing from what a machine shows by itself."""

from __future__ import annotations

import json
from pathlib import Path


def last_use(report: Path) -> float | None:
    """The newest time in the gateway's report (UTC seconds); None where there is none."""
    try:
        found = json.loads(report.read_text())
    except (OSError, ValueError):
        return None
    times = [when for when in found.values() if isinstance(when, int | float)] if isinstance(found, dict) else []
    return max(times, default=None)
