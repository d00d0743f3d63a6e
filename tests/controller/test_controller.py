"""The controller against a real engine: what it retires, what it leaves alone, when it stops to ask, and who acts."""

from __future__ import annotations

import json
import time
from typing import Any

from click.testing import CliRunner

from labkit.commands.upkeep import controller as command
from labkit.manifests import names
from labkit.manifests.lab import namespace
from labkit.model import OperationState
from tests.controller.site import OPERATOR, Site
from tests.support.engine import EngineProcess, until


def orphan(site: Site, lab: str, installation: str = "") -> None:
    """A lab's namespace that the store knows nothing of."""
    body = namespace(installation or site.store.installation(), lab)
    assert site.engine.request("POST", "/api/v1/namespaces", body)[0] == 201


def row(site: Site, name: str, *, ready: bool = True) -> str:
    """A lab that the store holds to be ready (or just begun), without anything in the cluster."""
    work = site.store.work(site.store.learner(OPERATOR), name, name)
    lab = site.store.begin_lab(work, template=name, digest="d")[0].id
    if ready:
        site.store.lab_ready(lab)
    return lab


def events(site: Site) -> list[dict[str, Any]]:
    _, body = site.engine.request("GET", "/api/v1/namespaces/default/events")
    name = names.lease(site.store.installation())
    return [event for event in json.loads(body)["items"] if event["involvedObject"]["name"] == name]


def test_a_lease_that_is_good_for_no_time_is_refused_by_the_engine_as_by_kubernetes(engine: EngineProcess) -> None:
    spec = {"holderIdentity": "a", "leaseDurationSeconds": 0}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "a"}, "spec": spec}
    code, said = engine.request("POST", "/apis/coordination.k8s.io/v1/namespaces/default/leases", body)
    assert (code, b"spec.leaseDurationSeconds" in said) == (422, True)


def test_orphans_go_lost_labs_are_noted_and_other_installations_are_left_alone(site: Site) -> None:
    orphan(site, "orphan-a")
    orphan(site, "stranger", installation="another")
    lost = row(site, "gone")
    with site.running():
        until(lambda: site.namespaces() == set() and site.store.lab(lost).lost)  # type: ignore[union-attr]
        orphan(site, "orphan-b")
        until(lambda: site.namespaces() == set())
    assert site.engine.request("GET", "/api/v1/namespaces/labkit-stranger")[0] == 200
    site.engine.request("DELETE", "/api/v1/namespaces/labkit-stranger")


def test_a_change_of_one_lab_lists_nothing(site: Site) -> None:
    labs = [row(site, f"lab-{number}") for number in range(8)]
    for lab in labs:
        orphan(site, lab)
    with site.running():
        until(lambda: site.proxy.requests("PUT", "POST"))
        until(lambda: sum("watch=true" in path for _, path in site.proxy.seen) >= 4)
        before = len(site.proxy.seen)
        site.engine.request("DELETE", f"/api/v1/namespaces/labkit-{labs[0]}")
        until(lambda: site.store.lab(labs[0]).lost)  # type: ignore[union-attr]
        asked = [path for _, path in site.proxy.seen[before:] if "watch=true" not in path and "/leases" not in path]
    assert asked == [f"/api/v1/namespaces/labkit-{labs[0]}"]


def test_many_orphans_wait_for_a_person_who_sees_and_approves_them(site: Site) -> None:
    for number in range(12):
        orphan(site, f"orphan-{number}")
    cli = CliRunner(env={**site.environment, "LABKIT_LEASE_SECONDS": "15"})
    with site.running():
        hold = until(site.store.hold)
        assert len(hold.labs) == 12  # type: ignore[union-attr]
        until(lambda: any(event["reason"] == "WaitsForApproval" for event in events(site)))
        status = cli.invoke(command, ["status"])
        assert (status.exit_code, "orphan-11" in status.output) == (1, True)
        assert len(site.namespaces()) == 12
        assert cli.invoke(command, ["approve", "--yes"]).exit_code == 0
        until(lambda: not site.namespaces() and not site.store.hold(), 60)
    actions = [entry.action for entry in site.store.audit_log(last=99)]
    assert actions.count("delete (the store knows no such lab)") == 12


def overdue(site: Site, *, warned: bool) -> list[str]:
    """Twelve labs whose time is up, of which their people were warned in time, or not."""
    labs = [row(site, f"lab-{number}") for number in range(12)]
    end = time.time() - 60
    for lab in labs:
        orphan(site, lab)
        site.store._write(
            "UPDATE lab SET expires = ?, warned = ? WHERE id = ?", end, end - 300 if warned else None, lab
        )
    return labs


def test_a_class_whose_labs_were_warned_in_time_ends_together(site: Site) -> None:
    overdue(site, warned=True)
    with site.running():
        until(lambda: not site.store.labs() and not site.namespaces())
        assert site.store.hold() is None


def test_many_labs_whose_end_nobody_saw_coming_wait_for_a_person_and_then_have_their_warning(site: Site) -> None:
    labs = overdue(site, warned=False)
    with site.running():
        hold = until(site.store.hold)
        assert set(hold.labs) == set(labs) == site.namespaces()  # type: ignore[union-attr]
        site.store.approve(hold.labs)  # type: ignore[union-attr]
        until(lambda: not site.store.hold())
        ends = [row.expires - time.time() for row in site.store.labs() if row.expires]
    assert [round(end, -1) for end in ends] == [300] * 12
    assert {event.text[:29] for lab in labs for event in site.store.lab_events(lab)} == {
        "This lab will end in 5 minute"
    }


def test_after_a_restore_nothing_is_retired_until_somebody_approves(site: Site) -> None:
    site.store.hold_back("the store was put back from a backup", {}, time.time())
    orphan(site, "orphan")
    lost = row(site, "gone")
    with site.running():
        until(lambda: set(site.store.hold().labs) == {"orphan", lost})  # type: ignore[union-attr]
        start = site.end_of(site.labs.start(OPERATOR, site.template()))
        assert start.state is OperationState.DONE, "what people ask for is done meanwhile"
        assert "orphan" in site.namespaces()
        site.store.approve(site.store.hold().labs)  # type: ignore[union-attr]
        until(lambda: site.namespaces() == {start.lab} and site.store.lab(lost).lost)  # type: ignore[union-attr]


def test_a_lab_whose_start_nothing_works_on_is_ended(site: Site) -> None:
    lab = row(site, "half", ready=False)
    site.store._write("UPDATE lab SET created = created - 120 WHERE id = ?", lab)
    orphan(site, lab)
    with site.running():
        until(lambda: site.store.lab(lab).ended and not site.namespaces())  # type: ignore[union-attr]


def test_of_two_controllers_with_the_same_store_elsewhere_one_acts_and_the_other_takes_over(
    engine: EngineProcess,
) -> None:
    site, away = (Site(engine, lease_seconds="5") for _ in range(2))
    away.store._write("UPDATE installation SET id = ?", site.store.installation())
    try:
        with site.running():
            until(lambda: site.proxy.requests("PUT", "POST"))
            orphan(site, "orphan")
            until(lambda: not site.namespaces())
            with away.running():
                until(lambda: away.proxy.requests() > 3)
                orphan(site, "orphan-2")
                until(lambda: "orphan-2" not in site.namespaces())
                assert away.proxy.requests("DELETE") == 0
                site.proxy.close()  # the one that acts is cut off
                orphan(site, "orphan-3")
                until(lambda: away.proxy.requests("DELETE"), 60)
    finally:
        away.close()
        site.close()
