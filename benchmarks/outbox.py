"""How fast the outbox sends the grades of 1,000 learners to a platform that behaves as Moodle does.

Measured beside it in the same run: the same number of bare POSTs to the same server, one connection each, as no outbox
can be faster than that. Then the platform is down for an hour (by a clock that is turned on), and the same once more.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from labkit.settings import load
from labkit.store import SqliteStore
from lti_app.lti.keys import ToolKeys
from lti_app.lti.outbox import Outbox
from tests.courses.test_outbox import Course
from tests.support.platform import Person, Platform, running_platform

LEARNERS, SENDERS, MOST_TIMES = 1000, 4, 12.0
"""Each grade takes two requests (send, look) and some transactions; a bare POST is one request, nothing stored."""


def main() -> int:
    """Print the figures; 1 where the goal is missed, or a grade is."""
    with tempfile.TemporaryDirectory(prefix="lkb") as folder, running_platform("http://tool.invalid") as moodle:
        settings = load({"HOME": folder, "LABKIT_STATE_DIR": folder, "LABKIT_KUBECONFIG": f"{folder}/none"})
        moodle.trust(ToolKeys(settings).jwks())
        course = Course(SqliteStore(Path(folder) / "labkit.db"), settings, moodle)
        users = [str(number) for number in range(100, 100 + LEARNERS)]
        for user in users:
            moodle.site.people[user] = Person(user, "A", user)
        moodle.site.courses["2"].learners += users
        works = [course.launch(user) for user in users]
        outbox = Outbox(course.store, course.grading, course.calls, clock=course.clock, senders=SENDERS)
        bare = timed(lambda: post(moodle))
        for work in works:
            course.passes(work, "first")
        sent = timed(outbox.turn)
        complete = {course.item.shown(user) for user in users} == {40}
        again = after_an_hour_down(course, outbox, works)
        doubled = len(course.item.taken) - 2 * LEARNERS
    ratio = sent / bare
    print(f"{LEARNERS} bare POSTs: {bare:.1f} s; {LEARNERS} grades: {sent:.1f} s, {LEARNERS / sent:.0f}/s")
    print(f"ratio {ratio:.1f} (goal: at most {MOST_TIMES:g}); after an hour down: {again:.1f} s")
    print(f"all arrived: {complete}; sent more than once: {doubled}")
    return 0 if ratio <= MOST_TIMES and complete and doubled == 0 else 1


def timed(what: object) -> float:
    """Seconds that a call takes."""
    begun = time.perf_counter()
    what()  # type: ignore[operator]
    return time.perf_counter() - begun


def post(moodle: Platform) -> None:
    """As many requests as there are learners, by as many threads as the outbox has."""
    url, local = f"{moodle.origin}/mod/lti/services.php/2/lineitems/1/lineitem/scores", threading.local()

    def one(number: int) -> None:
        del number
        local.answer = requests.post(url, data=b"{}", timeout=10)

    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(one, range(LEARNERS)))


def after_an_hour_down(course: Course, outbox: Outbox, works: list[object]) -> float:
    """New points while the platform is down; how long it takes once it is back."""
    course.moodle.down = True
    for work in works:
        course.passes(work, "second")  # type: ignore[arg-type]
    for _ in range(60):
        course.now += 60
        outbox.turn()
    course.moodle.down = False
    course.now += 3600
    return timed(outbox.turn)


if __name__ == "__main__":
    sys.exit(main())
