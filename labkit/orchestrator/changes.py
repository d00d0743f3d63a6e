"""What is done to a running lab: pause, resume, reset, snapshot, restore. Every step may be killed and repeated.

Cancelling takes effect up to the point from which going on is the safer way: half a reset or restore is none.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from typing import Any

from labkit.cluster.client import PUT_AWAY
from labkit.errors import ClusterError, Conflict, NotFound
from labkit.manifests import names
from labkit.model import MachineState
from labkit.orchestrator import disks
from labkit.orchestrator.operations import make_objects, set_up
from labkit.orchestrator.usable import pause_a_little, wait_until_usable
from labkit.orchestrator.work import Cancelled, Result, Work

Object = dict[str, Any]

_OWNED = ("VirtualMachine", "Pod", "DataVolume", "PersistentVolumeClaim")
"""The kinds of objects that a machine is made of: a reset makes them anew."""
_RUN, _HALT = ({"spec": {"runStrategy": strategy}} for strategy in ("RerunOnFailure", "Halted"))
_API = "snapshot.kubevirt.io/v1beta1"


def pause(work: Work) -> Result:
    """Freeze every running VM (the argument `machine`: only that one): memory stays in use, clocks stand still.
    Containers go on. The lab is paused where no VM runs any more.

    With the argument `off` they take no memory meanwhile: those with a disk that would be lost are put away with their
    memory, where the engine can do that, and else it is refused; the others are switched off.
    """
    if work.operation.arguments.get("off"):
        return _switch_off(work)
    chosen = _chosen(work, _vms_in(work, MachineState.RUNNING))
    for name in chosen:
        work.around.cluster.act(work.namespace, name, "pause")
    _want_paused(work, chosen)
    work.say("paused", f"Paused: {_listed(chosen)}", 1.0)
    return None


def _want_paused(work: Work, machines: Collection[str]) -> None:
    """The lab is to be paused: all of it, or so much that no VM runs but these."""
    whole = "machine" not in work.operation.arguments
    if whole or set(_vms_in(work, MachineState.RUNNING)) <= set(machines):
        work.around.store.want(work.row.id, "paused")


def _chosen(work: Work, machines: Iterable[str]) -> list[str]:
    """Of these machines, those that the operation is about."""
    return [name for name in machines if work.operation.arguments.get("machine") in (None, name)]


def _switch_off(work: Work) -> Result:
    vms = _vms(work)
    vms = {name: vms[name] for name in _chosen(work, vms)}
    losing = [name for name, vm in vms.items() if disks.lost(vm)]
    if losing and not work.around.cluster.keeps_memory():
        raise Conflict(
            f"what was written to the disks of {_listed(losing)} would be lost by switching off, and a cluster does "
            "not keep a machine's memory, as the embedded engine does: pause without 'off', which freezes the machines"
        )
    _want_paused(work, vms)
    for name in losing:
        work.go_on()
        work.around.cluster.act(work.namespace, name, PUT_AWAY)
    off = {name: vm for name, vm in vms.items() if name not in losing}
    _halt(work, off)
    did = f"Put away with their memory: {_listed(losing)}" if losing else ""
    did += ("; " if losing and off else "") + (
        f"Switched off: {_listed(off)}; what is on their disks stays" if off else ""
    )
    work.say("paused", did, 1.0)
    return None


def resume(work: Work) -> Result:
    """Let every paused VM go on, and switch on what is off (the argument `machine`: only that one)."""
    cluster, paused = work.around.cluster, _chosen(work, _vms_in(work, MachineState.PAUSED))
    for name in paused:
        cluster.act(work.namespace, name, "unpause")
    vms = _vms(work)
    halted = [name for name in _chosen(work, vms) if vms[name]["spec"].get("runStrategy") == "Halted"]
    for name in halted:
        cluster.merge("VirtualMachine", work.namespace, name, _RUN)
    work.around.store.want(work.row.id, "running")
    if halted:
        wait_until_usable(work, work.template, halted)
    work.say("running", f"Running again: {_listed([*paused, *halted])}", 1.0)
    return None


def reset(work: Work) -> Result:
    """Make the machines (the argument `machine`: only that one) anew, disks and all. Ticks and results stay."""
    wanted = work.operation.arguments.get("machine")
    chosen = [machine.name for machine in work.template.machines if wanted in (None, machine.name)]
    if not chosen:
        work.template.machine(str(wanted))  # raises NotFound
    work.say("reset", f"Making {_listed(chosen)} anew: what was written to {_their(chosen)} disks is lost", 0.05)
    remake(work, chosen)
    if wanted is None:
        work.around.store.want(work.row.id, "running")
    wait_until_usable(work, work.template, chosen)
    set_up(work, chosen)
    work.say("ready", f"Made anew: {_listed(chosen)}", 1.0)
    return None


def remake(work: Work, machines: Collection[str]) -> None:
    """Make machines anew from the template, with the disks that only they have."""
    objects = work.objects()
    owned = [body for body in objects if body["kind"] in _OWNED]
    doomed = [body for body in owned if _machine_of(body) in machines]
    others = {claim for body in owned if body not in doomed for claim in disks.claims(body)}
    claims = {claim for body in doomed for claim in disks.claims(body)} - others
    doomed += [body for body in owned if body["metadata"]["name"] in claims and body not in doomed]
    _delete_machines(work, doomed)
    make_objects(work)


def _machine_of(body: Object) -> str:
    metadata = body["metadata"]
    return str(metadata.get("labels", {}).get(names.MACHINE) or metadata["name"])


def _delete_machines(work: Work, objects: Iterable[Object]) -> None:
    """Delete objects, and wait until they and what they own are gone."""
    cluster, deadline = work.around.cluster, time.monotonic() + work.around.start_timeout
    gone = [(body["kind"], body["metadata"]["name"]) for body in objects]
    gone += [("VirtualMachineInstance", name) for kind, name in gone if kind == "VirtualMachine"]
    for name, vm in _vms(work).items():
        if ("VirtualMachine", name) in gone:
            templates = vm["spec"].get("dataVolumeTemplates") or ()
            gone += [(kind, item["metadata"]["name"]) for item in templates for kind in ("DataVolume", *_OWNED[3:])]
    for kind, name in gone:
        while cluster.delete(kind, work.namespace, name):
            pause_a_little(work, deadline, 0.1, cancel=False)


def snapshot(work: Work) -> Result:
    """Keep what the lab's disks hold at this moment, under the argument `name`.

    With the argument `memory`, where the engine can do that: its VMs as they are, all disks and memory.
    """
    name, vms = str(work.operation.arguments["name"]), _vms(work)
    memory = bool(work.operation.arguments.get("memory"))
    if memory and not work.around.cluster.keeps_memory():
        raise Conflict("a cluster does not keep a machine's memory, as the embedded engine does: take one without")
    up = {*_vms_in(work, MachineState.RUNNING), *_vms_in(work, MachineState.PAUSED)}
    chosen = [machine for machine, vm in vms.items() if (machine in up if memory else disks.kept(vm))]
    if not chosen and memory:
        raise Conflict("no VM of this lab runs, so there is no memory to keep")
    if not chosen:
        raise Conflict(
            "this lab has nothing that a snapshot keeps: the disks of its machines die with the machines "
            "(a template's `disks` from a DataVolume or a claim would stay)"
        )
    left_out = sorted({machine.name for machine in work.template.machines} - set(chosen))
    what = "memory and disks" if memory else "disks"
    work.say("snapshot", f"Copying the {what} of {_listed(chosen)}", 0.1)
    try:
        for machine in chosen:
            work.around.cluster.ensure(_snapshot_object(work, machine, name))
        for machine in chosen:
            _wait_for_snapshot(work, f"{machine}-{name}")
    except (Cancelled, ClusterError):
        for machine in chosen:
            work.around.cluster.delete("VirtualMachineSnapshot", work.namespace, f"{machine}-{name}")
        raise
    rest = f"; not part of it: {_listed(left_out)}" if left_out else ""
    work.say("kept", f"Snapshot {name} keeps the {what} of {_listed(chosen)}{rest}", 1.0)
    return {"name": name, "machines": chosen, "left_out": left_out}


def _snapshot_object(work: Work, machine: str, name: str) -> Object:
    labels = {**names.labels(work.around.store.installation(), work.row.id, machine), names.SNAPSHOT: name}
    source = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": machine}
    metadata: Object = {"name": f"{machine}-{name}", "namespace": work.namespace, "labels": labels}
    if work.operation.arguments.get("memory"):
        metadata["annotations"] = {names.MEMORY: "true"}
    return {"apiVersion": _API, "kind": "VirtualMachineSnapshot", "metadata": metadata, "spec": {"source": source}}


def _wait_for_snapshot(work: Work, name: str) -> None:
    deadline = time.monotonic() + work.around.start_timeout
    while True:
        found = work.around.cluster.get("VirtualMachineSnapshot", work.namespace, name) or {}
        status = found.get("status") or {}
        if status.get("readyToUse"):
            return
        if status.get("phase") == "Failed":
            said = (status.get("error") or {}).get("message") or "its time was up"
            raise ClusterError(f"the snapshot {name} failed: {said}")
        pause_a_little(work, deadline, 0.2)


def restore(work: Work) -> Result:
    """Bring back what a snapshot (the argument `name`) keeps: what its machines' disks hold now is lost."""
    name, cluster = str(work.operation.arguments["name"]), work.around.cluster
    taken = cluster.select("VirtualMachineSnapshot", work.namespace, {names.SNAPSHOT: name})
    ready = {_machine_of(body): body for body in taken if (body.get("status") or {}).get("readyToUse")}
    if not ready:
        raise NotFound(f"lab {work.row.id} has no snapshot {name!r}")
    vms = _vms(work)
    work.say("restore", f"Restoring {_listed(ready)}: what {_their(ready)} disks hold now is lost", 0.05)
    whole = [machine for machine, body in ready.items() if names.MEMORY in body["metadata"].get("annotations", {})]
    _halt(work, [machine for machine in ready if machine in vms], at_once=whole)
    for machine, body in ready.items():
        cluster.ensure(_restore_object(work, machine, body["metadata"]["name"]))
    for machine in ready:
        _wait_for_restore(work, _restore_name(work, machine))
        restored = cluster.merge("VirtualMachine", work.namespace, machine, _RUN)
        _drop_earlier_copies(work, vms.get(machine), restored)
    work.around.store.want(work.row.id, "running")
    wait_until_usable(work, work.template, list(ready))
    if anew := [m.name for m in work.machines() if m.name in whole and m.start_mode != "resumed"]:
        raise ClusterError(
            f"{_listed(anew)} could not go on from the snapshot's memory and started anew, disks and all"
        )
    work.say("ready", f"Restored: {_listed(ready)}", 1.0)
    return {"name": name, "machines": sorted(ready)}


def _drop_earlier_copies(work: Work, before: Object | None, after: Object) -> None:
    """Delete the copies of an earlier restore: each makes new claims, and the lab's quota has room for one set."""
    for name in (disks.claims(before) if before else set()) - disks.claims(after):
        if name.startswith("restore-"):
            work.around.cluster.delete("PersistentVolumeClaim", work.namespace, name)


def _restore_name(work: Work, machine: str) -> str:
    return f"{machine}-{work.operation.id}"


def _restore_object(work: Work, machine: str, taken: str) -> Object:
    metadata = {
        "name": _restore_name(work, machine),
        "namespace": work.namespace,
        "labels": names.labels(work.around.store.installation(), work.row.id, machine),
    }
    target = {"apiGroup": "kubevirt.io", "kind": "VirtualMachine", "name": machine}
    spec = {"target": target, "virtualMachineSnapshotName": taken}
    return {"apiVersion": _API, "kind": "VirtualMachineRestore", "metadata": metadata, "spec": spec}


def _wait_for_restore(work: Work, name: str) -> None:
    deadline = time.monotonic() + work.around.start_timeout
    while True:
        found = work.around.cluster.get("VirtualMachineRestore", work.namespace, name) or {}
        status = found.get("status") or {}
        if status.get("complete"):
            return
        for condition in status.get("conditions") or ():
            if (condition.get("type"), condition.get("status")) == ("Failure", "True"):
                raise ClusterError(f"the restore failed: {condition.get('message')}")
        pause_a_little(work, deadline, 0.2, cancel=False)


def _halt(work: Work, machines: Collection[str], at_once: Collection[str] = ()) -> None:
    """Switch VMs off and wait until they are, those that are to end `at_once` without asking their guests.

    They are not switched on again by themselves.
    """
    cluster, deadline = work.around.cluster, time.monotonic() + work.around.start_timeout
    work.go_on()
    for name in machines:
        cluster.merge("VirtualMachine", work.namespace, name, _HALT)
        if name in at_once:
            cluster.delete("VirtualMachineInstance", work.namespace, name, grace=0)
    for name in machines:
        while cluster.get("VirtualMachineInstance", work.namespace, name) is not None:
            pause_a_little(work, deadline, 0.1, cancel=False)


def _vms(work: Work) -> dict[str, Object]:
    found = work.around.cluster.select("VirtualMachine", work.namespace)
    return {str(vm["metadata"]["name"]): vm for vm in found}


def _vms_in(work: Work, state: MachineState) -> list[str]:
    vms = _vms(work)
    return [machine.name for machine in work.machines() if machine.state is state and machine.name in vms]


def _their(machines: Collection[str]) -> str:
    return "its" if len(machines) == 1 else "their"


def _listed(machines: Iterable[str]) -> str:
    return ", ".join(sorted(machines)) or "nothing to do"
