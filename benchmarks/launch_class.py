"""The second part of `launch.py`: a class that opens its activity within two minutes, against `labkit serve`.

The service is the whole one (gateway, two web workers, controller, embedded engine, outbox), the course the platform
simulator's; each learner is a browser as far as launches, scripts and terminals need one, all in this process and
on the processors that emulate the machines. Two figures for each, from the click in the course: *page*, the
activity's page is there; *pane*, its terminal has shown the prompt and has answered a typed command. Until the last is
there, every page goes on asking every two seconds, as it does in a browser.

Two ways: `ahead`, a teacher has said *Start for all* in time; `none`, the lab was prepared (`labkit engine warm`), and
each machine is cloned when its learner comes.
"""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from labkit.app import store as open_store
from tests.support.platform import Course, Person
from tests.support.served import Served, running_service
from tests.support.visitor import COURSE, Visitor

WINDOW = 120.0
TEACHER = "3"
_LOOK, _LONGEST = 0.5, 600.0
_BATCH = 10


@dataclass
class Class:
    """A course of so many learners, its one activity, and what went wrong."""

    served: Served
    size: int
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        site, users = self.served.platform.site, [str(100 + number) for number in range(self.size)]
        for user in users:
            site.people[user] = Person(user, "Learner", user)
        site.add(Course(COURSE, "CLASS", "A class", [TEACHER], users))
        self.activity = site.activity(COURSE, "Hello", lab="hello-lab")
        self.learners = [Visitor(self.served, user) for user in users]

    def start_for_all(self) -> float:
        """The class page's button, in its batches; the seconds until the last lab is ready."""
        begun, teacher = time.monotonic(), Visitor(self.served, TEACHER)
        teacher.enter(self.activity)
        users = [learner.user for learner in self.learners]
        for first in range(0, len(users), _BATCH):
            form = {"subject": users[first : first + _BATCH]}
            answer = teacher.session.post(f"{teacher.address}labs/start", data=form, timeout=120).json()
            assert answer["done"] == len(form["subject"]), answer
        with open_store(self.served.home.settings) as store:
            while sum(row.ready is not None for row in store.labs()) < self.size:
                assert time.monotonic() < begun + _LONGEST, "the labs are not ready"
                time.sleep(_LOOK)
        return time.monotonic() - begun

    def come(self, seconds: float) -> None:
        """All launches, at random moments within so many seconds; until the last pane is there, or has failed."""
        over = threading.Event()

        def visit(learner: Visitor, moment: float) -> None:
            time.sleep(moment)
            try:
                learner.learn(self.activity, over)
            except Exception as error:  # whatever it is, this learner has no pane
                asked = getattr(getattr(error, "request", None), "path_url", "")
                self.faults.append(f"{type(error).__name__}: {error} {asked}".rstrip())

        chance = random.Random(self.size)  # noqa: S311 - the same moments in every run
        moments = [chance.uniform(0, seconds) for _ in self.learners]
        threads = [threading.Thread(target=visit, args=pair) for pair in zip(self.learners, moments, strict=True)]
        for thread in threads:
            thread.start()
        while sum(bool(learner.pane) for learner in self.learners) + len(self.faults) < self.size:
            time.sleep(_LOOK)
        over.set()
        for thread in threads:
            thread.join()


def processor_seconds(served: Served) -> Counter[str]:
    """Of the service's processes so far, and of this one, by what they are."""
    found: Counter[str] = Counter()
    found["browsers and course"] = time.process_time()
    kinds = ("qemu-system", "labkit.local", "controller", "gateway", "lti_app.web_server", "lti_app.outbox_worker")
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        with suppress(psutil.Error):  # it has ended meanwhile, or is somebody else's
            if str(served.home.folder) in line or process.environ().get("HOME") == str(served.home.folder):
                found[next((kind for kind in kinds if kind in line), "other")] += sum(process.cpu_times()[:2])
    return found


def said(name: str, seconds: list[float]) -> str:
    """Median, 95th percentile and slowest."""
    if len(seconds) < 2:
        return f"{name}: too few"
    high = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
    return f"click to {name}: p50 {statistics.median(seconds):.2f} s, p95 {high:.2f} s, slowest {max(seconds):.2f} s"


def run(size: int, *, ahead: bool, seconds: float = WINDOW) -> bool:
    """One class on one service; prints its figures, and says whether every learner got a pane."""
    with running_service(warm="8:6") as served:
        warmed = served.home.labkit("engine", "warm", "hello-lab")
        assert warmed.returncode == 0, warmed.stderr
        room = Class(served, size)
        took = f"started ahead within {room.start_for_all():.0f} s" if ahead else "not started ahead"
        before, load, begun = processor_seconds(served), psutil.getloadavg()[0], time.monotonic()
        room.come(seconds)
        wall, spent = time.monotonic() - begun, processor_seconds(served) - before
    panes = [learner.pane for learner in room.learners if learner.pane]
    print(
        f"{size} launches within {seconds:.0f} s, {took}; load before {load:.1f}, {psutil.cpu_count()} processors, TCG"
    )
    print(f"  {said('page', [learner.page for learner in room.learners if learner.page])}")
    print(f"  {said('first usable pane', panes)}")
    parts = ", ".join(f"{kind} {used:.0f}" for kind, used in spent.most_common())
    print(f"  {len(panes)} of {size} have a pane; processor seconds in {wall:.0f} s: {parts}", flush=True)
    for fault, times in Counter(room.faults).most_common(5):
        print(f"  {times} x {fault}")
    return len(panes) == size
