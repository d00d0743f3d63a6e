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

import html
import random
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
import requests
from requests.cookies import RequestsCookieJar
from websockets.sync.client import connect

from labkit.app import store as open_store
from labkit.tickets import SUBPROTOCOL_PREFIX
from tests.support.platform import Activity, Course, Person
from tests.support.served import Served, running_service

WINDOW = 120.0
COURSE, TEACHER = "60", "3"
_LOOK, _PACE, _LONGEST = 0.5, 2.0, 600.0
_BATCH = 10
_STARTED = ("running", "paused")


class _Jar(RequestsCookieJar):
    """Sends secure cookies to localhost without TLS, as browsers do."""

    def set_cookie(self, cookie: Any, *rest: Any, **more: Any) -> None:
        cookie.secure = False
        super().set_cookie(cookie, *rest, **more)


class Visitor:
    """One person's browser. `page` and `pane` are seconds since the click, once they are there."""

    def __init__(self, served: Served, user: str) -> None:
        self.served, self.user = served, user
        self.session = requests.Session()
        self.session.headers.update({"X-Labkit": "1", "Origin": served.origin})
        self.session.cookies = _Jar()
        self.address = ""
        self.page = self.pane = 0.0

    def enter(self, activity: Activity) -> None:
        """Click on the activity: three messages, redirects and all, then the page with its script."""
        begun = time.monotonic()
        asked = self.served.platform.login_request(self.user, COURSE, activity.id)
        form = self.session.post(f"{self.served.origin}/lti/login", data=asked, timeout=60).text
        fields = {name: html.unescape(value) for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', form)}
        answer = self.session.post(f"{self.served.origin}/lti/launch", data=fields, timeout=60)
        answer.raise_for_status()
        self.address = answer.url
        for file in ("web.css", "work.js"):
            self.session.get(f"{self.served.origin}/static/{file}", timeout=60).raise_for_status()
        self.page = time.monotonic() - begun

    def ask(self, method: str, **params: object) -> Any:
        """As the page's script asks."""
        answer = self.session.post(self.address + method, json=params, timeout=60)
        if not answer.ok:
            raise RuntimeError(f"{method}: {answer.status_code} {answer.text[:200]}")
        return answer.json()

    def learn(self, activity: Activity, over: threading.Event) -> None:
        """The whole visit; then the page goes on asking."""
        begun = time.monotonic()
        self.enter(activity)
        lab = self.ask("state")["lab"]
        if lab is None or lab["state"] not in _STARTED:
            self._follow(self.ask("start")["operation"])
        self.ask("view/view")
        self._terminal()
        self.pane = time.monotonic() - begun
        while not over.wait(_PACE):
            self.ask("view/status")

    def _follow(self, operation: str) -> None:
        seen, deadline = 0, time.monotonic() + _LONGEST
        while time.monotonic() < deadline:
            answer = self.ask("view/events", operation=operation, after=seen)
            seen = max((event["seq"] for event in answer["events"]), default=seen)
            if answer["operation"]["state"] == "done":
                return
            if answer["operation"]["state"] in ("failed", "cancelled"):
                raise RuntimeError(answer["operation"]["error"])
            time.sleep(_LOOK)
        raise TimeoutError(f"not started within {_LONGEST:.0f} s")

    def _terminal(self) -> None:
        """Open the pane as a browser does, until a typed command has answered."""
        link = self.ask("view/pane_link", machine="box", pane="terminal")
        root = self.served.origin
        for file in (link["path"], "static/panes.css", "static/panes.js"):
            self.session.get(f"{root}/{file}", timeout=60).raise_for_status()
        address = f"{root.replace('http:', 'ws:')}/{link['path']}stream"
        protocols: Any = ["tty", SUBPROTOCOL_PREFIX + link["ticket"]]
        with connect(address, origin=root, subprotocols=protocols, compression=None, open_timeout=60) as stream:  # type: ignore[arg-type]
            stream.send(b'{"AuthToken":"","columns":80,"rows":24}')
            _read_until(stream.recv, b"student@")
            stream.send(b"0echo $((111*271))\n")
            _read_until(stream.recv, b"30081")


def _read_until(receive: Callable[..., Any], wanted: bytes) -> None:
    said, deadline = b"", time.monotonic() + 60
    while wanted not in said:
        message = receive(timeout=max(deadline - time.monotonic(), 0.01))
        said += message[1:] if isinstance(message, bytes) else message[1:].encode()


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
                self.faults.append(f"{type(error).__name__}: {error}")

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
