"""The Kubernetes API of the engine, through the real Python client, the real kubectl, and raw requests."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, watch

from tests.local.conftest import post
from tests.support.engine import EngineProcess, headless_service, machine, namespace, seed, until

VMS = "/apis/kubevirt.io/v1/namespaces/{}/virtualmachines"


def halted(name: str, space: str, **spec: Any) -> dict[str, Any]:
    """A VM that stays off."""
    found = machine(name, space, strategy="Halted")
    found["spec"]["template"]["spec"] |= spec
    return found


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


def test_an_object_gets_an_identity_and_survives_a_round_trip(engine: EngineProcess, space: str) -> None:
    with engine.api() as api:
        core = client.CoreV1Api(api)
        made = core.create_namespaced_secret(space, {"metadata": {"generateName": "s-"}, "stringData": {"a": "b"}})
        found = core.read_namespaced_secret(made.metadata.name, space)
    assert found.metadata.uid
    assert found.metadata.name.startswith("s-")
    assert found.data == {"a": "Yg=="}


def test_a_name_can_be_taken_once(engine: EngineProcess, space: str) -> None:
    post(engine, space, seed(space))
    assert status(engine.request("POST", f"/api/v1/namespaces/{space}/secrets", seed(space)))[:2] == (
        409,
        "AlreadyExists",
    )


def test_a_stale_update_is_a_conflict(engine: EngineProcess, space: str) -> None:
    post(engine, space, seed(space))
    path = f"/api/v1/namespaces/{space}/secrets/seed"
    old = json.loads(engine.request("GET", path)[1])
    assert engine.request("PUT", path, old | {"data": {"x": ""}})[0] == 200
    assert status(engine.request("PUT", path, old | {"data": {"y": ""}}))[:2] == (409, "Conflict")


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


def test_a_dry_run_answers_and_stores_nothing(engine: EngineProcess, space: str) -> None:
    assert engine.request("POST", f"/api/v1/namespaces/{space}/secrets?dryRun=All", seed(space))[0] == 201
    assert engine.request("GET", f"/api/v1/namespaces/{space}/secrets/seed")[0] == 404


def test_selectors_choose_what_is_listed(engine: EngineProcess, space: str) -> None:
    for name in ("a", "b"):
        post(engine, space, {**seed(space), "metadata": {"name": name, "labels": {"app": name}}})
    with engine.api() as api:
        core = client.CoreV1Api(api)
        by_label = core.list_namespaced_secret(space, label_selector="app in (a)").items
        by_field = core.list_namespaced_secret(space, field_selector="metadata.name=b").items
    assert [[item.metadata.name for item in found] for found in (by_label, by_field)] == [["a"], ["b"]]


def test_a_watch_tells_of_every_change_from_the_list_on(engine: EngineProcess, space: str) -> None:
    with engine.api() as api:
        core = client.CoreV1Api(api)
        since = core.list_namespaced_secret(space).metadata.resource_version
        post(engine, space, seed(space))
        core.delete_namespaced_secret("seed", space)
        stream = watch.Watch().stream(core.list_namespaced_secret, space, resource_version=since, timeout_seconds=2)
        assert [event["type"] for event in stream] == ["ADDED", "DELETED"]


def test_a_waiting_watch_hears_at_once(engine: EngineProcess, space: str) -> None:
    timer = threading.Timer(0.3, post, (engine, space, seed(space)))
    timer.start()
    with engine.api() as api:
        watcher = watch.Watch()
        for event in watcher.stream(client.CoreV1Api(api).list_namespaced_secret, space, timeout_seconds=20):
            assert event["object"].metadata.name == "seed"
            watcher.stop()
    timer.join()


def test_an_unknown_field_is_an_error_when_strict_and_a_warning_otherwise(engine: EngineProcess, space: str) -> None:
    typo = halted("web", space, hostnam="x")
    strict = status(engine.request("POST", VMS.format(space) + "?fieldValidation=Strict", typo))
    assert strict[:2] == (400, "BadRequest")
    assert 'unknown field "spec.template.spec.hostnam"' in strict[2]
    code, body = engine.request("POST", VMS.format(space), typo)
    assert (code, "hostnam" in body.decode()) == (201, False)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"livenessProbe": {}}, "spec.template.spec.livenessProbe"),
        ({"domain": {"devices": {}}}, "spec.template.spec.domain.memory.guest"),
        (
            {"volumes": [{"name": "root", "containerDisk": {"image": "x"}}]},
            "spec.template.spec.domain.devices.disks[1].name",
        ),
        ({"hostname": "Not A Label"}, "spec.template.spec.hostname"),
    ],
)
def test_a_faulty_machine_is_refused_with_the_field(engine: EngineProcess, space: str, spec: dict, field: str) -> None:
    code, body = engine.request("POST", VMS.format(space), halted("web", space, **spec))
    assert code == 422
    assert field in [cause["field"] for cause in json.loads(body)["details"]["causes"]]


def test_inline_user_data_over_2048_bytes_is_refused(engine: EngineProcess, space: str) -> None:
    volumes = halted("web", space)["spec"]["template"]["spec"]["volumes"]
    volumes[1]["cloudInitNoCloud"] = {"userData": "x" * 2049}
    refused = status(engine.request("POST", VMS.format(space), halted("web", space, volumes=volumes)))
    assert refused[0] == 422
    assert "exceeds 2048 byte limit" in refused[2]


def test_a_machines_spec_cannot_change_and_its_status_cannot_be_sent(engine: EngineProcess, space: str) -> None:
    vm = halted("web", space)
    vmi = {**vm, "kind": "VirtualMachineInstance", "spec": vm["spec"]["template"]["spec"]}
    vmi["spec"]["volumes"][0]["containerDisk"]["image"] = "localhost/labkit/absent"
    post(engine, space, vmi)
    path = f"/apis/kubevirt.io/v1/namespaces/{space}/virtualmachineinstances/web"
    merge = {"Content-Type": "application/merge-patch+json"}
    assert engine.request("PATCH", path, {"spec": {"hostname": "other"}}, **merge)[0] == 422
    assert engine.request("PATCH", path, {"status": {"phase": "Running"}}, **merge)[0] == 200
    assert engine.phase(space, "web") != "Running"


def test_a_finalizer_holds_an_object_until_it_is_taken_off(engine: EngineProcess, space: str) -> None:
    held = seed(space)
    held["metadata"]["finalizers"] = ["test/hold"]
    post(engine, space, held)
    path = f"/api/v1/namespaces/{space}/secrets/seed"
    assert "deletionTimestamp" in json.loads(engine.request("DELETE", path)[1])["metadata"]
    free = {"metadata": {"finalizers": None}}
    engine.request("PATCH", path, free, **{"Content-Type": "application/merge-patch+json"})
    assert engine.request("GET", path)[0] == 404


def test_what_is_owned_goes_with_its_owner(engine: EngineProcess, space: str) -> None:
    post(engine, space, seed(space))
    path = f"/api/v1/namespaces/{space}/secrets"
    owner = json.loads(engine.request("GET", f"{path}/seed")[1])["metadata"]
    reference = {"apiVersion": "v1", "kind": "Secret", "name": "seed", "uid": owner["uid"]}
    post(engine, space, {**seed(space), "metadata": {"name": "owned", "ownerReferences": [reference]}})
    engine.request("DELETE", f"{path}/seed")
    until(lambda: engine.request("GET", f"{path}/owned")[0] == 404, 5)


def test_a_terminating_namespace_takes_nothing_new_and_goes_when_it_is_empty(engine: EngineProcess, space: str) -> None:
    held = seed(space)
    held["metadata"]["finalizers"] = ["test/hold"]
    post(engine, space, held)
    assert json.loads(engine.request("DELETE", f"/api/v1/namespaces/{space}")[1])["status"]["phase"] == "Terminating"
    late = status(engine.request("POST", f"/api/v1/namespaces/{space}/services", headless_service("web", space)))
    assert late[:2] == (403, "Forbidden")
    free = {"metadata": {"finalizers": None}}
    path = f"/api/v1/namespaces/{space}/secrets/seed"
    engine.request("PATCH", path, free, **{"Content-Type": "application/merge-patch+json"})
    until(lambda: engine.request("GET", f"/api/v1/namespaces/{space}")[0] == 404, 5)


def test_kubectl_applies_lists_and_shows_kubevirts_columns(engine: EngineProcess, space: str) -> None:
    text = json.dumps(halted("web", space))
    assert "created" in engine.kubectl("apply", "-f", "-", stdin=text)
    assert "unchanged" in engine.kubectl("apply", "-f", "-", stdin=text)
    until(lambda: "Stopped" in engine.kubectl("get", "vms", "-n", space), 5)
    lines = engine.kubectl("get", "vms,vmis", "-n", space).splitlines()
    assert lines[0].split() == ["NAME", "AGE", "STATUS", "READY"]
    assert lines[1].split()[0] == "virtualmachine.kubevirt.io/web"


def test_kubectl_is_told_of_a_typo(engine: EngineProcess, space: str) -> None:
    said = engine.kubectl("apply", "-f", "-", stdin=json.dumps(halted("web", space, hostnam="x")), check=False)
    assert "hostnam" in said


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
        "QEMU", "qemu-img", "skopeo", "kubectl exec", "acceleration", "network", "way out", "image tiny",
    ]  # fmt: skip
    assert rows[-1]["remedy"] == "labkit images build tiny"


def test_a_namespace_named_badly_is_refused(engine: EngineProcess) -> None:
    assert engine.request("POST", "/api/v1/namespaces", namespace("../x"))[0] == 422


def test_a_deprecated_field_is_accepted_with_a_warning(engine: EngineProcess, space: str) -> None:
    found = halted("web", space)
    found["spec"] = {"running": False, "template": found["spec"]["template"]}
    assert "Warning: spec.running is deprecated" in engine.kubectl("apply", "-f", "-", stdin=json.dumps(found))


def test_a_manifest_applied_again_changes_nothing(engine: EngineProcess, space: str) -> None:
    text = json.dumps(halted("web", space))
    engine.kubectl("apply", "-f", "-", stdin=text)
    assert "unchanged" in engine.kubectl("apply", "-f", "-", stdin=text)
