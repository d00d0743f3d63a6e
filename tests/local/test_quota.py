"""Resource quotas and limit ranges: counted, enforced and shown as Kubernetes does."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from labkit.local.api.quota import apply_limits, refusal, show, usage
from labkit.local.kubevirt.vmi_status import launcher_resources
from labkit.local.table import KINDS
from tests.local.conftest import post
from tests.support.engine import EngineProcess, machine, seed, until

BY_KEY = {kind.key: kind for kind in KINDS}
VMI = "virtualmachineinstances.kubevirt.io"


def pod(**resources: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": resources}]}}


def quota(**hard: str) -> dict[str, Any]:
    named = {key.replace("__", "/").replace("_", "."): value for key, value in hard.items()}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": named}}


def in_force(engine: EngineProcess, space: str, **hard: str) -> None:
    """Create a quota and wait until it counts."""
    post(engine, space, quota(**hard))
    path = f"/api/v1/namespaces/{space}/resourcequotas/q"
    until(lambda: json.loads(engine.request("GET", path)[1]).get("status"), 5)


def used(engine: EngineProcess, space: str) -> dict[str, str]:
    answer = engine.request("GET", f"/api/v1/namespaces/{space}/resourcequotas/q")
    return dict(json.loads(answer[1])["status"]["used"])


def secret(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}


def named(text: str, word: str) -> str:
    """A text that has the word in it, or nothing."""
    return text if word in text else ""


def limits(**item: Any) -> list[dict[str, Any]]:
    return [{"spec": {"limits": [{"default": {}, "defaultRequest": {}, "type": "Container", **item}]}}]


@pytest.mark.parametrize(
    ("name", "amount", "text"),
    [
        ("requests.memory", 512 * 2**20 * 1000, "512Mi"),
        ("requests.cpu", 100, "100m"),
        ("requests.cpu", 2000, "2"),
        ("pods", 5_000_000, "5k"),
        ("requests.memory", 0, "0"),
    ],
)
def test_amounts_are_written_in_the_shortest_form(name: str, amount: int, text: str) -> None:
    assert show(name, amount) == text


def test_a_pod_uses_what_its_containers_request_until_it_ends() -> None:
    running = pod(requests={"cpu": "100m", "memory": "64Mi"}, limits={"cpu": "1"})
    counted = usage(BY_KEY["pods"], running)
    assert (counted["requests.cpu"], counted["cpu"], counted["limits.cpu"]) == (100, 100, 1000)
    assert counted["memory"] == 64 * 2**20 * 1000
    ended = usage(BY_KEY["pods"], running | {"status": {"phase": "Succeeded"}})
    assert ended == {"count/pods": 1000}


def test_three_tenths_fit_into_three_tenths() -> None:
    one = usage(BY_KEY["pods"], pod(requests={"cpu": "0.1"}))
    full = {**quota(cpu="0.3"), "status": {"hard": {"cpu": "0.3"}}}
    assert refusal(full, pod(requests={"cpu": "0.1"}), one, one + one, new=True) is None
    why = refusal(full, pod(requests={"cpu": "0.1"}), one, one + one + one, new=True)
    assert why == "exceeded quota: q, requested: cpu=100m, used: cpu=300m, limited: cpu=0.3"


def test_a_quota_that_is_not_filled_in_yet_or_wants_requests_says_so() -> None:
    bare = usage(BY_KEY["pods"], pod())
    assert (
        refusal(quota(pods="1"), pod(), bare, bare - bare, new=True) == "status unknown for quota: q, resources: pods"
    )
    wanting = refusal(quota(limits_memory="1Gi", requests_cpu="1"), pod(), bare, bare - bare, new=True)
    assert wanting == "failed quota: q: must specify limits.memory for: c; requests.cpu for: c"


def test_a_machines_pod_asks_for_its_memory_and_what_is_needed_around_it() -> None:
    domain = {"memory": {"guest": "1Gi"}, "cpu": {"sockets": 1, "cores": 2, "threads": 1}, "devices": {}}
    asked = launcher_resources({"spec": {"domain": domain}})["compute"]
    assert asked == {"requests": {"cpu": "200m", "memory": f"{1024 + 240 + 2 + 16 + 8 + 32}Mi"}}


def test_a_limit_range_fills_in_and_refuses_in_kubernetes_words() -> None:
    filled = pod()
    bounds = limits(default={"memory": "512Mi"}, defaultRequest={"memory": "256Mi"}, max={"memory": "1Gi"})
    assert apply_limits(BY_KEY["pods"], filled, bounds) == []
    given = filled["spec"]["containers"][0]["resources"]
    assert given == {"limits": {"memory": "512Mi"}, "requests": {"memory": "256Mi"}}
    large = pod(requests={"memory": "2Gi"}, limits={"memory": "2Gi"})
    assert apply_limits(BY_KEY["pods"], large, bounds) == [
        "maximum memory usage per Container is 1Gi, but limit is 2Gi",
        "maximum memory usage per Container is 1Gi, but request is 2Gi",
    ]


@pytest.mark.parametrize(
    ("item", "resources", "fault"),
    [
        ({"min": {"cpu": "1"}}, {}, "minimum cpu usage per Container is 1.  No request is specified"),
        ({"max": {"cpu": "1"}}, {}, "maximum cpu usage per Container is 1.  No limit is specified"),
        ({"min": {"cpu": "1"}, "type": "Pod"}, {"requests": {"cpu": "500m"}}, "is 1, but request is 500m"),
        ({}, {"requests": {"cpu": 2}, "limits": {"cpu": 1}}, "must be less than or equal to cpu limit of 1"),
    ],
)
def test_a_pod_outside_a_bound_is_refused(item: dict, resources: dict, fault: str) -> None:
    faults = apply_limits(BY_KEY["pods"], pod(**resources), limits(**item))
    assert len(faults) == 1
    assert fault in faults[0]


def test_the_last_place_is_given_once(engine: EngineProcess, space: str) -> None:
    in_force(engine, space, count__secrets="3")
    path = f"/api/v1/namespaces/{space}/secrets"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: engine.request("POST", path, secret(f"s{n}")), range(8)))
    assert sorted(code for code, _ in answers) == [201] * 3 + [403] * 5
    refused = next(json.loads(body)["message"] for code, body in answers if code == 403)
    assert refused.endswith(
        "exceeded quota: q, requested: count/secrets=1, used: count/secrets=3, limited: count/secrets=3"
    )


def test_a_dry_run_takes_no_place_and_a_deleted_object_gives_its_own_back(engine: EngineProcess, space: str) -> None:
    in_force(engine, space, secrets="1")
    path = f"/api/v1/namespaces/{space}/secrets"
    assert engine.request("POST", f"{path}?dryRun=All", secret("a"))[0] == 201
    assert engine.request("POST", path, secret("a"))[0] == 201
    assert engine.request("POST", f"{path}?dryRun=All", secret("b"))[0] == 403
    assert used(engine, space) == {"secrets": "1"}
    engine.request("DELETE", f"{path}/a")
    until(lambda: used(engine, space) == {"secrets": "0"}, 5)
    assert engine.request("POST", path, secret("b"))[0] == 201


def test_a_machine_whose_pod_does_not_fit_stays_pending_until_there_is_room(engine: EngineProcess, space: str) -> None:
    in_force(engine, space, requests_memory="100Mi")
    post(engine, space, seed(space), machine("web", space, image="absent"))
    until(lambda: "exceeded quota: q" in engine.kubectl("get", "vmi", "web", "-n", space, "-o", "yaml"), 10)
    condition = next(c for c in engine.vmi(space, "web")["status"]["conditions"] if c["type"] == "Synchronized")
    assert (condition["status"], condition["reason"]) == ("False", "FailedCreate")
    assert engine.phase(space, "web") == "Pending"
    engine.kubectl(
        "patch", "quota", "q", "-n", space, "--type=merge", "-p", '{"spec":{"hard":{"requests.memory":"1Gi"}}}'
    )
    until(lambda: engine.phase(space, "web") == "Scheduling", 15)
    assert used(engine, space)["requests.memory"].endswith("Mi")


def test_a_start_succeeds_where_the_machine_is_one_too_many_and_the_vm_says_why(
    engine: EngineProcess, space: str
) -> None:
    in_force(engine, space, count__virtualmachineinstances_kubevirt_io="0")
    post(engine, space, seed(space), machine("web", space, strategy="Halted"))
    start = f"/apis/subresources.kubevirt.io/v1/namespaces/{space}/virtualmachines/web/start"
    assert engine.request("PUT", start)[0] == 202
    shown = until(lambda: named(engine.kubectl("describe", "vm", "web", "-n", space), "FailedCreate"), 10)
    assert "exceeded quota: q" in shown
    assert "Failure" in shown
    assert engine.vmi(space, "web") == {}


def test_kubectl_shows_and_describes_a_quota(engine: EngineProcess, space: str) -> None:
    in_force(engine, space, secrets="5", limits_cpu="2")
    shown = engine.kubectl("get", "quota", "-n", space)
    assert "secrets: 0/5" in shown
    assert "limits.cpu: 0/2" in shown
    described = engine.kubectl("describe", "quota", "q", "-n", space)
    assert ["secrets", "0", "5"] in [line.split() for line in described.splitlines()]


def test_a_quota_on_what_is_not_counted_is_refused(engine: EngineProcess, space: str) -> None:
    code, body = engine.request("POST", f"/api/v1/namespaces/{space}/resourcequotas", quota(requests_nvidia="1"))
    assert code == 422
    assert "requests.nvidia" in body.decode()
