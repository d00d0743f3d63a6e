"""A container's Pod, part by part: files, folders, words, networks, overrides."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.model import Pane, PaneType
from labkit.templates import Attachment, File, Image, Machine, Mount, Readiness
from tests.manifests.objects import machine_spec, meta, objects

GIB = 1 << 30


def web(**more: Any) -> Machine:
    return Machine("web", "container", Image("bundled", "web"), 0.5, 2**26, **more)


def container(machine: Machine, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = machine_spec(machine, **more)["containers"][0]
    return found


def test_files_and_the_terminals_secret_are_mounted_one_by_one_from_a_secret() -> None:
    terminal = Pane("terminal", PaneType.TERMINAL, "Terminal", 7681)
    machine = web(panes=(terminal,), files=(File("/srv/a b", "{{ word }}", mode="0600"),))
    *_, secret, pod = objects(machine, variables={"word": "birch"})
    assert (secret["metadata"], secret["data"]) == (
        meta("labkit-files-web"),
        {"file-0": "YmlyY2g=", "file-1": "NWVjNGU3Cg=="},
    )
    items = [{"key": f"file-{n}", "path": f"file-{n}", "mode": 0o600} for n in (0, 1)]
    assert pod["spec"]["volumes"] == [{"name": "files", "secret": {"secretName": "labkit-files-web", "items": items}}]
    assert pod["spec"]["containers"][0]["volumeMounts"] == [
        {"name": "files", "mountPath": path, "subPath": f"file-{n}", "readOnly": True}
        for n, path in enumerate(("/srv/a b", "/etc/labkit/ttyd.secret"))
    ]


@pytest.mark.parametrize(
    ("mount", "source"),
    [
        (Mount("/d", "empty", size_bytes=GIB), {"emptyDir": {"sizeLimit": str(GIB)}}),
        (Mount("/d", "volume", "data"), {"persistentVolumeClaim": {"claimName": "data"}}),
        (Mount("/d", "configMap", "texts"), {"configMap": {"name": "files-texts"}}),
        (Mount("/d", "secret", "keys"), {"secret": {"secretName": "files-keys"}}),
    ],
)
def test_a_folder_of_each_kind(mount: Mount, source: dict[str, Any]) -> None:
    assert machine_spec(web(volumes=(mount,)))["volumes"] == [{"name": "volume-0", **source}]
    assert container(web(volumes=(mount,)))["volumeMounts"] == [{"name": "volume-0", "mountPath": "/d"}]


def test_variables_are_filled_into_words_and_kubernetes_replaces_nothing_in_them() -> None:
    machine = web(
        command=("run", "{{ word }}"), args=("$(PORT)",), env={"PORT": "80", "WORD": "{{ word }}"}, ports=(80,)
    )
    found = container(machine, variables={"word": "$(PORT)"})
    assert (found["command"], found["args"]) == (["run", "$$(PORT)"], ["$(PORT)"])
    assert found["env"] == [{"name": "PORT", "value": "80"}, {"name": "WORD", "value": "$$(PORT)"}]
    assert found["ports"] == [{"containerPort": 80}]


def test_readiness_is_the_containers_probe() -> None:
    times = {"periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 3}
    assert container(web(ready=Readiness("tcp", 80)))["readinessProbe"] == {"tcpSocket": {"port": 80}, **times}


def test_further_networks_are_asked_of_multus() -> None:
    pod = objects(web(networks=(Attachment("dmz", "nets/dmz", "02:00:00:00:00:01"),)))[-1]
    wanted = '[{"namespace": "nets", "name": "dmz", "mac": "02:00:00:00:00:01"}]'
    assert pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] == wanted


def test_an_authors_own_fields_have_the_last_word() -> None:
    over = {
        "containers": [{"name": "main", "workingDir": "/srv"}, {"name": "more", "image": "a.io/b"}],
        "hostname": "h",
    }
    spec = machine_spec(web(overrides=over))
    assert [(item["name"], item.get("workingDir")) for item in spec["containers"]] == [("main", "/srv"), ("more", None)]
    assert (spec["hostname"], spec["automountServiceAccountToken"]) == ("h", False)
