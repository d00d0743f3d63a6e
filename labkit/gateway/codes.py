"""One-time codes: what a new window or a page of another origin brings in its address in place of a ticket.

A code is good once, for a minute, for the one pane it was made for. It is kept in memory: one that was made before the
gateway was started anew, or by another replica, is unknown, and the window says that it must be opened again.
"""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from typing import Generic, TypeVar

from labkit.gateway.machines import Denied

LIFETIME = 60.0
MOST = 4096
T = TypeVar("T")


class Codes(Generic[T]):
    """The codes that were made and not yet used, each with what it stands for. The oldest goes where there are MOST."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[object, float, T]] = OrderedDict()

    def make(self, pane: object, value: T) -> str:
        """A new code for `value`."""
        while self._kept and (len(self._kept) >= MOST or next(iter(self._kept.values()))[1] < time.monotonic()):
            self._kept.popitem(last=False)
        code = secrets.token_urlsafe(24)
        self._kept[code] = pane, time.monotonic() + LIFETIME, value
        return code

    def redeem(self, code: str, pane: object) -> T:
        """What `code` stands for; it is used up whatever comes of it. Raises Denied (403)."""
        found = self._kept.pop(code, None)
        if found is None or found[0] != pane or found[1] < time.monotonic():
            raise Denied(403, "code", "This address was good once, for a minute: open the window anew from the lab.")
        return found[2]
