"""The gateway with the rights of deploy/gateway-role.yaml, at a real engine that checks them and on a real machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from gateway_process import Gateway, gateway_process, open_console

from labkit.manifests.rights import GATEWAY, gateway_rights
from labkit.manifests.scope import Scope
from labkit.manifests.site import Site
from tests.support.engine import EngineProcess, machine, running_engine, seed, until

ROLE = Path(__file__).parent.parent.parent / "deploy" / "gateway-role.yaml"
PANES = [{"name": name, "type": name, "title": name} for name in ("vnc", "console")]
NAMESPACE = {"name": "labkit-alab", "labels": {"labkit/lab": "alab"}}


@pytest.fixture(scope="module")
def engine() -> Iterator[EngineProcess]:
    """An engine with the lab's namespace, its one machine, and the gateway's account, which has its rights there."""
    with running_engine() as found:
        vm = machine("m", "labkit-alab", strategy="Always")
        vm["spec"]["template"]["metadata"]["annotations"] = {"labkit/panes": json.dumps(PANES)}
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": GATEWAY, "namespace": "default"}}
        bindings = gateway_rights(Scope("installation", "alab"), Site(gateway="default"))
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": NAMESPACE}
        role = yaml.safe_load(ROLE.read_text())
        for body in (namespace, account, role, *bindings, seed("labkit-alab"), vm):
            found.kubectl("create", "-f", "-", stdin=json.dumps(body))
        yield found


@pytest.fixture(scope="module")
def gateway(engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("rights")
    token = engine.kubectl("create", "token", GATEWAY, "-n", "default").strip()
    with gateway_process(folder, engine.as_bearer(token, folder).kubeconfig) as found:
        path = "/panes/alab/m/vnc/state"
        until(lambda: found.get(path, found.ticket())[2].get("state") == "running", 60)
        yield found


def test_panes_and_screenshots_need_no_more_than_the_role(gateway: Gateway) -> None:
    with open_console(gateway) as console:
        assert console.recv(60)
    status, _, picture = gateway.get("/panes/alab/m/vnc/screenshot", gateway.ticket(mode="view"))
    assert (status, picture[:4]) == (200, b"\x89PNG")


def test_the_role_ends_at_the_lab_and_at_reading(engine: EngineProcess, gateway: Gateway) -> None:
    token = engine.kubectl("create", "token", GATEWAY, "-n", "default").strip()
    account = engine.as_bearer(token, gateway.folder)
    lab = "/api/v1/namespaces/labkit-alab"
    allowed = [lab, f"{lab}/pods/none", "/apis/kubevirt.io/v1/namespaces/labkit-alab/virtualmachineinstances/m"]
    assert [account.ask("GET", path).code for path in allowed] == [200, 404, 200]
    refused = [f"{lab}/secrets", f"{lab}/pods", "/api/v1/namespaces", "/api/v1/namespaces/default/pods/none"]
    assert [account.ask("GET", path).code for path in refused] == [403] * 4
    assert account.ask("DELETE", f"{lab}/pods/none").code == 403
