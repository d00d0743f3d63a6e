"""How containers live: restarts, probes, phases; what outlives what, and what is left behind: nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
import pytest

from tests.support.containers import IMAGE, WEB, Box, container, pod
from tests.support.engine import EngineProcess, namespace, running_engine, until


def traces(engine: EngineProcess, pods: Iterable[str]) -> list[str]:
    """All that is left of pods (uids) on the computer: processes, files, control groups, mounts."""
    short = ["m" + uid.replace("-", "")[:11] for uid in pods]
    groups = [str(found) for name in short for found in Path("/sys/fs/cgroup").glob(f"**/*{name}*")]
    mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(engine.state) in line]
    return [*engine.processes(), *engine.leftovers(), *groups, *mounts]


def test_a_container_that_ends_is_started_again_later_and_later(box: Box) -> None:
    box.run(pod("r", container("echo run; exit 3")))
    until(lambda: box.status("r")["restartCount"] == 1)
    message = until(lambda: box.waiting("r").get("message"))
    assert "back-off 10s" in message
    assert box.status("r")["lastState"]["terminated"]["exitCode"] == 3
    assert "CrashLoopBackOff" in box.kubectl("get", "pod", "r").stdout
    assert "Back-off" in box.events("r")["BackOff"]
    assert box.kubectl("logs", "r").stdout == "run\n"


@pytest.mark.parametrize(
    ("policy", "script", "phase"),
    [("Never", "exit 3", "Failed"), ("Never", "true", "Succeeded"), ("OnFailure", "true", "Succeeded")],
)
def test_a_pod_that_is_over_says_how(box: Box, policy: str, script: str, phase: str) -> None:
    box.run(pod("o", {"name": "main", "image": IMAGE, "command": ["sh", "-c", script]}, restartPolicy=policy), phase)
    assert box.status("o")["state"]["terminated"]["exitCode"] == (3 if phase == "Failed" else 0)
    assert {"Pulled", "Created", "Started"} <= box.events("o").keys()


def test_probes_decide_readiness_and_restarts(box: Box) -> None:
    probe = {"periodSeconds": 1, "failureThreshold": 1}
    probes = {
        "readinessProbe": {"httpGet": {"port": "www", "path": "/x"}, **probe},
        "livenessProbe": {"exec": {"command": ["test", "!", "-e", "/tmp/ill"]}, **probe},
        "startupProbe": {"tcpSocket": {"port": 80}, **probe, "failureThreshold": 9},
        "ports": [{"name": "www", "containerPort": 80}],
    }
    box.run(pod("p", container(WEB, **probes)))
    until(lambda: "404" in box.events("p").get("Unhealthy", ""))
    assert not box.status("p")["ready"]
    box.sh("p", "touch /w/x")
    until(lambda: box.status("p")["ready"])
    box.sh("p", "touch /tmp/ill")
    until(lambda: box.status("p")["restartCount"] == 1)
    assert "failed liveness probe" in box.events("p")["Killing"]


def test_a_pods_spec_never_changes_but_its_labels_do(lab: Box) -> None:
    assert lab.kubectl("label", "pod", "client", "a=b").returncode == 0
    assert "cannot change" in lab.kubectl("set", "image", "pod/client", "main=localhost/labkit/other").stderr


def test_a_quota_counts_pods_of_containers(box: Box) -> None:
    box.post({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})
    path = f"/api/v1/namespaces/{box.space}/pods"
    until(lambda: box.engine.request("POST", path, pod("one"))[0] == 201)
    code, body = box.engine.request("POST", path, pod("two"))
    assert (code, b"exceeded quota" in body) == (403, True)


def test_containers_outlive_a_killed_engine_and_deletion_leaves_nothing(images: Path) -> None:
    with running_engine(images) as engine:
        box = Box(engine, "k")
        engine.request("POST", "/api/v1/namespaces", namespace("k"))
        script = "until [ -e /go ]; do sleep 0.1; done; echo bye; exit 4"
        box.post(pod("ends", container(script), restartPolicy="Never"), pod("lives"))
        box.wait("ends")
        box.run(pod("hurt", container("sleep 1000")))
        began = [box.status(name)["state"] for name in ("lives", "hurt")]
        pods = [box.get(name)["metadata"]["uid"] for name in ("ends", "lives", "hurt")]
        box.sh("ends", "(sleep 0.5; touch /go) > /dev/null 2>&1 &")
        engine.kill()
        until(lambda: sum("conmon" in line for line in engine.processes()) == 2)
        engine.start()
        box.wait("ends", "Failed")
        assert box.status("ends")["state"]["terminated"]["exitCode"] == 4
        assert box.kubectl("logs", "ends").stdout == "bye\n"
        assert "eth0" in until(lambda: box.sh("lives", "ip -o -4 addr"))
        assert [box.status(name)["state"] for name in ("lives", "hurt")] == began
        box.kubectl("delete", "namespace", "k", "--wait")
        until(lambda: not traces(engine, pods))


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0])
def test_an_engine_killed_while_a_pod_starts_or_goes_leaves_nothing(images: Path, after: float) -> None:
    with running_engine(images) as engine:
        box = Box(engine, "k")
        engine.request("POST", "/api/v1/namespaces", namespace("k"))
        box.post(pod("p"))
        time.sleep(after)
        engine.kill()
        engine.start()
        box.wait("p")
        uid = box.get("p")["metadata"]["uid"]
        assert "eth0" in until(lambda: box.sh("p", "ip -o -4 addr show eth0"))
        engine.request("DELETE", "/api/v1/namespaces/k/pods/p")
        time.sleep(after)
        engine.kill()
        engine.start()
        until(lambda: not box.get("p"))
        until(lambda: not traces(engine, [uid]))


def test_a_pod_is_connected_again_when_its_network_was_lost(box: Box) -> None:
    box.post(pod("a", container(WEB)), pod("b"))
    box.wait("a")
    box.wait("b")
    began = box.status("b")["state"]
    own = f"--holder-dir={box.engine.runtime}/"
    holders = [p for p in psutil.process_iter(["cmdline"]) if any(own in word for word in p.info["cmdline"] or ())]
    assert holders
    for holder in holders:
        holder.kill()
    until(lambda: "here" in box.sh("b", f"timeout 3 wget -qO- {box.get('a')['status']['podIP']}"))
    assert os.getuid() != 0 or box.status("b")["state"] == began, "root's are not even started anew"
