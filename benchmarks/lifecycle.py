"""What labs cost the engine's API and the controller, and whether that depends on how many other labs there are.

1. Requests per start of a lab of one and of three machines, against the number of objects that the lab is made of.
   Watches and the lease are counted apart: they do not grow with the number of starts.
2. The controller's time (processor seconds of its process) and memory (its largest growth) for one change, among 50,
   500 and 5,000 labs. Labs are namespaces without machines, each ready in the store; a change is a namespace that is
   deleted behind labkit's back, so that the controller looks, asks once, and writes that down. What the controller
   needs for its beat of five seconds is measured beside it, and is no part of the figure.

Run: .venv/bin/python benchmarks/lifecycle.py [--labs 50,500,5000]. Exit status 1 where a goal is missed.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import ssl
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from labkit.manifests.lab import namespace
from labkit.model import OperationState
from labkit.orchestrator.reconciler import Reconciler
from labkit.store.tables import new_id
from tests.controller.site import OPERATOR, Site
from tests.support.engine import EngineProcess, running_engine, until

GOAL_REQUESTS, GOAL_RATIO = 3.0, 1.2
LABS, CHANGES = (50, 500, 5000), 21


def requests_per_start(engine: EngineProcess, machines: int) -> tuple[int, int]:
    """How many requests one start made, and how many objects the lab has."""
    site = Site(engine)
    try:
        template = site.template(machines=machines)
        with site.running():
            until(lambda: sum("watch=true" in path for _, path in site.proxy.seen) >= 4)
            before = len(site.proxy.seen)
            start = site.end_of(site.labs.start(OPERATOR, template))
            assert start.state is OperationState.DONE, start.error
            seen = [(method, path) for method, path in site.proxy.seen[before:] if "/leases" not in path]
        requests = [path for _, path in seen if "watch=true" not in path]
        return len(requests), sum(method == "POST" for method, _ in seen)
    finally:
        site.close()


async def fill(engine: EngineProcess, bodies: list[dict[str, object]]) -> None:
    """Make namespaces, some at a time."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    headers = {"Authorization": f"Bearer {engine.token}"}
    server = json.loads(engine.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    gate = asyncio.Semaphore(8)

    async def make(session: aiohttp.ClientSession, body: dict[str, object]) -> None:
        async with gate, session.post(f"{server}/api/v1/namespaces", json=body) as answer:
            assert answer.status == 201, await answer.text()

    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(ssl=context)) as session:
        await asyncio.gather(*(make(session, body) for body in bodies))


def rows(site: Site, number: int) -> list[str]:
    """So many labs in the store, ready, in one transaction."""
    labs, now = [new_id() for _ in range(number)], time.time()
    learner = site.store.learner(OPERATOR)
    with site.store._connections.write() as db:
        for lab in labs:
            db.execute("INSERT INTO activity VALUES (?, 't', ?)", [lab, now])
            db.execute("INSERT INTO work VALUES (?, ?, ?, 't', 's', ?)", [lab, learner, lab, now])
            db.execute(
                "INSERT INTO lab (id, work, template, digest, wanted, created, ready, admitted, used) "
                "VALUES (?, ?, 't', 'd', 'running', ?, ?, ?, ?)",
                [lab, lab, now, now, now, now],
            )
    return labs


def measured(what: Callable[[], object]) -> float:
    """The processor seconds of this thread that a call takes."""
    begun = time.thread_time()
    what()
    return time.thread_time() - begun


class Changes:
    """A reconciler among `number` labs, changed one at a time; its watches run in threads, its turns in this one."""

    def __init__(self, engine: EngineProcess, number: int) -> None:
        self.site, self.engine = Site(engine, engine_timeout="120"), engine
        self.labs = rows(self.site, number)
        installation = self.site.store.installation()
        asyncio.run(fill(engine, [namespace(installation, lab) for lab in self.labs]))
        self.reconciler = Reconciler(self.site.around, lambda text: None)
        self.reconciler.watches.begin(self.site.around.stopping)
        until(self.reconciler.watches.ready, 120)
        self.reconciler.turn()  # the first looks at all

    def change(self) -> tuple[float, float]:
        """Delete a namespace, let the reconciler see it: its processor seconds, and its greatest growth in bytes."""
        lab = self.labs.pop()
        self.engine.request("DELETE", f"/api/v1/namespaces/labkit-{lab}")
        until(lambda: self.reconciler.watches.lab(lab) is None)
        self.reconciler._next_beat = time.monotonic() + 60
        self.reconciler._retired.clear()
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        took = measured(self.reconciler.turn)
        _, peak = tracemalloc.get_traced_memory()
        assert self.site.store.lab(lab).lost  # type: ignore[union-attr]
        return took, peak - before

    def beat(self) -> float:
        """What looking after time alone takes."""
        self.reconciler._next_beat = 0.0
        return measured(self.reconciler.turn)

    def close(self) -> None:
        self.site.around.stopping.set()
        self.site.store.close()
        self.site.proxy.close()


def per_change(number: int) -> tuple[float, float, float]:
    """Median processor seconds and bytes of one change among `number` labs, and the seconds of a beat."""
    with running_engine() as engine:
        changes = Changes(engine, number)
        try:
            times = [changes.change()[0] for _ in range(CHANGES)][1:]
            tracemalloc.start()
            growths = [changes.change()[1] for _ in range(CHANGES)][1:]
            tracemalloc.stop()
            beat = statistics.median(changes.beat() for _ in range(3))
        finally:
            changes.close()
    return statistics.median(times), statistics.median(growths), beat


def main() -> int:
    """Measure, print, and say whether the goals are met."""
    logging.disable()
    numbers = [int(word) for word in sys.argv[2].split(",")] if len(sys.argv) > 2 else list(LABS)
    good = True
    with running_engine() as engine:
        print(f"API requests per start, embedded engine, TCG (goal: at most {GOAL_REQUESTS} for each object)")
        for machines in (1, 3):
            requests, objects = requests_per_start(engine, machines)
            good = good and requests / objects <= GOAL_REQUESTS
            print(f"  {machines} machines: {requests} requests, {objects} objects, ratio {requests / objects:.2f}")
    found = {number: per_change(number) for number in numbers}
    print(f"Controller, one change (median of {CHANGES - 1}; goal: at most {GOAL_RATIO} times that among {numbers[0]})")
    first = found[numbers[0]]
    for number, (took, grew, beat) in found.items():
        time_ratio, memory_ratio = took / first[0], grew / first[1]
        good = good and max(time_ratio, memory_ratio) <= GOAL_RATIO
        print(
            f"  {number:5} labs: {took * 1000:.2f} ms (ratio {time_ratio:.2f}), {grew / 1024:.0f} KiB "
            f"(ratio {memory_ratio:.2f}); a beat {beat * 1000:.1f} ms"
        )
    print("All goals are met." if good else "A goal is missed.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
