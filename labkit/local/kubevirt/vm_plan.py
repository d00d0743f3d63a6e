"""What to do about a VirtualMachine: from it, its VMI and the time to actions and a status. Pure."""

from __future__ import annotations

import copy
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from labkit.local.kubevirt.admission import run_strategy, set_defaults
from labkit.local.kubevirt.vmi_status import FINAL
from labkit.local.objects import (
    Obj,
    condition,
    deleting,
    get_path,
    has_condition,
    merge_conditions,
    name_of,
    namespace_of,
    owner_reference,
    parse_time,
    timestamp,
    uid_of,
)

_RERUNNING = ("Always", "RerunOnFailure", "Once")
"""The strategies under which a machine that never ran is tried again, later and later."""
_LONGEST_WAIT = 300


@dataclass(frozen=True)
class VmPlan:
    """What to do now: a VMI to create, whether to delete the one there is, the status, when to look again (seconds)."""

    create: Obj | None
    delete: bool
    status: Obj
    again: float | None = None


def plan(vm: Obj, vmi: Obj | None, now: datetime) -> VmPlan:
    """The next step for one VM."""
    strategy = run_strategy(vm)
    requests = [r for r in get_path(vm, "status.stateChangeRequests", []) if _still_due(r, vmi, strategy)]
    start, stop = (any(r["action"] == action for r in requests) for action in ("Start", "Stop"))
    ended = vmi is not None and get_path(vmi, "status.phase") in FINAL
    failure = _start_failure(vm, vmi, now) if strategy in _RERUNNING else None
    create, delete, again = None, False, None
    if vmi is not None and not deleting(vmi):
        delete = deleting(vm) or _must_end(strategy, ended=ended, start=start, stop=stop)
        if delete and strategy == "RerunOnFailure" and get_path(vmi, "status.phase") == "Failed" and not start:
            requests.append({"action": "Start"})
    elif vmi is None and not deleting(vm) and _must_start(strategy, vm, start):
        again = _wait(failure, now)
        if again is None:
            create = machine_of(vm, paused=_start_paused(requests))
            requests = [request for request in requests if request["action"] != "Start"]
    status = _status(vm, vmi, strategy, requests, failure, now)
    if create:
        status |= {"created": True, "runStrategy": strategy, "printableStatus": "Starting"}
    return VmPlan(create, delete, status, again)


def machine_of(vm: Obj, *, paused: bool = False) -> Obj:
    """The VMI that a VM's template stands for, before defaults."""
    template = vm["spec"]["template"]
    meta = template.get("metadata") or {}
    spec = copy.deepcopy(template["spec"])
    if paused:
        spec["startStrategy"] = "Paused"
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": {
            "name": name_of(vm),
            "namespace": namespace_of(vm),
            "labels": meta.get("labels") or {},
            "annotations": meta.get("annotations") or {},
            "ownerReferences": [owner_reference(vm)],
        },
        "spec": spec,
    }


def _still_due(request: Obj, vmi: Obj | None, strategy: str) -> bool:
    """A stop is done once the machine that it names is gone or going; a start is off once the VM is to be halted."""
    if request["action"] == "Start":
        return strategy != "Halted"
    return vmi is not None and not deleting(vmi) and request.get("uid") == uid_of(vmi)


def _must_end(strategy: str, *, ended: bool, start: bool, stop: bool) -> bool:
    if strategy == "Halted" or stop:
        return True
    # Manual and Once keep the ended machine, to be looked at, until the next start.
    return ended and (strategy in ("Always", "RerunOnFailure") or start)


def _must_start(strategy: str, vm: Obj, start: bool) -> bool:
    first = get_path(vm, "status.runStrategy") != strategy
    return (
        strategy == "Always" or (strategy != "Halted" and start) or (strategy in ("RerunOnFailure", "Once") and first)
    )


def _start_paused(requests: list[Obj]) -> bool:
    return any(get_path(r, "data.paused") == "true" for r in requests if r["action"] == "Start")


def _start_failure(vm: Obj, vmi: Obj | None, now: datetime) -> Obj | None:
    """Count the machines that ended before they ran, and when the next may be tried."""
    old: Obj | None = get_path(vm, "status.startFailure")
    if vmi is None:
        return old
    phases = [item["phase"] for item in get_path(vmi, "status.phaseTransitionTimestamps", [])]
    if "Running" in phases:
        return None
    if get_path(vmi, "status.phase") not in FINAL or (old and old["lastFailedVMIUID"] == uid_of(vmi)):
        return old
    count = (old["consecutiveFailCount"] if old else 0) + 1
    # Drawn by lot, up to half as long again: machines that fail together are not tried together.
    wait = timedelta(seconds=min(10 * count**2 * (1 + zlib.crc32(uid_of(vmi).encode()) / 2**33), _LONGEST_WAIT))
    return {
        "consecutiveFailCount": count,
        "lastFailedVMIUID": uid_of(vmi),
        "retryAfterTimestamp": timestamp(now + wait),
    }


def _wait(failure: Obj | None, now: datetime) -> float | None:
    left = (parse_time(failure["retryAfterTimestamp"]) - now).total_seconds() if failure else 0
    return left if left > 0 else None


def _status(vm: Obj, vmi: Obj | None, strategy: str, requests: list[Obj], failure: Obj | None, now: datetime) -> Obj:
    old = vm.get("status", {})
    stamp = timestamp(now)
    status: Obj = {
        "created": vmi is not None,
        "ready": vmi is not None and has_condition(vmi, "Ready"),
        "printableStatus": _printable(vm, vmi, strategy, requests, failure),
        "conditions": merge_conditions(old.get("conditions", []), _conditions(vm, vmi), stamp),
        "observedGeneration": vm["metadata"]["generation"],
        "desiredGeneration": vm["metadata"]["generation"],
    }
    if "runStrategy" in old or vmi is not None:
        status["runStrategy"] = strategy if vmi is not None else old["runStrategy"]
    # Whoever set these takes them off again.
    status |= {key: old[key] for key in ("snapshotInProgress", "restoreInProgress") if key in old}
    if vmi is None and "restoredMachine" in old:
        status["restoredMachine"] = old["restoredMachine"]
    if requests:
        status["stateChangeRequests"] = requests
    if failure:
        status["startFailure"] = failure
    return status


def _conditions(vm: Obj, vmi: Obj | None) -> list[Obj]:
    if vmi is None:
        return [condition("Ready", False, "VMINotExists", "VMI does not exist"), *_kept_failure(vm)]
    mirrored = [_untimed(item) for item in get_path(vmi, "status.conditions", [])]
    found = mirrored or [condition("Ready", False, "GuestNotRunning", "Guest VM is not reported as running")]
    if get_path(vmi, "status.phase") not in FINAL and _outdated(vm, vmi):
        why = "a non-live-updatable field was changed in the template spec"
        found.append(condition("RestartRequired", True, "RestartRequired", why))
    return found


def _untimed(item: Obj) -> Obj:
    return {key: value for key, value in item.items() if key not in ("lastTransitionTime", "lastProbeTime")}


def _kept_failure(vm: Obj) -> list[Obj]:
    """What the last machine failed of stays readable while the next try is waited for."""
    if not get_path(vm, "status.startFailure"):
        return []
    conditions = get_path(vm, "status.conditions", [])
    return [_untimed(item) for item in conditions if item["type"] == "Synchronized"]


def _outdated(vm: Obj, vmi: Obj) -> bool:
    """Whether the template would now make another machine; how it is started and ended may differ."""
    wanted = machine_of(vm)["spec"]
    set_defaults(wanted, vmi["spec"])
    free = ("startStrategy", "terminationGracePeriodSeconds")
    return any(wanted.get(key) != vmi["spec"].get(key) for key in {*wanted, *vmi["spec"]} - {*free})


def _printable(vm: Obj, vmi: Obj | None, strategy: str, requests: list[Obj], failure: Obj | None) -> str:
    """The first word that holds, in KubeVirt's order."""
    phase = get_path(vmi, "status.phase", "Pending") if vmi else "Succeeded"
    alive = phase not in FINAL
    conditions = get_path(vmi, "status.conditions", [])
    faults = {item.get("reason") for item in conditions if item["status"] == "False"} if alive else set()
    stopping = strategy == "Halted" or any(request["action"] == "Stop" for request in requests)
    order = {
        "Terminating": deleting(vm),
        "Stopping": vmi is not None and (deleting(vmi) or (alive and stopping)),
        "Paused": phase == "Running" and has_condition(vmi or {}, "Paused"),
        "Running": phase == "Running",
        "ErrorPvcNotFound": "FailedPvcNotFound" in faults,
        "DataVolumeError": "FailedDataVolumeImport" in faults,
        "ErrorUnschedulable": "Unschedulable" in faults,
        "Provisioning": "NotAllDVsReady" in faults,
        "ErrImagePull": "ErrImagePull" in faults,
        "ImagePullBackOff": "ImagePullBackOff" in faults,
        "Starting": alive,
        "CrashLoopBackOff": bool(failure),
        "Stopped": True,
    }
    return next(word for word, holds in order.items() if holds)
