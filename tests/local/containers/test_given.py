"""What a container is given: environment, volumes, users, limits, an image. And what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.local.containers.conftest import AS_ROOT
from tests.support.containers import IMAGE, Box, container, oci_layout, pod
from tests.support.engine import until


def secret(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_the_environment_is_of_values_fields_secrets_and_config_maps(box: Box) -> None:
    box.post(secret("s", key="hidden"), config_map("m", first="1", second="2"))
    env = [
        {"name": "PLAIN", "value": "$(first) and $$(first)"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
        {"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "SPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
    ]
    given = {"env": env, "envFrom": [{"configMapRef": {"name": "m"}}], "workingDir": "/tmp"}
    command = {"command": ["sh", "-c"], "args": ["env; echo said $(SECRET); pwd"]}
    box.run(pod("e", {"name": "main", "image": IMAGE, **given, **command}, restartPolicy="Never"), "Succeeded")
    address = box.get("e")["status"]["podIP"]
    wanted = ["PLAIN=1 and $(first)", "SECRET=hidden", f"WHERE={address}", f"SPACE={box.space}", "second=2"]
    said = box.kubectl("logs", "e").stdout.splitlines()
    assert {*wanted, "FROM_IMAGE=yes", "HOSTNAME=e", "said hidden", "/tmp"} <= set(said)


def test_volumes_are_of_secrets_and_config_maps_and_shared_where_they_are_empty(box: Box) -> None:
    box.post(secret("s", key="hidden"), config_map("m", page="hello"))
    volumes = [
        {"name": "secret", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "map", "configMap": {"name": "m", "items": [{"key": "page", "path": "a/b.html"}]}},
        {"name": "both", "emptyDir": {}},
    ]
    mounts = [{"name": item["name"], "mountPath": f"/v/{item['name']}"} for item in volumes]
    look = "until cat /v/both/file; do sleep 0.1; done; cat /v/secret/key /v/map/a/b.html; ls -l /v/secret"
    writer = container("echo word > /v/both/file", volumeMounts=mounts)
    reader = container(f"{look}; touch /v/secret/x", name="other", volumeMounts=mounts)
    box.run(pod("v", writer, reader, volumes=volumes, restartPolicy="Never"), "Failed")
    seen = box.kubectl("logs", "v", "-c", "other").stdout
    assert all(word in seen for word in ("word", "hiddenhello", "-r--------", "Read-only"))


def test_a_missing_secret_keeps_a_container_waiting_until_it_is_there(box: Box) -> None:
    box.post(pod("w", container(envFrom=[{"secretRef": {"name": "later"}}])))
    assert 'secret "later" not found' in until(lambda: box.waiting("w").get("message"))
    box.post(secret("later", A="b"))
    box.wait("w", "Running")


def test_containers_of_a_pod_share_network_and_name_after_the_first_ones_are_done(box: Box) -> None:
    mounts = [{"name": "v", "mountPath": "/v"}]
    first = {"name": "first", "image": IMAGE, "command": ["sh", "-c", "echo first > /v/f"], "volumeMounts": mounts}
    server = container("mkdir /w; cp /v/f /w/index.html; httpd -p 80 -h /w; sleep 1000 & wait", volumeMounts=mounts)
    fetch = "until wget -qO- 127.0.0.1; do sleep 0.1; done; hostname"
    other = container(fetch, name="other")
    box.run(pod("b", server, other, volumes=[{"name": "v", "emptyDir": {}}], initContainers=[first]))
    until(lambda: box.kubectl("logs", "b", "-c", "other").stdout.startswith("first\nb\n"))


@AS_ROOT
def test_a_security_context_is_carried_out(box: Box) -> None:
    context = {
        "runAsUser": 33, "runAsGroup": 44, "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    box.run(pod("s", container(securityContext=context)))
    said = box.sh("s", "id; touch /x; cat /proc/self/status")
    assert "uid=33(web) gid=44" in said
    assert "Read-only file system" in said
    assert {"CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} <= set(said.splitlines())


@AS_ROOT
def test_memory_and_processors_are_limited(box: Box) -> None:
    limits = {"limits": {"memory": "16Mi", "cpu": "250m"}}
    hungry = container("x=a; while true; do x=$x$x; done", resources=limits)
    box.run(pod("h", hungry, container(name="calm", resources=limits), restartPolicy="Never"))
    until(lambda: box.status("h")["state"].get("terminated", {}).get("reason") == "OOMKilled")
    folder = f"labkit-m{box.get('h')['metadata']['uid'].replace('-', '')[:11]}-calm-0"
    found = [
        *Path("/sys/fs/cgroup").glob(f"**/{folder}/cpu.cfs_quota_us"),
        *Path("/sys/fs/cgroup").glob(f"**/{folder}/cpu.max"),
    ]
    assert [file.read_text().split()[0] for file in found] == ["25000"]


def test_an_image_comes_from_a_registry_or_its_absence_is_said(box: Box, registry: str) -> None:
    layout = f"oci:{box.engine.images}/box/1/oci:latest"
    command = ["skopeo", "copy", "-q", "--dest-tls-verify=false", layout, f"docker://{registry}/my/box:1"]
    subprocess.run(command, check=True)
    box.run(pod("r", {"name": "main", "image": f"{registry}/my/box:1"}))
    assert {"Pulling", "Pulled"} <= box.events("r").keys()
    box.post(
        pod("none", {"name": "main", "image": f"{registry}/my/none:1"}),
        pod("never", {"name": "main", "image": f"{registry}/x:1", "imagePullPolicy": "Never"}),
        pod("local", {"name": "main", "image": "localhost/labkit/none"}),
    )
    until(lambda: box.waiting("none").get("reason") == box.waiting("local").get("reason") == "ImagePullBackOff")
    assert "labkit images build none" in box.waiting("local")["message"]
    until(lambda: "pull policy of Never" in box.waiting("never").get("message", ""))


def test_an_image_that_lies_about_its_checksum_is_refused(box: Box) -> None:
    layout = box.engine.images / "liar" / "current" / "oci"
    oci_layout(layout, Labels={"of": "another"})
    layer = max((layout / "blobs" / "sha256").iterdir(), key=lambda file: file.stat().st_size)
    with layer.open("r+b") as file:
        file.seek(4096)
        file.write(b"another")
    box.post(pod("l", {"name": "main", "image": "localhost/labkit/liar"}))
    assert "digest mismatch" in until(lambda: box.waiting("l").get("message"))


def test_a_pod_whose_image_is_slow_to_come_can_be_deleted(box: Box, silent: str) -> None:
    box.post(pod("slow", {"name": "main", "image": f"{silent}/box:1"}))
    until(lambda: "Pulling" in box.events("slow"))
    assert box.kubectl("delete", "pod", "slow", "--timeout=10s").returncode == 0


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("hostNetwork", {"hostNetwork": True}),
        ("hostPID", {"hostPID": True}),
        ("hostIPC", {"hostIPC": True}),
        ("volumes[0].hostPath", {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
        ("volumes[0].persistentVolumeClaim", {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}),
        ("volumes[0].emptyDir.sizeLimit", {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}]}),
        ("volumes[0].emptyDir.medium", {"volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]}),
        ("securityContext.privileged", {"containers": [container(securityContext={"privileged": True})]}),
        ("capabilities.add", {"containers": [container(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}})]}),
        ("hostPort", {"containers": [container(ports=[{"containerPort": 80, "hostPort": 80}])]}),
        ("lifecycle", {"containers": [container(lifecycle={"preStop": {"exec": {"command": ["true"]}}})]}),
        ("limits.nvidia.com/gpu", {"containers": [container(resources={"limits": {"nvidia.com/gpu": 1}})]}),
        ("tolerations", {"tolerations": [{"key": "a", "operator": "Exists"}]}),
    ],
)
def test_what_is_not_carried_out_is_refused_by_name(box: Box, field: str, spec: dict[str, Any]) -> None:
    refused = pod("x", **{"containers": [container()], **spec})
    code, body = box.engine.request("POST", f"/api/v1/namespaces/{box.space}/pods", refused)
    assert code == 422
    assert field in body.decode()
