"""`Labs` and a controller on an engine, in the test's own process: operations are done when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from labkit.app import surroundings
from labkit.model import Operation, OperationState, Principal, Role
from labkit.orchestrator.keyring import Keyring
from labkit.orchestrator.labs import DirectLabs
from labkit.orchestrator.lifetimes import Limits
from labkit.orchestrator.worker import Controller
from labkit.settings import load
from tests.support.engine import EngineProcess

OPERATOR = Principal("local", "olga", name="Olga", role=Role.OPERATOR)


class Service:
    """`labs` is what faces ask; `controller` does what they asked for."""

    def __init__(self, folder: Path, kubeconfig: Path, limits: Limits) -> None:
        settings = load({"HOME": str(folder), "LABKIT_KUBECONFIG": str(kubeconfig)})
        keys = Keyring(settings)
        self.around = replace(surroundings(settings, keys), limits=limits)
        self.store = self.around.store
        self.labs = DirectLabs(self.around, keys)
        self.controller = Controller(self.around, idle_seconds=0)

    def work(self) -> list[Operation]:
        """Do all that waits in the queue, one after the other; how it ended."""
        done = []
        while operation := self.store.claim():
            self.controller.do(operation)
            done.append(self.labs.operation(OPERATOR, operation.id))
        return done

    def do(self, operation: Operation) -> Mapping[str, Any]:
        """Do what waits; the operation's result. Fails where it does."""
        self.work()
        found = self.labs.operation(OPERATOR, operation.id)
        assert found.state is OperationState.DONE, found.error
        return found.result or {}

    @contextmanager
    def at_work(self) -> Iterator[threading.Thread]:
        """Do what waits in a thread of its own, meanwhile."""
        thread = threading.Thread(target=self.work)
        thread.start()
        yield thread
        thread.join(120)
        assert not thread.is_alive()


@contextmanager
def service_on(engine: EngineProcess, folder: Path, limits: Limits = Limits()) -> Iterator[Service]:  # noqa: B008
    """A service with a home of its own below `folder`."""
    found = Service(folder, engine.kubeconfig, limits)
    yield found
    found.store.close()  # type: ignore[attr-defined]
