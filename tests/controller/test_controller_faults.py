"""A proxy before the engine answers wrongly, late or not at all: operations end, and the state converges."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import pytest

from labkit.errors import ClusterError
from labkit.manifests.lab import namespace
from labkit.model import OperationState
from tests.controller.site import OPERATOR, Site
from tests.support.engine import EngineProcess, until
from tests.support.proxy import Fault, Rule

DONE, FAILED = OperationState.DONE, OperationState.FAILED


def once_each(fault: Fault) -> Rule:
    """The first request of each method and path is spoilt, where it changes something or is a watch's list."""
    seen: set[tuple[str, str]] = set()

    def rule(number: int, method: str, path: str) -> Fault | None:
        path, _, query = path.partition("?")
        if (method, path) in seen or (method == "GET" and "limit=" not in query):
            return None
        seen.add((method, path))
        return fault

    return rule


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(429, ("Retry-After: 0",), "TooManyRequests"), id="429", marks=pytest.mark.slow),
        pytest.param(Fault(500, reason="InternalError"), id="500", marks=pytest.mark.slow),
        pytest.param(Fault(reset=True), id="reset", marks=pytest.mark.slow),
        pytest.param(Fault(reset=True, after=True), id="reset after it was done"),
        pytest.param(Fault(500, after=True), id="500 after it was done", marks=pytest.mark.slow),
    ],
)
def test_what_passes_by_itself_is_tried_again_until_the_lab_is_ready(site: Site, fault: Fault) -> None:
    site.proxy.rule = once_each(fault)
    with site.running():
        start = site.labs.start(OPERATOR, site.template())
        assert site.end_of(start).state is DONE
        site.settled()
        assert site.end_of(site.labs.stop(OPERATOR, start.lab)).state is DONE
        site.settled()
    assert site.namespaces() == set()


def test_it_does_not_ask_again_before_the_time_in_retry_after(site: Site) -> None:
    asked: list[float] = []

    def rule(number: int, method: str, path: str) -> Fault | None:
        if (method, path.partition("?")[0]) != ("POST", "/api/v1/namespaces"):
            return None
        asked.append(time.monotonic())
        return Fault(429, ("Retry-After: 2",)) if len(asked) == 1 else None

    site.proxy.rule = rule
    with site.running():
        assert site.end_of(site.labs.start(OPERATOR, site.template())).state is DONE
    assert 2 <= asked[1] - asked[0] < 4


def test_what_is_there_is_found_also_where_a_quota_refuses_it_before_anybody_has_looked(site: Site) -> None:
    body = namespace(site.store.installation(), "there")
    made = site.around.cluster.ensure(body)
    site.proxy.rule = lambda number, method, path: Fault(403, reason="Forbidden") if method == "POST" else None
    assert site.around.cluster.ensure(body)["metadata"]["uid"] == made["metadata"]["uid"]
    with pytest.raises(ClusterError, match="403"):
        site.around.cluster.ensure(namespace(site.store.installation(), "not-there"))


def test_a_conflict_that_does_not_pass_fails_the_start_with_one_sentence_and_leaves_nothing(site: Site) -> None:
    site.proxy.rule = lambda number, method, path: (
        Fault(409, reason="Conflict") if method == "POST" and "/virtualmachines" in path else None
    )
    with site.running():
        start = site.end_of(site.labs.start(OPERATOR, site.template()))
        assert (start.state, start.error) == (FAILED, "the proxy says 409")
        site.settled()
    assert site.namespaces() == set()


@pytest.fixture
def hasty(engine: EngineProcess) -> Iterator[Site]:
    """An installation that takes two seconds without an answer for silence."""
    found = Site(engine, engine_timeout="2", lease_seconds="6")
    yield found
    found.close()


def test_an_engine_that_stays_silent_fails_the_start_and_its_lab_is_cleaned_up_when_it_is_back(hasty: Site) -> None:
    site = hasty
    with site.running():
        until(lambda: site.proxy.requests("PUT", "POST"))
        site.proxy.rule = lambda number, method, path: Fault(silent=True)
        start = site.end_of(site.labs.start(OPERATOR, site.template()))
        assert start.state is FAILED
        assert "does not answer" in start.error or "could not be renewed" in start.error
        site.proxy.rule = lambda number, method, path: None
        site.settled()
    assert site.namespaces() == set()


@pytest.mark.slow
def test_a_short_silence_only_delays(hasty: Site) -> None:
    site = hasty
    with site.running():
        until(lambda: site.proxy.requests("PUT", "POST"))
        counter = itertools.count()
        site.proxy.rule = lambda number, method, path: Fault(silent=True) if next(counter) < 6 else None
        assert site.end_of(site.labs.start(OPERATOR, site.template())).state is DONE
        site.settled()


def test_a_lab_that_went_while_watches_were_cut_is_noted_as_lost(site: Site) -> None:
    with site.running():
        start = site.end_of(site.labs.start(OPERATOR, site.template()))
        site.proxy.rule = lambda number, method, path: Fault(reset=True) if "watch=true" in path else None
        site.proxy.drop()
        site.engine.request("DELETE", f"/api/v1/namespaces/labkit-{start.lab}")
        until(lambda: not site.namespaces())
        site.proxy.rule = lambda number, method, path: None
        until(lambda: site.store.lab(start.lab).lost)  # type: ignore[union-attr]
