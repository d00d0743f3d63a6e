"""A gateway with the rights of deploy/gateway-role.yaml, at a real engine that checks them and on a real lab: every
kind of pane works, and there is no right that none of them needs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import cast

import pytest
import yaml
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from labkit.gateway.dial import Dial
from labkit.gateway.engine import Engine
from labkit.gateway.machines import MachinePane
from labkit.gateway.routes import PanePath
from labkit.manifests.names import PANES, namespace_of
from labkit.manifests.rights import GATEWAY
from labkit.model import MachineState, PaneType
from labkit.orchestrator.keyring import Keyring
from tests.files.conftest import Machine
from tests.support.cluster import Cluster
from tests.support.containers import container, pod
from tests.support.engine import until
from tests.support.gateway import Gateway, gateway_process

ROLE = yaml.safe_load((Path(__file__).parent.parent.parent / "deploy" / "gateway-role.yaml").read_text())
ROLE_PATH = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{GATEWAY}"
ACCOUNT = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": GATEWAY, "namespace": "default"}}
WAYS = {"vnc": "box", "console": "box", "terminal": "box", "site": "box", "shell": "side"}
WAYS |= {"screenshot": "box", "files": "box"}
"""Everything that can be opened, and at which machine."""
USES = {
    ("namespaces", "get"): "console",
    ("pods", "get"): "shell",
    ("virtualmachineinstances", "get"): "console",
    ("virtualmachineinstances/vnc", "get"): "vnc",
    ("virtualmachineinstances/vnc/screenshot", "get"): "screenshot",
    ("virtualmachineinstances/console", "get"): "console",
    ("virtualmachineinstances/portforward", "get"): "terminal",
    ("pods/exec", "get"): "shell",
    ("pods/exec", "create"): "shell",
}
"""Every right of the role, and what cannot be opened without it."""


class Panes:
    """The lab's panes at a gateway with the role alone; `status` is what it answers to who has a good ticket."""

    def __init__(self, gateway: Gateway, lab: str) -> None:
        self.gateway, self.lab = gateway, lab
        self.ticket = gateway.ticket(lab)

    def status(self, way: str) -> int:
        """The status of the answer to who opens this."""
        pane = "vnc" if way == "screenshot" else way
        path = f"/panes/{self.lab}/{WAYS[way]}/{pane}"
        match way:
            case "files":
                return self.gateway.get(f"/files/{self.lab}/box/folder?path=.", self.ticket)[0]
            case "screenshot":
                return self.gateway.get(f"{path}/screenshot", self.ticket)[0]
            case "site":
                return self._page(path)
        return self._stream(f"127.0.0.1:{self.gateway.port}{path}/stream", way)

    def _stream(self, address: str, way: str) -> int:
        own = "tty" if way in ("terminal", "shell") else "plain.kubevirt.io"
        try:
            with connect(
                f"ws://{address}",
                origin=Origin(f"http://{address.partition('/')[0]}"),
                subprotocols=[Subprotocol(own), Subprotocol(f"labkit.ticket.{self.ticket}")],
                proxy=None,
                close_timeout=0.2,
            ) as opened:
                opened.send(b"\r" if way == "console" else b'{"AuthToken": "", "columns": 80, "rows": 24}')
                assert opened.recv(20)
        except InvalidStatus as refused:
            return refused.response.status_code
        return 101

    def _page(self, path: str) -> int:
        status, _, body = self.gateway.post(f"{path}/visit", self.ticket)
        if status != 200:
            return status
        origin, _, code = str(body["url"]).partition("/.labkit/enter#")
        host = origin.removeprefix("http://")
        _, headers, _ = self.gateway.post("/.labkit/session", body=code.encode(), Host=host, Origin=origin)
        return self.gateway.get("/", Host=host, Cookie=headers["Set-Cookie"].partition(";")[0])[0]


@pytest.fixture(scope="module")
def engine(machine: Machine) -> Cluster:
    """The engine with the gateway's account and role. The lab gets a container besides, and its machine a page."""
    found, space = Cluster(machine.home.settings.engine_kubeconfig), namespace_of(machine.lab)
    side = pod("side", container())
    side["metadata"] |= {"namespace": space, "annotations": {PANES: json.dumps([{"name": "shell", "type": "exec"}])}}
    for body in (ACCOUNT, ROLE, side):
        found.kubectl("create", "-f", "-", stdin=json.dumps(body))
    vmi = f"/apis/kubevirt.io/v1/namespaces/{space}/virtualmachineinstances/box"
    panes = json.loads(json.loads(found.ask("GET", vmi).body)["metadata"]["annotations"][PANES])
    panes.append({"name": "site", "type": "http", "port": 80})
    assert found.patch(vmi, {"metadata": {"annotations": {PANES: json.dumps(panes)}}}).code == 200
    machine.root("mkdir -p /srv/site; echo hello > /srv/site/index.html; httpd -h /srv/site")
    return found


@pytest.fixture(scope="module")
def panes(engine: Cluster, machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Panes]:
    folder, keys = tmp_path_factory.mktemp("rights"), Keyring(machine.home.settings)
    account = engine.as_bearer(engine.kubectl("create", "token", GATEWAY, "-n", "default").strip(), folder)
    with gateway_process(folder, account.kubeconfig, key=keys.tickets, terminal_key=keys.terminal) as gateway:
        yield Panes(gateway, machine.lab)


@pytest.mark.parametrize("way", WAYS)
def test_every_kind_of_pane_needs_no_more_than_the_role(panes: Panes, way: str) -> None:
    until(lambda: panes.status(way) in (101, 200))


@contextlib.contextmanager
def without(engine: Cluster, resource: str, verb: str) -> Iterator[None]:
    """The role with one right less."""
    rules = deepcopy(ROLE["rules"])
    for rule in [rule for rule in rules if resource in rule["resources"]]:
        rules.remove(rule)
        others = [name for name in rule["resources"] if name != resource]
        kept = [one for one in rule["verbs"] if one != verb]
        rules += [{**rule, "resources": others}] if others else []
        rules += [{**rule, "resources": [resource], "verbs": kept}] if kept else []
    assert engine.patch(ROLE_PATH, {"rules": rules}).code == 200
    yield
    assert engine.patch(ROLE_PATH, {"rules": ROLE["rules"]}).code == 200


@pytest.mark.parametrize(("resource", "verb"), USES)
def test_without_one_of_its_rights_something_cannot_be_opened(
    engine: Cluster, panes: Panes, resource: str, verb: str
) -> None:
    with without(engine, resource, verb):
        assert panes.status(USES[resource, verb]) in (502, 503)


def test_the_role_has_no_right_besides() -> None:
    granted = {(name, verb) for rule in ROLE["rules"] for name in rule["resources"] for verb in rule["verbs"]}
    assert granted == set(USES)


def test_the_role_ends_at_the_lab_and_at_reading(engine: Cluster, panes: Panes) -> None:
    account = engine.as_bearer(
        engine.kubectl("create", "token", GATEWAY, "-n", "default").strip(), panes.gateway.folder
    )
    space = f"/api/v1/namespaces/{namespace_of(panes.lab)}"
    assert [account.ask("GET", path).code for path in (space, f"{space}/pods/none")] == [200, 404]
    refused = [f"{space}/secrets", f"{space}/pods", "/api/v1/namespaces", "/api/v1/namespaces/default/pods/none"]
    assert [account.ask("GET", path).code for path in refused] == [403] * 4
    assert account.ask("DELETE", f"{space}/pods/none").code == 403


def test_in_the_cluster_a_machines_port_is_dialled_at_the_address_that_it_has() -> None:
    pane = MachinePane(PaneType.HTTP, "Site", MachineState.RUNNING, "127.0.0.1", container=True)
    with socket.create_server(("127.0.0.1", 0)) as server:

        async def dialled() -> tuple[object, object]:
            asked_nothing, port = cast(Engine, None), int(server.getsockname()[1])
            stream = await Dial(asked_nothing, inside=True).port(PanePath("alab", "m", "site"), pane, port)
            connection, peer = server.accept()
            connection.close()
            stream.transport.abort()
            return peer, stream.transport.get_extra_info("sockname")

        here, there = asyncio.run(dialled())
    assert here == there
