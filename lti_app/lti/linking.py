"""Deep linking: what the platform is told that a teacher has picked (LTI-DL 2.0).

An item has no address: Moodle then keeps it bound to this registration, and nothing but the name of the lab goes into
the activity, where teachers can change it. What it is worth becomes a line item; when it opens, is due and closes goes
along twice, for platforms that keep dates (`available`, `submission`) and for us (custom parameters).
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from labkit.errors import LabkitError
from labkit.store import Platform
from lti_app.lti.calls import signed
from lti_app.lti.keys import ToolKeys

_LTI, _DL = "https://purl.imsglobal.org/spec/lti/claim/", "https://purl.imsglobal.org/spec/lti-dl/claim/"
DATES = ("opens", "due", "closes")
"""The custom parameters that hold times, as `2026-12-01T09:30:00Z`."""


@dataclass(frozen=True)
class Pick:
    """A lab that a teacher has picked: `points` is what the activity counts (0: no grade), `dates` UTC seconds by name.

    Raises LabkitError for what cannot be.
    """

    lab: str
    title: str
    text: str = ""
    points: float = 0.0
    dates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.points <= 100_000:
            raise LabkitError(f"{self.title}: the points must be between 0 and 100000")
        times = [self.dates[name] for name in DATES if name in self.dates]
        if times != sorted(times):
            raise LabkitError(f"{self.title}: it must open before it is due, and be due before it closes")

    def item(self) -> dict[str, Any]:
        """The content item. A line break in a custom value would be another parameter to Moodle: there is none."""
        said = {name: _stamp(time) for name, time in self.dates.items()}
        item: dict[str, Any] = {
            "type": "ltiResourceLink",
            "title": " ".join(self.title.split()),
            "text": " ".join(self.text.split()),
            "custom": {"lab": self.lab, **said},
        }
        if self.points:
            item["lineItem"] = {"label": item["title"], "scoreMaximum": self.points, "resourceId": self.lab}
        available = {"startDateTime": said.get("opens"), "endDateTime": said.get("closes")}
        for name, span in (("available", available), ("submission", {"endDateTime": said.get("due")})):
            if known := {key: value for key, value in span.items() if value}:
                item[name] = known
        return item


def response(
    keys: ToolKeys, platform: Platform, deployment: str, settings: Mapping[str, Any], picks: Sequence[Pick]
) -> str:
    """The signed answer to a deep linking request with these settings; without picks, nothing is added."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "iss": platform.client_id,
        "aud": platform.issuer,
        "iat": now,
        "exp": now + 300,
        "nonce": secrets.token_hex(16),
        f"{_LTI}deployment_id": deployment,
        f"{_LTI}message_type": "LtiDeepLinkingResponse",
        f"{_LTI}version": "1.3.0",
        f"{_DL}content_items": [pick.item() for pick in picks],
    }
    if "data" in settings:
        claims[f"{_DL}data"] = settings["data"]
    return signed(keys, claims)


def window(custom: Mapping[str, Any]) -> dict[str, float]:
    """The dates among an activity's custom parameters, as UTC seconds; what is none is passed over."""
    found = {}
    for name in DATES:
        try:
            moment = datetime.fromisoformat(str(custom.get(name, "")))
        except ValueError:
            continue
        found[name] = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return found


def why_closed(dates: Mapping[str, float], now: float) -> str:
    """Why an activity cannot be begun now, in a sentence; nothing where it can."""
    if now < dates.get("opens", now):
        return f"this activity opens at {_words(dates['opens'])}"
    if now > dates.get("closes", now):
        return f"this activity was closed at {_words(dates['closes'])}"
    return ""


def _words(when: float) -> str:
    return time.strftime("%H:%M on %Y-%m-%d UTC", time.gmtime(when))


def _stamp(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
