"""Bundled labs on real machines: no check passes before its step is done, each passes after its solve script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit.manifests import names
from labkit.model import Principal
from labkit.orchestrator.access import Access
from labkit.orchestrator.checks import run_setup
from labkit.templates import Check, declared, find, load
from tests.support.engine import running_engine
from tests.support.service import Service

ADA = Principal("local", "ada", name="Ada")
LABS = ("hello-lab", "broken-service")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("home")
    with running_engine() as engine:
        found = Service(home, engine.kubeconfig, policy_file=str(home / "policy.yaml"))
        with found.at_work():
            yield found
        found.store.close()  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_lab_that_the_policy_refuses_fails_with_the_rule_and_leaves_nothing(service: Service) -> None:
    policy = service.settings.policy_file
    assert policy is not None
    policy.write_text("apiVersion: labkit/v1\nkind: Policy\nimages: []\n")
    done = service.ended(service.labs.start(ADA, "hello-lab", activity="refused"))
    policy.unlink()
    assert "image localhost/labkit/tiny:latest: not allowed by the rule 'images'" in done.error
    assert service.around.cluster.get("Namespace", None, names.namespace_of(done.lab)) is None


def verdict(service: Service, lab: str, step: str) -> str:
    result = service.do(service.labs.check(ADA, lab, step))
    print(f"{step}: {result['verdict']}: {result['feedback']}")
    return str(result["verdict"])


def solve(service: Service, lab: str, script: Check) -> None:
    row = service.store.lab(lab)
    assert row is not None
    template = load(find(row.template, Path("/nonexistent")))
    secret = service.around.cluster.get("Secret", names.namespace_of(lab), names.ACCESS_SECRET)
    variables = declared(template, learner=row.learner_name, lab=lab, seed=row.seed)
    machine, access = template.machine(script.machine), Access.from_secret(lab, secret)
    run_setup(service.around.cluster, access, script, machine, variables, lambda: None)


@pytest.mark.slow
@pytest.mark.parametrize("name", LABS)
def test_each_check_fails_before_its_step_is_solved_and_passes_after(service: Service, name: str) -> None:
    operation = service.labs.start(ADA, name)
    service.do(operation)
    template = load(find(name, Path("/nonexistent")))
    for script in sorted(template.solutions, key=lambda script: order(name, script.step)):
        assert verdict(service, operation.lab, script.step) == "not_yet"
        solve(service, operation.lab, script)
        assert verdict(service, operation.lab, script.step) == "passed"
    service.do(service.labs.stop(ADA, operation.lab))


def order(name: str, step: str) -> int:
    """Where a step stands in the lab's pages."""
    pages = sorted(find(name, Path("/nonexistent")).glob("instructions/*.md"))
    return "".join(page.read_text() for page in pages).index(f"{{#{step}")
