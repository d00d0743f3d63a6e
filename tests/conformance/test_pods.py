"""The pod in which a machine runs: how it is found, its console's log, and commands in it."""

from __future__ import annotations

import json

import pytest
from kubernetes import client
from kubernetes.stream import stream

from tests.conformance.conftest import Space
from tests.support.engine import until

LOG = "guest-console-log"


@pytest.fixture
def pod(booted: Space) -> str:
    """The name of the pod of the machine ``web``."""
    return until(lambda: running_pod(booted), 60)


def running_pod(space: Space) -> str:
    """The pod that runs the machine now, or ''."""
    listed = space.get("pods", query="labelSelector=vm.kubevirt.io%2Fname%3Dweb").document["items"]
    found = [item["metadata"]["name"] for item in listed if item["status"]["phase"] == "Running"]
    return found[0] if len(found) == 1 else ""


def test_a_pod_is_found_by_its_machine_and_carries_its_labels(booted: Space, pod: str) -> None:
    found = booted.get("pods", pod).document
    machine = booted.get("virtualmachineinstances", "web").document
    labels = found["metadata"]["labels"]
    assert pod.startswith("virt-launcher-web-")
    assert (labels["kubevirt.io"], labels["kubevirt.io/created-by"]) == ("virt-launcher", machine["metadata"]["uid"])
    assert labels["app"] == "web"
    assert found["metadata"]["annotations"]["kubevirt.io/domain"] == "web"
    assert {container["name"] for container in found["spec"]["containers"]} >= {"compute", LOG}


def test_a_pod_has_the_machines_address_and_node(booted: Space, pod: str) -> None:
    status = booted.get("virtualmachineinstances", "web").document["status"]
    found = booted.get("pods", pod).document
    assert found["status"]["podIP"] == status["interfaces"][0]["ipAddress"]
    assert found["spec"]["nodeName"] == status["nodeName"]
    assert list(status["activePods"]) == [found["metadata"]["uid"]]


def test_kubectl_shows_pods_as_ever(booted: Space, pod: str) -> None:
    lines = booted.kubectl("get", "pod", pod).splitlines()
    assert lines[0].split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert lines[1].split()[2] == "Running"


def test_the_log_is_what_the_guest_said_on_its_console(booted: Space, pod: str) -> None:
    until(lambda: "login:" in booted.kubectl("logs", pod, "-c", LOG), 60)
    assert booted.get("pods", f"{pod}/log", f"container={LOG}&tailLines=3").body.count(b"\n") <= 3
    assert len(booted.kubectl("logs", pod, "-c", LOG, "--limit-bytes=10")) <= 10
    with booted.cluster.api() as api:
        text = client.CoreV1Api(api).read_namespaced_pod_log(pod, booted.name, container=LOG)
    assert "login:" in text


@pytest.mark.parametrize("words", [["nobody"], ["--container=nothing"]])
def test_a_log_of_nothing_is_refused(booted: Space, pod: str, words: list[str]) -> None:
    given = words if words == ["nobody"] else [pod, *words]
    assert "rror" in booted.kubectl("logs", *given, check=False)


def test_kubectl_runs_a_command_and_gives_its_words_and_its_status(booted: Space, pod: str) -> None:
    script = "read line; echo out $line; echo err >&2; exit 3"
    words = ("exec", "-i", "-n", booted.name, pod, "-c", "compute", "--", "sh", "-c", script)
    done = booted.cluster.run_kubectl(*words, stdin="in\n")
    assert (done.returncode, done.stdout) == (3, "out in\n")
    assert done.stderr.startswith("err\n")


def test_the_python_client_runs_a_command(booted: Space, pod: str) -> None:
    with booted.cluster.api() as api:
        socket = stream(
            client.CoreV1Api(api).connect_get_namespaced_pod_exec, pod, booted.name, container="compute",
            command=["echo", "hello"], stdout=True, stderr=True, _preload_content=False,
        )  # fmt: skip
        socket.run_forever(timeout=30)
        assert (socket.read_stdout(), socket.returncode) == ("hello\n", 0)
        socket.sock.shutdown()  # close() leaves it open where the other side closed first


def test_a_command_that_is_not_there_fails(booted: Space, pod: str) -> None:
    done = booted.cluster.run_kubectl("exec", "-n", booted.name, pod, "-c", "compute", "--", "no-such-command")
    assert done.returncode != 0


def test_an_exec_without_an_upgrade_is_a_bad_request(booted: Space, pod: str) -> None:
    answer = booted.cluster.ask("POST", f"/api/v1/namespaces/{booted.name}/pods/{pod}/exec?command=ls&stdout=1")
    assert answer.code in (400, 403)
    assert json.loads(answer.body)["kind"] == "Status"
