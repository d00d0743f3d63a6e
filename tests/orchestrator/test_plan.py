"""What the controller does about labs, decided from what should be and what is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.orchestrator.plan import HALF_MADE_SECONDS, Act, Desired, Observed, Step, excess, plan

NOW = 10_000.0
READY = Desired(created=0.0, ready=True)
HERE, GOING = Observed(), Observed(terminating=True)


@pytest.mark.parametrize(
    ("desired", "observed", "act"),
    [
        (READY, HERE, None),
        (READY, GOING, None),
        (READY, None, Act.LOST),
        (None, HERE, Act.DELETE),
        (None, GOING, None),
        (replace(READY, ended=True), HERE, Act.DELETE),
        (replace(READY, ended=True), None, None),
        (replace(READY, ending=True), HERE, Act.STOP),
        (replace(READY, ending=True), None, Act.STOP),
        (Desired(created=0.0), HERE, Act.END),
        (Desired(created=0.0), None, Act.END),
        (Desired(created=NOW - HALF_MADE_SECONDS / 2), HERE, None),
        (replace(READY, ended=True, busy=True), HERE, None),
        (Desired(created=0.0, busy=True), None, None),
    ],
)
def test_what_is_done_about_a_lab(desired: Desired | None, observed: Observed | None, act: Act | None) -> None:
    found = plan({"a": desired} if desired else {}, {"a": observed} if observed else {}, NOW)
    assert [step.act for step in found] == ([act] if act else [])


class World:
    """A store and a cluster in which steps are carried out as the controller and the engine do it, but at once."""

    def __init__(self, desired: dict[str, Desired], observed: dict[str, Observed]) -> None:
        self.desired, self.observed = dict(desired), dict(observed)

    def apply(self, step: Step) -> None:
        lab, row = step.lab, self.desired.get(step.lab)
        if step.act is Act.DELETE:
            self.observed[lab] = GOING
        elif row and step.act is Act.LOST:
            self.desired[lab] = replace(row, ended=True)
        elif row:
            self.desired[lab] = replace(row, ending=True, busy=True)

    def work(self) -> None:
        """Operations come to their end (a start makes ready, a stop removes), and namespaces that go are gone."""
        for lab, row in self.desired.items():
            if row.busy and row.ending:
                self.observed.pop(lab, None)
                self.desired[lab] = replace(row, busy=False, ended=True)
            elif row.busy:
                self.desired[lab] = replace(row, busy=False, ready=True)
                self.observed[lab] = HERE
        self.observed = {lab: found for lab, found in self.observed.items() if not found.terminating}


LABS = st.sampled_from("abcdef")
ROWS = st.builds(
    Desired,
    created=st.sampled_from([0.0, NOW - 1]),
    ready=st.booleans(),
    ending=st.booleans(),
    ended=st.booleans(),
    busy=st.booleans(),
)


@settings(deadline=None, max_examples=200, database=None)
@given(st.dictionaries(LABS, ROWS), st.dictionaries(LABS, st.sampled_from([HERE, GOING])))
def test_from_any_state_plan_and_apply_reach_the_desired_one_and_then_do_nothing(
    desired: dict[str, Desired], observed: dict[str, Observed]
) -> None:
    world, later = World(desired, observed), NOW + HALF_MADE_SECONDS
    for _ in range(4):
        for step in plan(world.desired, world.observed, later):
            world.apply(step)
        world.work()
    alive = {lab for lab, row in world.desired.items() if not row.ended}
    assert plan(world.desired, world.observed, later) == []
    assert set(world.observed) == alive
    assert all(world.desired[lab].ready and not world.desired[lab].ending for lab in alive)


@settings(deadline=None, database=None)
@given(st.dictionaries(LABS, ROWS), st.dictionaries(LABS, st.sampled_from([HERE, GOING])))
def test_a_lab_that_is_wanted_ready_and_there_is_never_touched(
    desired: dict[str, Desired], observed: dict[str, Observed]
) -> None:
    untouched = {lab for lab, row in desired.items() if lab in observed and row.ready and not (row.ending or row.ended)}
    assert untouched.isdisjoint(step.lab for step in plan(desired, observed, NOW))


def orphans(number: int) -> list[Step]:
    return [Step(f"x{place}", Act.DELETE, "the store knows no such lab") for place in range(number)]


@pytest.mark.parametrize(
    ("steps", "labs", "lately", "refused"),
    [
        (2, 2, 0, False),
        (3, 20, 0, True),
        (3, 30, 0, False),
        (10, 5000, 0, False),
        (11, 5000, 0, True),
        (6, 5000, 5, True),
        (2, 5, 5, False),
        (2, 5, 9, True),
    ],
)
def test_more_than_ten_labs_or_a_tenth_are_not_retired_unasked(
    steps: int, labs: int, lately: int, refused: bool
) -> None:
    assert bool(excess(orphans(steps), labs, lately=lately)) is refused


def test_stops_that_people_asked_for_are_never_too_many() -> None:
    assert excess([Step(str(lab), Act.STOP, "its end is wanted", unasked=False) for lab in range(500)], 500) == ""
