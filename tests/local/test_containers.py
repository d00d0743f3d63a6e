"""Pods of containers: real runc, a tiny image made here, the real kubectl."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
from kubernetes import client
from kubernetes.stream import portforward

from labkit import settings
from tests.local.conftest import answers, post
from tests.support.containers import IMAGE, container, oci_layout, pod
from tests.support.engine import (
    EngineProcess,
    headless_service,
    machine,
    namespace,
    running_engine,
    seed,
    until,
)

AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="an ordinary user's containers have one id and no control group")


class Box:
    """An engine with the image ``box``, and a namespace in it."""

    def __init__(self, engine: EngineProcess, space: str) -> None:
        self.engine, self.space = engine, space

    def get(self, name: str) -> dict[str, Any]:
        """A pod, or an empty one."""
        code, body = self.engine.request("GET", f"/api/v1/namespaces/{self.space}/pods/{name}")
        return json.loads(body) if code == 200 else {}

    def status(self, name: str, n: int = 0) -> dict[str, Any]:
        """The status of a pod's n-th container, or an empty one."""
        found = self.get(name).get("status", {}).get("containerStatuses", [])
        return found[n] if found else {}

    def run(self, obj: dict[str, Any], *phases: str) -> None:
        """Create a pod and wait until it is in one of the phases."""
        post(self.engine, self.space, obj)
        self.wait(obj["metadata"]["name"], *phases)

    def wait(self, name: str, *phases: str) -> None:
        """Wait until a pod is in one of the phases."""
        wanted = phases or ("Running",)
        try:
            until(lambda: self.get(name)["status"]["phase"] in wanted)
        except AssertionError as error:
            raise AssertionError(f"{name} is not {wanted}: {self.events(name)}") from error

    def kubectl(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """The real kubectl."""
        line = self.engine.kubectl_command("-n", self.space, *words)
        return subprocess.run(line, capture_output=True, text=True, timeout=60, **options)

    def sh(self, name: str, script: str) -> str:
        """What a shell script in a pod prints."""
        done = self.kubectl("exec", name, "--", "sh", "-c", script)
        return done.stdout + done.stderr

    def events(self, name: str) -> dict[str, str]:
        """Messages by reason."""
        items = json.loads(self.engine.request("GET", f"/api/v1/namespaces/{self.space}/events")[1])["items"]
        items = [item for item in items if item["involvedObject"]["name"] == name]
        reasons = {item["reason"] for item in items}
        return {why: " / ".join(item["message"] for item in items if item["reason"] == why) for why in reasons}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images ``box`` and ``tiny``."""
    folder = tmp_path_factory.mktemp("images")
    oci_layout(folder / "box" / "1" / "oci")
    (folder / "box" / "current").symlink_to("1")
    (folder / "tiny").symlink_to(settings.load().images_dir / "tiny")
    return folder


@pytest.fixture(scope="module")
def silent() -> Iterator[str]:
    """A registry that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Debian's docker-registry on loopback, without TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        where = f"127.0.0.1:{server.getsockname()[1]}"
    folder = tmp_path_factory.mktemp("registry")
    storage = f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\n"
    (folder / "config.yml").write_text(f"{storage}http: {{addr: '{where}'}}\nlog: {{level: error}}\n")
    process = subprocess.Popen(["docker-registry", "serve", folder / "config.yml"], stderr=subprocess.DEVNULL)
    until(lambda: subprocess.run(["bash", "-c", f": > /dev/tcp/{where.replace(':', '/')}"], stderr=-3).returncode == 0)
    yield where
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def boxes(images: Path, registry: str, silent: str) -> Iterator[EngineProcess]:
    """An engine with those images, which trusts two registries without TLS."""
    file = images / ".config" / "containers" / "registries.conf"
    file.parent.mkdir(parents=True)
    file.write_text("".join(f'[[registry]]\nlocation = "{where}"\ninsecure = true\n' for where in (registry, silent)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(images))
        with running_engine(images) as found:
            yield found
            until(lambda: not found.processes() and not found.leftovers(), 60)


@pytest.fixture
def box(boxes: EngineProcess) -> Iterator[Box]:
    """A namespace of its own, emptied afterwards."""
    name = f"c-{uuid.uuid4().hex[:8]}"
    boxes.request("POST", "/api/v1/namespaces", namespace(name))
    yield Box(boxes, name)
    boxes.request("DELETE", f"/api/v1/namespaces/{name}")


# What a container is given


def secret(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_the_environment_is_of_values_fields_secrets_and_config_maps(box: Box) -> None:
    post(box.engine, box.space, secret("s", key="hidden"), config_map("m", first="1", second="2"))
    env = [
        {"name": "PLAIN", "value": "$(first) and $$(first)"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
        {"name": "WHERE", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "SPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
    ]
    sources = [{"configMapRef": {"name": "m"}}]
    command = {"command": ["sh", "-c"], "args": ["env; echo said $(SECRET); pwd"], "workingDir": "/tmp"}
    box.run(
        pod("e", {"name": "main", "image": IMAGE, "env": env, "envFrom": sources, **command}, restartPolicy="Never"),
        "Succeeded",
    )
    said = box.kubectl("logs", "e").stdout.splitlines()
    address = box.get("e")["status"]["podIP"]
    wanted = ["PLAIN=1 and $(first)", "SECRET=hidden", f"WHERE={address}", f"SPACE={box.space}", "second=2"]
    assert {*wanted, "FROM_IMAGE=yes", "HOSTNAME=e", "said hidden", "/tmp"} <= set(said)


def test_volumes_are_of_secrets_and_config_maps_and_shared_where_they_are_empty(box: Box) -> None:
    post(box.engine, box.space, secret("s", key="hidden"), config_map("m", page="hello"))
    volumes = [
        {"name": "secret", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "map", "configMap": {"name": "m", "items": [{"key": "page", "path": "a/b.html"}]}},
        {"name": "both", "emptyDir": {}},
    ]
    mounts = [{"name": item["name"], "mountPath": f"/v/{item['name']}"} for item in volumes]
    writer = container("echo word > /v/both/file; sleep 1000 & wait", volumeMounts=mounts)
    reader = container(name="other", volumeMounts=mounts)
    box.run(pod("v", writer, reader, volumes=volumes))
    until(lambda: "word" in box.kubectl("exec", "v", "-c", "other", "--", "cat", "/v/both/file").stdout)
    seen = box.kubectl(
        "exec", "v", "-c", "main", "--", "sh", "-c", "cat /v/secret/key /v/map/a/b.html; ls -l /v/secret"
    )
    assert "hiddenhello" in seen.stdout
    assert "-r--------" in seen.stdout
    assert "Read-only" in box.kubectl("exec", "v", "-c", "main", "--", "touch", "/v/secret/x").stderr


def test_a_missing_secret_keeps_a_container_waiting_until_it_is_there(box: Box) -> None:
    post(box.engine, box.space, pod("w", container(envFrom=[{"secretRef": {"name": "later"}}])))
    reason = until(lambda: box.status("w").get("state", {}).get("waiting", {}).get("message"))
    assert 'secret "later" not found' in reason
    post(box.engine, box.space, secret("later", A="b"))
    box.wait("w", "Running")


def test_containers_of_a_pod_share_network_and_name_after_the_first_ones_are_done(box: Box) -> None:
    first = {"name": "first", "image": IMAGE, "command": ["sh", "-c", "echo first > /v/f"]}
    first["volumeMounts"] = mounts = [{"name": "v", "mountPath": "/v"}]
    server = container("mkdir /w; cp /v/f /w/index.html; httpd -p 80 -h /w; sleep 1000 & wait", volumeMounts=mounts)
    both = pod("b", server, container(name="other"), volumes=[{"name": "v", "emptyDir": {}}], initContainers=[first])
    box.run(both)
    until(lambda: "first" in box.kubectl("exec", "b", "-c", "other", "--", "wget", "-qO-", "127.0.0.1").stdout)
    assert box.kubectl("exec", "b", "-c", "other", "--", "hostname").stdout == "b\n"


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
    box.run(pod("h", hungry, restartPolicy="Never"), "Failed")
    assert box.status("h")["state"]["terminated"]["reason"] == "OOMKilled"
    box.run(pod("c", container(resources=limits)))
    found = Path("/sys/fs/cgroup").glob(
        f"**/labkit-*{box.get('c')['metadata']['uid'].replace('-', '')[:11]}*/cpu.cfs_quota_us"
    )
    assert {file.read_text() for file in found} == {"25000\n"}


def test_an_image_comes_from_a_registry(box: Box, registry: str) -> None:
    layout = f"oci:{box.engine.images}/box/1/oci:latest"
    subprocess.run(
        ["skopeo", "copy", "-q", "--dest-tls-verify=false", layout, f"docker://{registry}/my/box:1"], check=True
    )
    box.run(pod("r", {"name": "main", "image": f"{registry}/my/box:1"}))
    assert {"Pulling", "Pulled"} <= box.events("r").keys()
    post(box.engine, box.space, pod("none", {"name": "main", "image": f"{registry}/my/none:1"}))
    until(
        lambda: (
            box.status("none").get("state", {}).get("waiting", {}).get("reason") in ("ErrImagePull", "ImagePullBackOff")
        )
    )
    post(box.engine, box.space, pod("never", {"name": "main", "image": f"{registry}/x:1", "imagePullPolicy": "Never"}))
    until(lambda: "pull policy of Never" in box.events("never").get("Failed", ""))


def test_a_pod_whose_image_is_slow_to_come_can_be_deleted(box: Box, silent: str) -> None:
    post(box.engine, box.space, pod("slow", {"name": "main", "image": f"{silent}/box:1"}))
    until(lambda: "Pulling" in box.events("slow"))
    assert box.kubectl("delete", "pod", "slow", "--timeout=10s").returncode == 0


# How it lives


def test_a_container_that_ends_is_started_again_later_and_later(box: Box) -> None:
    box.run(pod("r", container("echo run; exit 3")))
    until(lambda: box.status("r")["restartCount"] == 1)
    state = until(lambda: box.status("r")["state"].get("waiting"))
    assert state["reason"] == "CrashLoopBackOff"
    assert "back-off 10s" in state["message"]
    assert box.status("r")["lastState"]["terminated"]["exitCode"] == 3
    assert "CrashLoopBackOff" in box.kubectl("get", "pod", "r").stdout
    assert "Back-off" in box.events("r")["BackOff"]


@pytest.mark.parametrize(
    ("policy", "script", "phase"),
    [("Never", "exit 3", "Failed"), ("Never", "true", "Succeeded"), ("OnFailure", "true", "Succeeded")],
)
def test_a_pod_that_is_over_says_how(box: Box, policy: str, script: str, phase: str) -> None:
    box.run(pod("o", {"name": "main", "image": IMAGE, "command": ["sh", "-c", script]}, restartPolicy=policy), phase)
    assert box.status("o")["state"]["terminated"]["exitCode"] == (3 if phase == "Failed" else 0)
    assert {"Pulled", "Created", "Started"} <= box.events("o").keys()


def test_an_image_that_is_not_there_is_named(box: Box) -> None:
    post(box.engine, box.space, pod("i", {"name": "main", "image": "localhost/labkit/none"}))
    until(lambda: box.status("i").get("state", {}).get("waiting", {}).get("reason") == "ImagePullBackOff")
    assert "labkit images build none" in box.events("i")["Failed"]


def test_probes_decide_readiness_and_restarts(box: Box) -> None:
    probe = {"periodSeconds": 1, "failureThreshold": 1}
    ready = {
        "readinessProbe": {"httpGet": {"port": "www", "path": "/x"}, **probe},
        "ports": [{"name": "www", "containerPort": 80}],
    }
    alive = {"livenessProbe": {"exec": {"command": ["test", "-e", "/tmp/well"]}, **probe}}
    script = "touch /tmp/well; mkdir /w; httpd -p 80 -h /w; sleep 1000 & wait"
    box.run(
        pod(
            "p",
            container(
                script, **ready, **alive, startupProbe={"tcpSocket": {"port": 80}, **probe, "failureThreshold": 9}
            ),
        )
    )
    until(lambda: "404" in box.events("p").get("Unhealthy", ""))
    assert not box.status("p")["ready"]
    box.sh("p", "touch /w/x")
    until(lambda: box.status("p")["ready"])
    box.sh("p", "rm /tmp/well")
    until(lambda: box.status("p")["restartCount"] == 1)
    assert "failed liveness probe" in box.events("p")["Killing"]


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("hostNetwork", {"hostNetwork": True}),
        ("hostPID", {"hostPID": True}),
        ("hostIPC", {"hostIPC": True}),
        ("volumes[0].hostPath", {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
        ("volumes[0].persistentVolumeClaim", {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}),
        ("securityContext.privileged", {"containers": [container(securityContext={"privileged": True})]}),
        ("capabilities.add", {"containers": [container(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}})]}),
        ("hostPort", {"containers": [container(ports=[{"containerPort": 80, "hostPort": 80}])]}),
        ("lifecycle", {"containers": [container(lifecycle={"preStop": {"exec": {"command": ["true"]}}})]}),
        ("tolerations", {"tolerations": [{"key": "a", "operator": "Exists"}]}),
    ],
)
def test_what_is_not_carried_out_is_refused_by_name(box: Box, field: str, spec: dict[str, Any]) -> None:
    code, body = box.engine.request(
        "POST", f"/api/v1/namespaces/{box.space}/pods", pod("x", **{"containers": [container()], **spec})
    )
    assert code == 422
    assert field in body.decode()


def test_a_pods_spec_never_changes_but_its_labels_do(box: Box) -> None:
    box.run(pod("l"))
    assert box.kubectl("label", "pod", "l", "a=b").returncode == 0
    assert "cannot change" in box.kubectl("set", "image", "pod/l", "main=localhost/labkit/other").stderr


def test_a_quota_counts_pods_of_containers(box: Box) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}}
    post(box.engine, box.space, quota)
    until(lambda: box.engine.request("POST", f"/api/v1/namespaces/{box.space}/pods", pod("one"))[0] == 201)
    code, body = box.engine.request("POST", f"/api/v1/namespaces/{box.space}/pods", pod("two"))
    assert (code, b"exceeded quota" in body) == (403, True)


# Streams


def test_exec_has_input_a_status_and_a_terminal(box: Box) -> None:
    box.run(pod("x"))
    done = box.kubectl("exec", "-i", "x", "--", "sh", "-c", "read line; echo got $line; exit 5", input="word\n")
    assert (done.returncode, done.stdout) == (5, "got word\n")
    line = " ".join(
        box.engine.kubectl_command(
            "-n",
            box.space,
            "exec",
            "-it",
            "x",
            "--",
            "sh",
            "-c",
            "'tty; until stty size | grep 33; do sleep 0.1; done'",
        )
    )
    terminal = subprocess.run(
        ["script", "-qec", f"stty rows 33 cols 77; {line}", "/dev/null"], capture_output=True, text=True, timeout=60
    )
    assert "/dev/pts/0" in terminal.stdout
    assert "33 77" in terminal.stdout


def test_logs_are_followed_cut_and_of_a_container(box: Box) -> None:
    other = container("sleep 1000 & wait", name="other")
    box.run(
        pod(
            "l",
            container("echo one; echo two; until [ -e /go ]; do sleep 0.1; done; echo three"),
            other,
            restartPolicy="Never",
        )
    )
    until(lambda: box.kubectl("logs", "l", "-c", "main", "--tail=1").stdout == "two\n")
    following = subprocess.Popen(
        box.engine.kubectl_command("-n", box.space, "logs", "-f", "l", "-c", "main"), stdout=subprocess.PIPE, text=True
    )
    box.kubectl("exec", "l", "-c", "main", "--", "touch", "/go")
    assert following.communicate(timeout=30)[0] == "one\ntwo\nthree\n"
    assert box.kubectl("logs", "l", "-c", "other").stdout == ""
    assert "nobody is not valid" in box.kubectl("logs", "l", "-c", "nobody").stderr


def test_the_python_client_forwards_a_port_and_kubectl_is_told_that_it_cannot(box: Box) -> None:
    box.run(pod("f", container("mkdir /w; echo hello > /w/index.html; httpd -p 80 -h /w; sleep 1000 & wait")))
    until(lambda: "hello" in box.sh("f", "wget -qO- 127.0.0.1"))
    with box.engine.api() as api:
        core = client.CoreV1Api(api)
        forward = portforward(core.connect_get_namespaced_pod_portforward, "f", box.space, ports="80")
        with closing(forward.socket(80)) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        assert answer.endswith(b"hello\n")
        forward.websocket.sock.close()  # the package leaves it open where the other side closed first
    refused = box.kubectl("port-forward", "f", "0:80")
    assert "not over SPDY" in refused.stderr


# What it cannot reach


def test_a_container_sees_nothing_of_the_computer(box: Box) -> None:
    box.run(pod("n"))
    inside, outside, _ = box.sh("n", "cat /proc/self/uid_map").split()
    assert (inside, int(outside) > 0) == ("0", True)
    assert "@" not in box.sh("n", "cat /proc/net/unix"), "an abstract socket of somebody else's"
    assert len(box.sh("n", "ps -o pid,args").splitlines()) < 6
    places = [line.split()[2] for line in box.sh("n", "mount").splitlines()]
    assert not [at for at in places if at not in _MOUNTS and not at.startswith(("/proc/", "/dev/", "/sys/"))]
    assert {line.split()[1] for line in box.sh("n", "ip -o -4 addr").splitlines()} == {"lo", "eth0"}


_MOUNTS = ("/", "/proc", "/dev", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


_ATTEMPTS = (
    "mount -t tmpfs x /tmp",
    "echo 1 > /proc/sys/kernel/hostname",
    "echo b > /proc/sysrq-trigger",
    "mknod /tmp/disk b 254 0",
    "test -e /proc/1/root/../../../../usr/lib/os-release",
    "test -s /proc/kcore",
    "ls /sys/firmware/*",
)


def test_a_container_may_not_change_or_read_the_computer(box: Box) -> None:
    box.run(pod("d"))
    done = {script: box.kubectl("exec", "d", "--", "sh", "-c", script).returncode for script in _ATTEMPTS}
    assert [script for script, code in done.items() if code == 0] == []


@AS_ROOT
def test_root_in_a_container_is_nobody_on_the_computer(box: Box) -> None:
    box.run(pod("u", container("sleep 313131 & wait")))
    found = subprocess.run(["pgrep", "-f", "sleep 313131"], capture_output=True, text=True).stdout.split()
    owners = {os.stat(f"/proc/{pid}").st_uid for pid in found}
    assert owners
    assert all(owner >= 100_000 for owner in owners)


def test_a_container_reaches_neither_another_lab_nor_the_computer(box: Box, boxes: EngineProcess) -> None:
    web = "mkdir /w; echo here > /w/index.html; httpd -p 80 -h /w; sleep 1000 & wait"
    box.run(pod("web", container(web)))
    post(boxes, box.space, headless_service("web", box.space))
    other = Box(boxes, f"{box.space}-2")
    boxes.request("POST", "/api/v1/namespaces", namespace(other.space))
    other.run(pod("web", container()))
    address = box.get("web")["status"]["podIP"]
    until(lambda: "here" in box.sh("web", f"timeout 3 wget -qO- {address}"))
    port = json.loads(boxes.kubeconfig.read_text())["clusters"][0]["cluster"]["server"].rpartition(":")[2]
    own = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()[0]
    for where in (
        address,
        f"web.{box.space}.svc.cluster.local",
        f"{own}:{port}",
        f"127.0.0.1:{port}",
        f"169.254.77.2:{port}",
    ):
        assert "here" not in (said := other.sh("web", f"timeout 3 wget -qO- {where} 2>&1; echo $?"))
        assert said.splitlines()[-1] == "1"
    forged = f"ip addr add {address}/24 dev eth0 2>&1; ip addr"
    assert address not in other.sh("web", forged)
    boxes.request("DELETE", f"/api/v1/namespaces/{other.space}")


def test_a_policy_holds_for_containers(box: Box) -> None:
    web = "mkdir /w; echo here > /w/index.html; httpd -p 80 -h /w; sleep 1000 & wait"
    box.run(pod("web", container(web)))
    box.run(pod("client"))
    fetch = f"timeout 3 wget -qO- {box.get('web')['status']['podIP']}"
    until(lambda: "here" in box.sh("client", fetch))
    spec = {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "no"}, "spec": spec}
    post(box.engine, box.space, policy)
    until(lambda: "here" not in box.sh("client", fetch))


def test_a_machine_and_a_container_reach_each_other_by_name(box: Box) -> None:
    web = "mkdir /w; echo here > /w/index.html; httpd -p 80 -h /w; sleep 1000 & wait"
    fetch = "until wget -qO- http://box | grep here; do sleep 1; done; ping -c 1 box && echo REACHED"
    post(
        box.engine, box.space, seed(box.space, hostname="web", runcmd=[["sh", "-c", f"({fetch}) > /dev/console 2>&1"]])
    )
    post(box.engine, box.space, headless_service("web", box.space), headless_service("box", box.space))
    post(box.engine, box.space, machine("web", box.space))
    box.run(pod("box", container(web)))
    until(lambda: answers(box.engine, box.space), 120)
    assert "SSH" in box.sh("box", "nc -w 3 web 22 < /dev/null | head -c 20")
    assert "1 packets received" in box.sh("box", "ping -c 1 web")
    launcher = box.kubectl("get", "pods", "-l", "app=web", "-o", "name").stdout.strip()
    until(lambda: "REACHED" in box.kubectl("logs", launcher, "-c", "guest-console-log").stdout)


# What outlives what


def test_containers_outlive_a_killed_engine_and_their_end_is_known(images: Path) -> None:
    with running_engine(images) as engine:
        box = Box(engine, "k")
        engine.request("POST", "/api/v1/namespaces", namespace("k"))
        script = "until [ -e /go ]; do sleep 0.1; done; echo bye; exit 4"
        box.run(pod("ends", container(script), restartPolicy="Never"))
        box.run(pod("lives", container("date +%s%N > /began; sleep 1000 & wait")))
        began = until(lambda: box.sh("lives", "cat /began"))
        box.kubectl("exec", "ends", "--", "sh", "-c", "(sleep 1; touch /go) > /dev/null 2>&1 &")
        engine.kill()
        until(lambda: sum("conmon" in line for line in engine.processes()) == 1)
        engine.start()
        box.wait("ends", "Failed")
        assert box.status("ends")["state"]["terminated"]["exitCode"] == 4
        assert box.kubectl("logs", "ends").stdout == "bye\n"
        until(lambda: box.sh("lives", "cat /began") == began)
        assert box.status("lives")["restartCount"] == 0
        box.kubectl("delete", "namespace", "k", "--wait")
        until(lambda: not engine.processes() and not engine.leftovers())


@pytest.mark.parametrize("after", [0.3, 0.6])
def test_an_engine_killed_while_a_pod_starts_or_goes_leaves_nothing(images: Path, after: float) -> None:
    with running_engine(images) as engine:
        box = Box(engine, "k")
        engine.request("POST", "/api/v1/namespaces", namespace("k"))
        post(engine, "k", pod("p"))
        time.sleep(after)
        engine.kill()
        engine.start()
        box.wait("p", "Running")
        uid = box.get("p")["metadata"]["uid"]
        assert box.sh("p", "ip -o -4 addr show eth0") != ""
        engine.request("DELETE", "/api/v1/namespaces/k/pods/p")
        time.sleep(after)
        engine.kill()
        engine.start()
        until(lambda: not box.get("p"))
        until(lambda: not engine.processes() and not engine.leftovers())
        assert not list(Path("/sys/fs/cgroup").glob(f"**/*{uid.replace('-', '')[:11]}*"))


def test_a_pod_is_connected_again_when_its_network_was_lost(box: Box) -> None:
    box.run(pod("a", container("mkdir /w; echo here > /w/index.html; httpd -p 80 -h /w; sleep 1000 & wait")))
    box.run(pod("b"))
    began = box.status("b")["state"]
    search = f"--search={box.space}.svc"
    for process in psutil.process_iter(["cmdline"]):
        if any(word.startswith(search) for word in process.info["cmdline"] or ()):
            process.kill()
    until(lambda: "here" in box.sh("b", f"timeout 3 wget -qO- {box.get('a')['status']['podIP']}"))
    assert os.getuid() != 0 or box.status("b")["state"] == began, "root's are not even started anew"


def test_deleting_a_machines_pod_ends_the_machine_as_on_a_cluster(box: Box) -> None:
    post(box.engine, box.space, seed(box.space), machine("web", box.space, strategy="Once"))
    until(lambda: box.engine.phase(box.space, "web") == "Running")
    box.kubectl("delete", "pod", "-l", "app=web")
    until(lambda: box.engine.phase(box.space, "web") != "Running")
