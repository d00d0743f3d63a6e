"""Killed (SIGKILL) at any request to the engine, before or after it was done: the next controller finishes the work.

There is then exactly the lab that is wanted, or none; nothing is orphaned in cluster or store; no operation is stuck.
"""

from __future__ import annotations

import random
import subprocess

import pytest

from labkit.model import Operation, OperationState
from tests.controller.site import OPERATOR, Site
from tests.support.engine import until
from tests.support.proxy import Fault, Rule

DONE = OperationState.DONE


def killing(process: list[subprocess.Popen[bytes]], nth: int, *, after: bool) -> Rule:
    """Kill the newest controller at the n-th request that is no watch and no lease, and never again."""
    count = 0

    def rule(number: int, method: str, path: str) -> Fault | None:
        nonlocal count
        if "watch=true" in path or "/leases" in path:
            return None
        count += 1
        return Fault(call=process[-1].kill, after=after) if count == nth else None

    return rule


def survive(site: Site, operation: Operation) -> Operation:
    """Start controllers, each when the one before is dead, until the operation is final; how it ended."""

    def final() -> Operation | None:
        if site.processes[-1].poll() is not None:
            site.controller()
        found = site.store.operation(operation.id)
        return found if found and found.state.final else None

    return until(final, 120)  # type: ignore[return-value]


def crash(site: Site, nth: int, *, after: bool, what: str) -> bool:
    """Start or stop a lab with a controller that is killed at its n-th request. False where it made fewer."""
    if not site.processes or site.processes[-1].poll() is not None:
        site.controller()
    template = site.template()
    if what == "stop":
        assert survive(site, site.labs.start(OPERATOR, template)).state is DONE
    died = len(site.processes)
    site.proxy.rule = killing(site.processes, nth, after=after)
    (lab,) = [row.id for row in site.store.labs()] or [""]
    done = survive(site, site.labs.start(OPERATOR, template) if what == "start" else site.labs.stop(OPERATOR, lab))
    site.proxy.rule = lambda number, method, path: None
    assert done.state is DONE, done.error
    check(site, {done.lab} if what == "start" else set())
    if what == "start":
        assert survive(site, site.labs.stop(OPERATOR, done.lab)).state is DONE
        check(site, set())
    return len(site.processes) > died


def check(site: Site, labs: set[str]) -> None:
    """Just these labs are there: in the store, and in the cluster with one machine each."""
    site.settled()
    assert {row.id for row in site.store.labs()} == labs == site.namespaces()
    for lab in labs:
        found = site.engine.run_kubectl("get", "vms", "--output=name", "--namespace", f"labkit-{lab}").stdout.split()
        assert found == ["virtualmachine.kubevirt.io/box0"]
    assert all(not site.store.busy(row.id) for row in site.store.labs(ended=True))


@pytest.mark.parametrize(("nth", "after", "what"), [(8, True, "start"), (1, True, "stop")])
def test_a_controller_killed_at_a_request_leaves_exactly_the_wanted_lab(
    site: Site, nth: int, after: bool, what: str
) -> None:
    assert crash(site, nth, after=after, what=what), "it was killed"


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("what", ["start", "stop"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_controller_killed_at_every_request_in_turn_leaves_exactly_the_wanted_lab(
    site: Site, after: bool, what: str
) -> None:
    nth = 1
    while crash(site, nth, after=after, what=what):
        nth += 1
    print(f"killed at {nth - 1} requests of a {what}")
    assert nth > 2


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("seed", range(4))
def test_two_hundred_kills_at_random_moments_leave_exactly_the_wanted_lab(site: Site, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - to be the same each time
    site.controller()
    for _ in range(25):
        start = site.labs.start(OPERATOR, site.template())
        kill_at_random(site, dice, start)
        assert survive(site, start).state is DONE
        check(site, {start.lab})
        stop = site.labs.stop(OPERATOR, start.lab)
        kill_at_random(site, dice, stop)
        assert survive(site, stop).state is DONE
        check(site, set())


def kill_at_random(site: Site, dice: random.Random, operation: Operation) -> None:
    """Kill the controller when a random number of requests has been seen, or at the operation's end."""
    seen = len(site.proxy.seen) + dice.randrange(20)
    until(lambda: len(site.proxy.seen) > seen or site.store.operation(operation.id).state.final, 60)  # type: ignore[union-attr]
    site.processes[-1].kill()
    site.processes[-1].wait()
