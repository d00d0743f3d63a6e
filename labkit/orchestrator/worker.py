"""The controller: does the operations in the queue, and has labs and cluster brought together. One acts at a time.

Two locks hold that: a file lock among the processes of one state folder, and a Lease in the cluster among all others.
"""

from __future__ import annotations

import fcntl
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labkit.cluster.lease import Lease
from labkit.errors import ClusterError, ClusterUnavailable, LabkitError, SetupError
from labkit.model import Operation, OperationKind, OperationState
from labkit.orchestrator.kinds import perform
from labkit.orchestrator.reconciler import Reconciler
from labkit.orchestrator.work import Cancelled, Interrupted, Surroundings, Work

WORKERS = 8
_QUEUE_SECONDS = 0.05
_CHORE_SECONDS = 5.0
_RETRY_SECONDS = 0.2
_RETRY_SILENCES = 2.0
"""For how long an operation tries an engine that does not answer, in times for which one request waits."""
_STEADY_SECONDS = 5.0
"""An engine that has answered for as long, longer than a request waits, was there: its next absence is a new one."""
_DAY = 86400.0

_log = logging.getLogger(__name__)


class Controller:
    """Works until it is told to stop, or has had nothing to do for `idle_seconds` (0: for ever).

    `purge` is called once a day with the time, to delete what has been kept for long enough.
    """

    def __init__(
        self, around: Surroundings, lease: Lease, *, idle_seconds: float, purge: Callable[[float], None]
    ) -> None:
        self._reconciler = Reconciler(around, self._alert)
        self._around = replace(around, watched=self._reconciler.watches)
        self._lease, self._purge, self._next_purge = lease, purge, 0.0
        self._idle_seconds = idle_seconds
        self._stop = around.stopping
        self._started = time.time()
        self._deposed = ""
        self._steady = _STEADY_SECONDS + around.cluster.silence

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
            self._check_engine()
            if not self._lease.acquire(self._stop, lambda why: _log.info("waiting for the lease: %s", why)):
                return False
            try:
                return self._lead()
            finally:
                self._stop.set()
                self._lease.release()

    def _lead(self) -> bool:
        threading.Thread(target=self._lease.keep, args=(self._stop, self._depose), name="lease", daemon=True).start()
        self._reconciler.watches.begin(self._stop)
        again = self._around.store.requeue_interrupted()
        if again:
            _log.info("taking up %d interrupted operations", again)
        idle = self._work()
        if self._deposed:
            raise SetupError(self._deposed)
        return idle

    def _depose(self, why: str) -> None:
        _log.error("%s: this controller ends", why)
        self._deposed = why
        self._stop.set()

    def _check_engine(self) -> None:
        """Raises SetupError where labs run on another engine: to this one they would look lost, and be written off."""
        while not self._stop.is_set():
            try:
                if self._around.store.belongs_to(self._around.cluster.identity()):
                    return
            except ClusterUnavailable:
                self._stop.wait(_RETRY_SECONDS)
            else:
                raise SetupError(
                    "there are labs on another engine (LABKIT_KUBECONFIG was another): end them there first, or give "
                    "this engine a state folder of its own with LABKIT_STATE_DIR"
                )

    def _work(self) -> bool:
        next_chore = 0.0
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="operation") as pool:
            while not self._stop.wait(_QUEUE_SECONDS):
                operation = self._around.store.claim()
                if operation is not None:
                    pool.submit(self._do_logged, operation)
                    continue
                self._reconciler.turn()
                if time.monotonic() >= next_chore:
                    next_chore = time.monotonic() + _CHORE_SECONDS
                    if self._idle():
                        return True
                    self._purge_daily(time.time())
        return False

    def _purge_daily(self, now: float) -> None:
        if now >= self._next_purge:
            self._next_purge = now + _DAY
            self._purge(now)

    def _alert(self, text: str) -> None:
        """Tell the operator: in the log, and as an Event beside the Lease, for whoever watches the cluster."""
        _log.error("%s", text)
        namespace, name = self._lease.place
        about = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "namespace": namespace, "name": name}
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{name}-", "namespace": namespace},
            "involvedObject": about,
            "type": "Warning",
            "reason": "WaitsForApproval",
            "message": text[:1024],
            "source": {"component": "labkit-controller"},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._around.cluster.create(event)
        except ClusterError as error:
            _log.warning("the event could not be written: %s", error)

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
        finally:
            self._reconciler.touch(operation.lab)

    def do(self, operation: Operation) -> None:
        """Do one operation to its end, trying again while the engine does not answer."""
        _log.info("%s of lab %s begins (%s)", operation.kind, operation.lab, operation.id)
        away_since, failing = 0.0, ""
        while True:
            begun = time.monotonic()
            try:
                result = perform(Work(self._around, operation))
            except Interrupted:
                return  # it stays under way in the store: the next controller takes it up
            except ClusterUnavailable as error:
                if failing != error.request or not away_since or time.monotonic() - begun > self._steady:
                    away_since, failing = time.monotonic(), error.request
                left = away_since + _RETRY_SILENCES * self._around.cluster.silence - time.monotonic()
                if self._stop.is_set():
                    return  # as Interrupted
                if left > 0:
                    self._stop.wait(min(max(_RETRY_SECONDS, error.retry_after), left))
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
