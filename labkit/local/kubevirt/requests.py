"""Start, stop and restart of a VirtualMachine: what KubeVirt changes in the object, or why it refuses. Pure."""

from __future__ import annotations

from typing import Any

from labkit.local.api.status import ApiError, bad_request, conflict, internal_error
from labkit.local.kubevirt.admission import GROUP, run_strategy, set_strategy
from labkit.local.kubevirt.vmi_status import FINAL
from labkit.local.objects import Obj, get_path, name_of, uid_of


def start(vm: Obj, vmi: Obj | None, options: Obj) -> None:
    """Ask for a start, changing ``vm`` in place. ApiError 409 or 500."""
    strategy = run_strategy(vm)
    if vmi is not None and get_path(vmi, "status.phase") not in (None, "", "Unknown", *FINAL):
        raise refused(vm, "VM is already running")
    if strategy in ("Always", "Once"):
        raise refused(vm, f"{strategy} does not support manual start requests")
    if strategy == "RerunOnFailure" and get_path(vmi, "status.phase") == "Failed":
        raise refused(vm, "RerunOnFailure does not support starting VM from failed state")
    paused = {"data": {"paused": "true"}} if options.get("paused") else {}
    if strategy == "Halted":
        set_strategy(vm["spec"], "Always")
    if strategy != "Halted" or paused:
        _request(vm, [*_stop_of(vmi), {"action": "Start", **paused}])


def stop(vm: Obj, vmi: Obj | None, options: Obj) -> None:
    """Ask for a stop, changing ``vm`` in place. ApiError 409 or 500."""
    strategy = run_strategy(vm)
    if strategy in ("Always", "Once"):
        set_strategy(vm["spec"], "Halted")
        return
    if vmi is None or get_path(vmi, "status.phase") in FINAL:
        raise refused(vm, "VM is not running")
    grace = grace_of(options)
    if strategy == "Halted" and (grace is None or grace >= vmi["spec"]["terminationGracePeriodSeconds"]):
        raise refused(vm, "Halted only supports manual stop requests with a shorter graceperiod")
    _request(vm, _stop_of(vmi))


def restart(vm: Obj, vmi: Obj | None, options: Obj) -> None:
    """Ask for a restart, changing ``vm`` in place. ApiError 400, 409 or 500."""
    grace = grace_of(options)
    if grace:
        raise bad_request("For force restart, only gracePeriod=0 is supported for now")
    strategy = run_strategy(vm)
    if strategy in ("Halted", "Once"):
        raise refused(vm, f"RunStategy {strategy} does not support manual restart requests")
    if vmi is None:
        raise refused(vm, "VM is not running: Halted")
    _request(vm, [*_stop_of(vmi), {"action": "Start"}])


def grace_of(options: Obj) -> int | None:
    """The grace period that the options of a stop or restart ask for."""
    value: Any = options.get("gracePeriod", options.get("gracePeriodSeconds"))
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value >= 2**31):
        raise bad_request(f"the grace period '{value}' is not a number of seconds")
    if value is not None and value < 0:
        raise bad_request("gracePeriod has to be greater or equal to 0")
    return value


def refused(vm: Obj, why: str) -> ApiError:
    """409 in KubeVirt's words."""
    return conflict("virtualmachine", GROUP, name_of(vm), why)


def _stop_of(vmi: Obj | None) -> list[Obj]:
    return [{"action": "Stop", "uid": uid_of(vmi)}] if vmi else []


def _request(vm: Obj, requests: list[Obj]) -> None:
    waiting = get_path(vm, "status.stateChangeRequests", [])
    # A stop may overtake what is waiting; nothing else may.
    if waiting and [request["action"] for request in requests] != ["Stop"]:
        raise internal_error("unable to complete request: stop/start already underway")
    status = vm.setdefault("status", {})
    status["stateChangeRequests"] = requests
    status.pop("startFailure", None)
