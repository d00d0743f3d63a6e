"""What the controller does about labs, decided from what should be and what is."""

from labkit.orchestrator.plan import Actions, plan
from labkit.store import LabRow


def row(lab: str, *, ready: float | None = 1.0) -> LabRow:
    return LabRow(lab, "w", "l", "Ada", "hello-lab", "d", "running", 0.0, ready, None, False, "")


def test_labs_that_are_as_they_should_be_are_left_alone() -> None:
    assert plan([row("a"), row("b", ready=None)], {"a"}, set(), seen=5.0) == Actions()


def test_a_lab_nobody_wants_is_retired() -> None:
    assert plan([row("a")], {"a", "x"}, set(), seen=5.0) == Actions(retire=("x",))


def test_a_lab_that_is_gone_is_lost() -> None:
    assert plan([row("a")], set(), set(), seen=5.0) == Actions(lost=("a",))


def test_a_lab_with_an_operation_under_way_is_left_to_it() -> None:
    assert plan([row("a")], {"x"}, {"a", "x"}, seen=5.0) == Actions()


def test_a_lab_that_became_ready_after_the_look_is_not_lost() -> None:
    assert plan([row("a", ready=6.0)], set(), set(), seen=5.0) == Actions()


def test_many_orphans_at_once_are_not_removed_unasked() -> None:
    found = plan([], {f"x{number}" for number in range(6)}, set(), seen=5.0)
    assert found.retire == ()
    assert "6 labs" in found.refused


def test_many_orphans_among_many_more_labs_are_removed() -> None:
    rows = [row(f"a{number}") for number in range(20)]
    orphans = {f"x{number}" for number in range(6)}
    assert plan(rows, {found.id for found in rows} | orphans, set(), seen=5.0).retire == tuple(sorted(orphans))
