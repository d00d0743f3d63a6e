"""A lab in memory that answers the lab view's methods, as labkit's own side does."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PANES = [
    {"name": "terminal", "type": "terminal", "title": "Terminal"},
    {"name": "console", "type": "console", "title": "Console"},
    {"name": "screen", "type": "vnc", "title": "Screen"},
]

LOOK = """<p>The machine <b>client</b> is yours.
<img src="media/net.svg" alt="Two machines and a cable" width="300"></p>
<div class="lk-alert lk-note"><p class="lk-alert-title">Note</p>
<p>Machines of one lab find each other by name: <code>web</code> is a name.</p></div>"""
FETCH = """<p>Save the start page of the site as <code>index.html</code> in your home folder.</p>
<pre class="lk-code" data-lang="bash" data-action="run" data-target="client"><code>wget http://web/
</code></pre>"""
SITE = """<p>See the <button type="button" class="lk-action" data-action="open" data-target="web:screen">web's
screen</button>, type
<button type="button" class="lk-action" data-action="type" data-target="client"><code>uptime</code></button>,
or read <a href="https://example.org/">more</a>.</p>
<pre class="lk-code" data-lang="yaml"><code><span class="nt">machines</span>: <span class="c1"># all of them</span>
</code></pre><details class="lk-hint"><summary>Hint</summary><p>It is there.</p></details>"""


def step(name: str, title: str, points: float, html: str = "", *, check: bool = False) -> dict[str, Any]:
    return {"kind": "step", "id": name, "title": title, "points": points, "check": check, "html": html}


def page(name: str, title: str, minutes: int | None, *parts: dict[str, Any]) -> dict[str, Any]:
    steps = {part["id"]: part["points"] for part in parts if part["kind"] == "step"}
    head = {"id": name, "title": title, "minutes": minutes, "language": "en", "steps": steps, "questions": {}}
    return {**head, "requires": [], "locked": False, "parts": list(parts)}


def instructions(extra: str) -> dict[str, Any]:
    first = page(
        "1-look", "Look around", 5, {"kind": "html", "html": LOOK + extra}, step("find", "Find the address of web", 10)
    )
    second = page(
        "2-reach",
        "Reach the web server",
        10,
        step("fetch", "Fetch the page", 15, FETCH, check=True),
        step("see", "Look at it in the Screen pane", 0, SITE),
    )
    return {
        "title": "Two machines",
        "language": "en",
        "languages": ["en"],
        "pages": [first, second, page("3-end", "What you learned", None)],
    }


def machine(name: str, state: str = "running") -> dict[str, Any]:
    address = "10.77.1.12" if state == "running" else ""
    return {"name": name, "state": state, "detail": "", "address": address, "panes": PANES}


@dataclass
class MemoryLab:
    """What the tests set, and what they look at: `calls` holds every (method, params) in order."""

    state: str = "running"
    machines: list[dict[str, Any]] = field(default_factory=lambda: [machine("client"), machine("web")])
    ticks: set[str] = field(default_factory=set)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    verdicts: list[tuple[str, str]] = field(default_factory=list)
    refusals: dict[str, str] = field(default_factory=dict)
    extra_html: str = ""
    ends: float | None = None
    direct: str = "http://127.0.0.1:8765/"
    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, method: str) -> int:
        return sum(name == method for name, _ in self.calls)

    def answer(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """The result of a method; raises ValueError with one sentence where it is refused."""
        with self.lock:
            self.calls.append((method, params))
            if method in self.refusals:
                raise ValueError(self.refusals[method])
            named = {name: value for name, value in params.items() if name != "language"}
            result: dict[str, Any] = getattr(self, f"_{method}")(**named)
            return result

    def _progress(self) -> dict[str, Any]:
        points = {"find": 10, "fetch": 15}
        earned = sum(points.get(name, 0) for name in self.ticks)
        nothing: dict[str, Any] = {"hints": {}, "answers": {}, "locked": []}
        return {**nothing, "ticks": sorted(self.ticks), "results": self.results, "points": earned, "max_points": 25}

    def _status(self) -> dict[str, Any]:
        lab = {
            "id": "alab",
            "template": "two",
            "title": "Two machines on one network",
            "state": self.state,
            "detail": "",
        }
        machines = self.machines if self.state != "stopped" else []
        return {
            "lab": {**lab, "created": 0.0, "ended": None, "ends": self.ends},
            "machines": machines,
            "progress": self._progress(),
        }

    def _view(self) -> dict[str, Any]:
        secrets = [{"machine": "client", "user": "student", "password": "correct-horse", "key": "a key\n"}]
        return {**self._status(), "credentials": secrets, "instructions": instructions(self.extra_html)}

    def _tick(self, step: str, done: bool) -> dict[str, Any]:
        (self.ticks.add if done else self.ticks.discard)(step)
        return {"progress": self._progress()}

    def _extend(self, minutes: float) -> dict[str, Any]:
        assert self.ends is not None
        self.ends += minutes * 60
        return {"lab": self._status()["lab"]}

    def _check(self, step: str) -> dict[str, Any]:
        return {"operation": step}

    def _events(self, operation: str, after: int) -> dict[str, Any]:
        event = {"seq": after + 1, "stage": "connect", "text": "Connecting", "progress": 0.5}
        running = after == 0
        if not running:
            verdict, feedback = self.verdicts.pop(0)
            self.results = {operation: {"verdict": verdict, "feedback": feedback, "time": 1.7e9 + len(self.calls)}}
            self.ticks |= {operation} if verdict == "passed" else set()
        state = {"state": "running" if running else "done", "error": "", "result": None}
        return {"events": [event], "operation": state, "progress": self._progress()}

    def _pane_link(self, machine: str, pane: str) -> dict[str, Any]:
        path, ticket = f"panes/alab/{machine}/{pane}/", f"ticket-{self.count('pane_link')}"
        return {"path": path, "ticket": ticket, "expires": 2e9, "direct": self.direct}
