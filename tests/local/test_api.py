"""The Kubernetes API of the engine, through the real Python client, the real kubectl, and raw requests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.local.conftest import post
from tests.support.engine import EngineProcess, machine, seed, until

VMS = "/apis/kubevirt.io/v1/namespaces/{}/virtualmachines"


def status(answer: tuple[int, bytes]) -> tuple[int, str, str]:
    """Code, reason and message of a refusal."""
    document = json.loads(answer[1])
    return answer[0], document["reason"], document["message"]


def test_without_a_token_or_with_a_wrong_one_nothing_is_told(engine: EngineProcess) -> None:
    for given in ("", "Bearer wrong", f"Basic {engine.token}"):
        assert status(engine.request("GET", "/api/v1/secrets", Authorization=given)) == (
            401,
            "Unauthorized",
            "Unauthorized",
        )


def test_health_and_version_are_open(engine: EngineProcess) -> None:
    answers = [engine.request("GET", path, Authorization="") for path in ("/livez", "/readyz", "/version")]
    assert [code for code, _ in answers] == [200, 200, 200]
    assert json.loads(answers[2][1])["gitVersion"].startswith("v1.")


def test_only_the_owner_can_read_what_the_engine_keeps(engine: EngineProcess) -> None:
    assert engine.kubeconfig.stat().st_mode & 0o077 == 0
    assert (engine.state / "engine").stat().st_mode & 0o077 == 0


def test_what_is_not_there_or_not_served_is_named(engine: EngineProcess, space: str) -> None:
    missing = status(engine.request("GET", VMS.format(space) + "/web"))
    assert missing == (404, "NotFound", 'virtualmachines.kubevirt.io "web" not found')
    assert "endpoints" in status(engine.request("GET", f"/api/v1/namespaces/{space}/endpoints"))[2]
    assert (
        "migrate"
        in status(
            engine.request("PUT", f"/apis/subresources.kubevirt.io/v1/namespaces/{space}/virtualmachines/a/migrate")
        )[2]
    )


def test_an_image_that_is_not_built_is_said_with_the_remedy(engine: EngineProcess, space: str) -> None:
    post(engine, space, seed(space), machine("web", space, image="absent"))
    shown = until(lambda: "ErrImagePull" in engine.kubectl("get", "vm", "web", "-n", space), 10)
    conditions = engine.vmi(space, "web")["status"]["conditions"]
    found = next(item for item in conditions if item["type"] == "Synchronized")
    assert shown
    assert (found["status"], found["reason"]) == ("False", "ErrImagePull")
    assert "labkit images build absent" in found["message"]


def test_a_machine_larger_than_the_computer_waits_unscheduled(engine: EngineProcess, space: str) -> None:
    large = machine("web", space)
    large["spec"]["template"]["spec"]["domain"]["memory"]["guest"] = "4Ti"
    post(engine, space, seed(space), large)
    until(lambda: "ErrorUnschedulable" in engine.kubectl("get", "vm", "web", "-n", space), 10)


def test_a_second_engine_on_the_same_folders_says_so_and_ends(engine: EngineProcess) -> None:
    done = subprocess.run(engine.command(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert done.stderr.startswith("another engine runs on")


def test_the_doctor_says_what_works_and_what_to_do(engine: EngineProcess, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "labkit.local", "--doctor", f"--images-dir={tmp_path}", "--accel=tcg"]
    rows = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    assert [row["name"] for row in rows] == [
        "QEMU", "qemu-img", "skopeo", "kubectl exec", "containers", "acceleration", "network", "way out", "image tiny",
    ]  # fmt: skip
    assert rows[-1]["remedy"] == "labkit images build tiny"
