"""What a pod's status says, from its containers' records (Kubernetes' ContainerStatus). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from labkit.local.objects import Obj, condition, get_path, merge_conditions, parse_time, timestamp
from labkit.local.pods.spec import containers_of

_FIRST_DELAY, _LONGEST_DELAY, _WELL = 10.0, 300.0, 600.0
KINDS = (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses"))


@dataclass(frozen=True)
class Exit:
    """How a container ended: its status, when (seconds), and whether it used more memory than it may."""

    code: int
    when: float
    out_of_memory: bool = False


def records_of(pod: Obj) -> dict[str, Obj]:
    """Each container's record by name: the stored one, or that of a container never started."""
    kept = {item["name"]: dict(item) for _, key in KINDS for item in get_path(pod, f"status.{key}", [])}
    return {item["name"]: kept.get(item["name"]) or _blank(item) for item in containers_of(pod["spec"])}


def _blank(container: Obj) -> Obj:
    record = {"name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0}
    return waiting(record | {"lastState": {}}, "ContainerCreating")


def waiting(record: Obj, reason: str, message: str = "") -> Obj:
    """The record of a container that has not started (again)."""
    state = {"waiting": {"reason": reason} | ({"message": message} if message else {})}
    return record | {"state": state, "ready": False, "started": False}


def running(record: Obj, image_id: str, container_id: str, restarts: int) -> Obj:
    """That of one just started."""
    state = {"running": {"startedAt": timestamp()}}
    ids = {"imageID": image_id, "containerID": f"runc://{container_id}"}
    return record | ids | {"state": state, "restartCount": restarts}


def ended(record: Obj, found: Exit | None, fault: str = "") -> Obj:
    """That of one that has ended: as its watcher saw, or not at all, or before it began (``fault``)."""
    code = 128 if fault else found.code if found else 137
    reason = "OOMKilled" if found and found.out_of_memory else "Error" if code else "Completed"
    reason = "StartError" if fault else reason if found else "ContainerStatusUnknown"
    when = timestamp(datetime.fromtimestamp(found.when, UTC) if found else None)
    state = {"exitCode": code, "reason": reason, "finishedAt": when}
    state["startedAt"] = get_path(record, "state.running.startedAt", when)
    message = {"message": fault} if fault else {}
    return record | {"state": {"terminated": state | message}, "ready": False, "started": False}


def restarts(spec: Obj, record: Obj) -> bool:
    """Whether a container of a pod that has ended is started again; those that come first are until they end well."""
    first = any(item["name"] == record["name"] for item in spec.get("initContainers", ()))
    always = spec["restartPolicy"] == "Always"
    return _failed(record) if spec["restartPolicy"] == "OnFailure" or (always and first) else always


def ran_well(record: Obj) -> bool:
    """Whether a container that has ended ran for so long that its end is none of a row."""
    over = record["state"]["terminated"]
    return (parse_time(over["finishedAt"]) - parse_time(over["startedAt"])).total_seconds() >= _WELL


def delay(failures: int) -> float:
    """Seconds until what went wrong so often in a row is tried again: none at first, then ten, doubled each time."""
    return min(_FIRST_DELAY * 2.0 ** min(failures - 1, 10), _LONGEST_DELAY) if failures else 0.0


def pod_status(pod: Obj, records: Mapping[str, Obj], address: str, now: str) -> Obj:
    """The whole status."""
    spec = pod["spec"]
    lists = {key: [records[item["name"]] for item in spec.get(kind, ())] for kind, key in KINDS}
    initialised = all("terminated" in item["state"] and not _failed(item) for item in lists[KINDS[0][1]])
    mains = lists["containerStatuses"]
    ready = all(item["ready"] for item in mains)
    unready = ("ContainersNotReady", f"containers with unready status: {_names(mains)}")
    conditions = [
        condition("PodScheduled", True),
        condition("Initialized", initialised, *([] if initialised else ["ContainersNotInitialized"])),
        condition("ContainersReady", ready, *([] if ready else unready)),
        condition("Ready", ready, *([] if ready else unready)),
    ]
    status = {
        **pod["status"],
        "phase": _phase(spec, lists[KINDS[0][1]], mains),
        "conditions": merge_conditions(pod["status"].get("conditions", []), conditions, now),
        "startTime": pod["status"].get("startTime", now),
        **{key: items for key, items in lists.items() if items},
    }
    return status | ({"podIP": address, "podIPs": [{"ip": address}]} if address else {})


def _names(records: Sequence[Obj]) -> str:
    return f"[{' '.join(item['name'] for item in records if not item['ready'])}]"


def _failed(record: Obj) -> bool:
    return bool(get_path(record, "state.terminated.exitCode"))


def _phase(spec: Obj, inits: Sequence[Obj], mains: Sequence[Obj]) -> str:
    def over(record: Obj) -> bool:
        return "terminated" in record["state"] and not restarts(spec, record)

    if any(over(item) and _failed(item) for item in inits):
        return "Failed"
    if all(over(item) for item in mains):
        return "Failed" if any(map(_failed, mains)) else "Succeeded"
    begun = any("running" in item["state"] or item["restartCount"] or item["lastState"] for item in mains)
    return "Running" if begun or any(map(over, mains)) else "Pending"
