"""The outbox's worker: counts works whose points have changed, and sends grades until the platform has taken them.

A claim gives a grade its next timestamp before anything is sent, and is good for a while: whoever is killed, another
takes the grade up then, with a later timestamp and the same points. So nothing is lost, and nothing counts twice.
A platform that fails is left alone for longer and longer; one answer, and all that waits for it is sent.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from labkit.errors import LabkitError
from labkit.orchestrator.grading import Grading
from labkit.store import GradeRow, Platform, Store
from lti_app.lti import ags
from lti_app.lti.ags import Delivery, Outcome
from lti_app.lti.calls import Calls, TokenRefused
from lti_app.lti.outbound import OutboundRefused, Unreachable

LEASE = 60.0
"""Longer than a send can take: a token and a score, twice where the token is refused, each within its time-out."""
FIRST_WAIT, LONGEST_WAIT = 5.0, 1800.0
_PATIENCE = 3
"""After so many failures in a row, a platform is left alone."""
_SENDERS = 4
_TURN_SECONDS = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Silence:
    """How often in a row a platform has failed, and until when it is left alone."""

    failures: int = 0
    until: float = 0.0


def pause(attempts: int, chance: float) -> float:
    """Seconds before the next try after so many: twice as long each time, and not at the same time as all others.

    `chance` is 0..1.
    """
    longest: float = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempts, 20))
    return longest * (0.5 + chance / 2)


class Outbox:
    """Sends grades. Any number of them may work on one store."""

    def __init__(
        self,
        store: Store,
        grading: Grading,
        calls: Calls,
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        senders: int = _SENDERS,
    ) -> None:
        self._store, self._grading, self._calls = store, grading, calls
        self._clock, self._chance, self._senders = clock, chance, senders
        # One for good: each of its threads keeps a connection to the store.
        self._pool = ThreadPoolExecutor(senders, thread_name_prefix="outbox")
        self._silences: dict[str, _Silence] = {}
        self._lock = threading.Lock()

    def run(self, stop: threading.Event) -> None:
        """Work until told to stop."""
        while not stop.is_set():
            try:
                self.turn()
            except Exception:
                # Whatever it was, the next turn may do better; what was claimed is taken up when its lease has ended.
                _log.exception("the outbox failed")
            stop.wait(_TURN_SECONDS)

    def turn(self) -> int:
        """Count what has changed, and send what is due. Returns how many grades were tried."""
        while self._grading.count_all(self._clock()):
            pass
        if self._senders == 1:
            return self._drain()
        return sum(self._pool.map(lambda _: self._drain(), range(self._senders)))

    def _drain(self) -> int:
        tried = 0
        while (row := self._store.claim_grade(self._clock(), LEASE, self._silent())) is not None:
            tried += 1
            self._deliver(row)
        return tried

    def _deliver(self, row: GradeRow) -> None:
        platform = self._store.platform(row.platform)
        if platform is None:
            return  # removed since it was claimed, and its courses with it
        delivery = self._tried(platform, row)
        self._note(platform, delivery)
        if delivery.outcome is Outcome.AGAIN:
            wait = max(pause(row.attempts, self._chance()), delivery.wait)
            self._store.grade_again(row, self._clock() + wait, delivery.reason)
        elif delivery.outcome is Outcome.SENT:
            self._store.grade_sent(row, self._clock())
            self._look(platform, row)
        elif delivery.outcome is Outcome.NEWER and self._look(platform, row):
            self._store.grade_sent(row, self._clock())
        else:
            self._store.grade_refused(row, delivery.reason)
        _log.info("grade of work %s: %s %s", row.work, delivery.outcome, delivery.reason)

    def _tried(self, platform: Platform, row: GradeRow) -> Delivery:
        try:
            return ags.send(self._calls, platform, row)
        except (Unreachable, TokenRefused) as error:
            # No token is as a rule a matter of a whole platform, and mended there: nobody has to send all again then.
            return Delivery(Outcome.AGAIN, str(error))
        except (OutboundRefused, ValueError) as error:
            return Delivery(Outcome.REFUSED, str(error))

    def _look(self, platform: Platform, row: GradeRow) -> bool:
        """Keep what the gradebook shows of a grade; whether that is what was sent. Not knowing it is no failure."""
        try:
            found = ags.shown(self._calls, platform, row.line_item, row.subject).get(row.subject)
        except LabkitError as error:
            _log.info("what the gradebook shows of work %s is not known: %s", row.work, error)
            return False
        if found is None:
            return False
        points = in_points(found, row.maximum)
        self._store.grade_shown(row.work, points)
        return row.given is not None and abs(points - row.given) <= 0.01

    def _silent(self) -> set[str]:
        now = self._clock()
        with self._lock:
            return {platform for platform, silence in self._silences.items() if silence.until > now}

    def _note(self, platform: Platform, delivery: Delivery) -> None:
        with self._lock:
            if delivery.outcome is not Outcome.AGAIN:
                self._silences.pop(platform.id, None)
                return
            failures = self._silences.get(platform.id, _Silence()).failures + 1
            wait = max(pause(failures - _PATIENCE, self._chance()) if failures >= _PATIENCE else 0.0, delivery.wait)
            self._silences[platform.id] = _Silence(failures, self._clock() + wait)


def in_points(shown: tuple[float, float], maximum: float) -> float:
    """What a gradebook shows (score, maximum), on our scale."""
    score, most = shown
    return score * maximum / most if most else score
