"""The controller: does the operations in the queue, and brings labs and cluster together. One for an installation."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from labkit.errors import ClusterError, ClusterUnavailable, LabkitError, SetupError
from labkit.manifests import names
from labkit.model import Operation, OperationKind, OperationState
from labkit.orchestrator import tending
from labkit.orchestrator.kinds import perform
from labkit.orchestrator.operations import Cancelled, Interrupted, Surroundings, Work
from labkit.orchestrator.plan import plan

WORKERS = 8
_QUEUE_SECONDS = 0.05
_RECONCILE_SECONDS = 5.0
_RETRY_SECONDS = (0.2, 60.0)
"""Between tries at an engine that does not answer, and for how long in all."""
_STEADY_SECONDS = 5.0
"""An engine that has answered for as long was there: its next absence is a new one."""

_log = logging.getLogger(__name__)


class Controller:
    """Works until it is told to stop, or has had nothing to do for `idle_seconds` (0: for ever)."""

    def __init__(self, around: Surroundings, *, idle_seconds: float) -> None:
        self._around = around
        self._idle_seconds = idle_seconds
        self._stop = around.stopping
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

    def _check_engine(self) -> None:
        """Raises SetupError where labs run on another engine: to this one they would look lost, and be written off."""
        while not self._stop.is_set():
            try:
                if self._around.store.belongs_to(self._around.cluster.identity()):
                    return
            except ClusterUnavailable:
                self._stop.wait(_RETRY_SECONDS[0])
            else:
                raise SetupError(
                    "there are labs on another engine (LABKIT_KUBECONFIG was another): end them there first, or give "
                    "this engine a state folder of its own with LABKIT_STATE_DIR"
                )

    def _work(self) -> bool:
        self._check_engine()
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
                    self._tend(time.time())
        return False

    def _tend(self, now: float) -> None:
        """What is due by the clock alone: the cluster is not asked."""
        tending.end(self._around, tending.ends(self._around, now))
        tending.tend_spares(self._around, now)
        tending.give_room(self._around, now)

    def _idle(self) -> bool:
        last = self._around.store.last_activity() or self._started
        return bool(self._idle_seconds) and time.time() - max(last, self._started) > self._idle_seconds

    def _do_logged(self, operation: Operation) -> None:
        try:
            self.do(operation)
        except Exception:
            # The thread pool would swallow it: this is a fault of ours, told in the log and in the operation.
            _log.exception("operation %s (%s)", operation.id, operation.kind)
            self._end(operation, OperationState.FAILED, error="labkit failed; the operator's log says why")

    def do(self, operation: Operation) -> None:
        """Do one operation to its end, trying again while the engine does not answer."""
        _log.info("%s of lab %s begins (%s)", operation.kind, operation.lab, operation.id)
        away_since: float | None = None
        while True:
            begun = time.monotonic()
            try:
                result = perform(Work(self._around, operation))
            except Interrupted:
                return  # it stays under way in the store: the next controller takes it up
            except ClusterUnavailable as error:
                if away_since is None or begun - away_since < _STEADY_SECONDS < time.monotonic() - begun:
                    away_since = time.monotonic()
                if time.monotonic() - away_since < _RETRY_SECONDS[1]:
                    self._stop.wait(_RETRY_SECONDS[0])
                    continue
                self._end(operation, OperationState.FAILED, error=str(error))
            except Cancelled as error:
                self._end(operation, OperationState.CANCELLED, error=str(error))
            except LabkitError as error:
                self._end(operation, OperationState.FAILED, error=str(error))
            else:
                self._end(operation, OperationState.DONE, result=result)
            return

    def _end(
        self, operation: Operation, state: OperationState, *, result: Mapping[str, Any] | None = None, error: str = ""
    ) -> None:
        """Write an operation's end down. A lab whose start has failed is not left half made: it is stopped."""
        store = self._around.store
        store.finish(operation.id, state, result=result, error=error)
        _log.info("%s of lab %s: %s %s", operation.kind, operation.lab, state, error)
        row = store.lab(operation.lab)
        if state is OperationState.FAILED and operation.kind is OperationKind.START and row and row.ended is None:
            store.lab_failed(operation.lab, error)
            store.want(operation.lab, "ended")

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
            item["metadata"]["labels"].get(names.LAB, "")
            for item in cluster.select("Namespace", labels={names.INSTALLATION: store.installation()})
        }
        observed.discard("")
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
            if row.id in busy or row.id in actions.lost:
                continue
            if row.wanted == "ended":
                store.queue(row.id, OperationKind.STOP)  # whoever wanted that was killed, or the engine was away


def _busy(around: Surroundings, lab: str) -> bool:
    latest = around.store.latest_operation(lab)
    return latest is not None and not latest.state.final
