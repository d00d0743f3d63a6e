"""The controller: does the operations in the queue, and brings labs and cluster together. One for an installation."""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from labkit.errors import ClusterError, ClusterUnavailable, Invalid, LabkitError, NotFound, SetupError
from labkit.manifests import names
from labkit.model import Operation, OperationKind, OperationState
from labkit.orchestrator.operations import HANDLERS, Cancelled, Surroundings, Work
from labkit.orchestrator.plan import plan
from labkit.store import LabRow

WORKERS = 8
_QUEUE_SECONDS = 0.05
_RECONCILE_SECONDS = 5.0
_RETRY_SECONDS = (0.2, 60.0)
"""Between tries at an engine that does not answer, and for how long in all."""

_log = logging.getLogger(__name__)


class Controller:
    """Works until it is told to stop, or has had nothing to do for `idle_seconds` (0: for ever)."""

    def __init__(self, around: Surroundings, *, idle_seconds: float) -> None:
        self._around = around
        self._idle_seconds = idle_seconds
        self._stop = threading.Event()
        self._started = time.time()

    def stop(self) -> None:
        """Ask it to end: what is under way is put back in the queue by the next one."""
        self._stop.set()

    def run(self, lock: Path) -> bool:
        """Work. True: it was idle for long and has ended by itself. Raises SetupError where another one works."""
        with open(lock, "w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise SetupError("another controller of this installation works already") from None
            again = self._around.store.requeue_interrupted()
            if again:
                _log.info("taking up %d interrupted operations", again)
            return self._work()

    def _work(self) -> bool:
        next_look = 0.0
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="operation") as pool:
            while not self._stop.wait(_QUEUE_SECONDS):
                operation = self._around.store.claim()
                if operation is not None:
                    pool.submit(self._do_logged, operation)
                    continue
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + _RECONCILE_SECONDS
                    if self._idle():
                        return True
                    self._reconcile_logged()
        return False

    def _idle(self) -> bool:
        last = self._around.store.last_activity() or self._started
        return bool(self._idle_seconds) and time.time() - max(last, self._started) > self._idle_seconds

    def _do_logged(self, operation: Operation) -> None:
        try:
            self.do(operation)
        except Exception:
            # The thread pool would swallow it: this is a fault of ours, told in the log and in the operation.
            _log.exception("operation %s (%s)", operation.id, operation.kind)
            self._around.store.finish(
                operation.id, OperationState.FAILED, error="labkit failed; the operator's log says why"
            )

    def do(self, operation: Operation) -> None:
        """Do one operation to its end, trying again while the engine does not answer."""
        store = self._around.store
        deadline = time.monotonic() + _RETRY_SECONDS[1]
        _log.info("%s of lab %s begins (%s)", operation.kind, operation.lab, operation.id)
        while True:
            try:
                result = HANDLERS[operation.kind](Work(self._around, operation))
            except Cancelled:
                store.finish(operation.id, OperationState.CANCELLED, error="it was cancelled")
            except ClusterUnavailable as error:
                if time.monotonic() < deadline and not self._stop.wait(_RETRY_SECONDS[0]):
                    continue
                if self._stop.is_set():
                    return
                store.finish(operation.id, OperationState.FAILED, error=str(error))
            except LabkitError as error:
                store.finish(operation.id, OperationState.FAILED, error=str(error))
            else:
                store.finish(operation.id, OperationState.DONE, result=result)
            _log.info("%s of lab %s has ended (%s)", operation.kind, operation.lab, operation.id)
            return

    def _reconcile_logged(self) -> None:
        try:
            self.reconcile()
        except ClusterError as error:
            _log.warning("labs and cluster could not be compared: %s", error)

    def reconcile(self) -> None:
        """Remove labs that should not be (any more), note those that are gone though they should be."""
        store, cluster = self._around.store, self._around.cluster
        seen = time.time()
        observed = {
            item["metadata"]["labels"][names.LAB]
            for item in cluster.select("Namespace", labels={names.INSTALLATION: store.installation()})
        }
        desired = store.labs()
        busy = {lab for lab in {row.id for row in desired} | observed if _busy(self._around, lab)}
        actions = plan(desired, observed, busy, seen=seen)
        if actions.refused:
            _log.error("%s", actions.refused)
            store.audit("controller", "refused to retire", actions.refused)
        for lab in actions.retire:
            _log.warning("removing lab %s, which should not be", lab)
            store.audit("controller", "retire", lab)
            cluster.delete("Namespace", None, names.namespace_of(lab))
        for lab in actions.lost:
            _log.warning("lab %s is gone from the cluster", lab)
            store.lab_lost(lab)
            store.lab_ended(lab)
        for row in desired:
            if row.id not in busy and row.id not in actions.lost and self._too_old(row, seen):
                _log.info("lab %s has reached its template's greatest age", row.id)
                store.audit("controller", "end of lifetime", row.id)
                store.want(row.id, "ended")
                store.queue(row.id, OperationKind.STOP)

    def _too_old(self, row: LabRow, now: float) -> bool:
        try:
            longest = self._around.templates.load(row.template).lifetime.max_seconds
        except (NotFound, Invalid):
            return False  # its template was taken away: whoever did that may stop it
        return longest is not None and row.ready is not None and now - row.ready > longest


def _busy(around: Surroundings, lab: str) -> bool:
    latest = around.store.latest_operation(lab)
    return latest is not None and not latest.state.final
