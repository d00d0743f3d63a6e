"""VirtualMachines: keep the one VMI of each as its run strategy wants it. The decisions are in ``kubevirt.vm_plan``."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from labkit.local.api.kinds import Admission
from labkit.local.api.status import ApiError
from labkit.local.controllers.events import Recorder
from labkit.local.controllers.queue import Key, WorkQueue
from labkit.local.kubevirt.admission import admit_vmi
from labkit.local.kubevirt.vm_plan import plan
from labkit.local.objects import (
    Obj,
    condition,
    controller_uid,
    deleting,
    merge_conditions,
    name_of,
    namespace_of,
    timestamp,
    uid_of,
    without_finalizer,
)
from labkit.local.store import Change, Store

VM = "virtualmachines.kubevirt.io"
VMI = "virtualmachineinstances.kubevirt.io"
FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"
_RETRY_SECONDS = 5.0


class VirtualMachines:
    """The controller."""

    def __init__(self, store: Store, recorder: Recorder) -> None:
        self._store = store
        self._recorder = recorder
        self.queue = WorkQueue("virtual machine", self.reconcile)
        store.listen(self._on_change)

    def start(self) -> None:
        """Look at every VM once."""
        for vm in self._store.all(VM):
            self.queue.add((namespace_of(vm), name_of(vm)))

    def _on_change(self, change: Change) -> None:
        # A VM and its VMI have one name.
        if change.kind in (VM, VMI):
            self.queue.add((namespace_of(change.obj), name_of(change.obj)))

    async def reconcile(self, key: Key) -> float | None:
        """One VM."""
        vm, vmi = self._store.get(VM, *key), self._store.get(VMI, *key)
        if vm is None:
            return None
        if vmi is not None and controller_uid(vmi) != uid_of(vm):
            if deleting(vm):
                self._store.update(VM, *key, without_finalizer(FINALIZER))
                return None
            why = f"a VirtualMachineInstance '{key[1]}' exists that does not belong to this VirtualMachine"
            self._recorder.record(vm, "FailedCreate", why, warning=True)
            return _RETRY_SECONDS
        step = plan(vm, vmi, datetime.now(UTC))
        if step.create is not None and (refused := self._create(vm, step.create)):
            self._store.update(VM, *key, _refused(refused))
            return _RETRY_SECONDS
        self._store.update(VM, *key, lambda new: new.update(status=step.status))
        if step.delete and vmi is not None:
            self._store.delete(VMI, *key)
            self._recorder.record(vm, "SuccessfulDelete", f"Stopped the virtual machine by deleting {key[1]}")
        if deleting(vm) and vmi is None:
            self._store.update(VM, *key, without_finalizer(FINALIZER))
        return step.again

    def _create(self, vm: Obj, vmi: Obj) -> str:
        """Create the machine; the reason where that is refused, as by a quota."""
        try:
            admit_vmi(Admission(vmi, None, self._store.get))
            self._store.create(VMI, vmi)
        except ApiError as error:
            self._recorder.record(vm, "FailedCreate", f"Error creating virtual machine instance: {error}", warning=True)
            return str(error)
        self._recorder.record(vm, "SuccessfulCreate", f"Started the virtual machine by creating {name_of(vmi)}")
        return ""


def _refused(why: str) -> Callable[[Obj], None]:
    def mutate(vm: Obj) -> None:
        status = vm.setdefault("status", {})
        kept = [item for item in status.get("conditions", []) if item["type"] != "Failure"]
        found = [*kept, condition("Failure", True, "FailedCreate", why)]
        status["conditions"] = merge_conditions(status.get("conditions", []), found, timestamp())

    return mutate
