"""A lab that the operator's policy refuses."""

from __future__ import annotations

from pathlib import Path

from labkit.manifests import names
from labkit.model import Principal
from tests.support.engine import running_engine
from tests.support.service import Service


def test_it_fails_with_the_rule_and_leaves_nothing(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: labkit/v1\nkind: Policy\nimages: []\n")
    with running_engine() as engine:
        service = Service(tmp_path / "home", engine.kubeconfig, policy_file=str(policy))
        with service.at_work():
            done = service.ended(service.labs.start(Principal("local", "ada", name="Ada"), "hello-lab"))
        assert "image localhost/labkit/tiny:latest: not allowed by the rule 'images'" in done.error
        assert service.around.cluster.get("Namespace", None, names.namespace_of(done.lab)) is None
        service.store.close()  # type: ignore[attr-defined]
