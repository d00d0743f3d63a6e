"""`Labs` and, where wanted, a real controller on an engine, in the test's own process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit import app
from labkit.manifests.site import EMBEDDED
from labkit.model import Operation, OperationState, Principal, Role
from labkit.orchestrator.keyring import Keyring
from labkit.orchestrator.labs import DirectLabs
from labkit.settings import load
from tests.support.engine import until

OPERATOR = Principal("local", "olga", name="Olga", role=Role.OPERATOR)


class Service:
    """An installation with a home of its own below `folder`: `labs` is what faces ask. `settings`: its LABKIT_*."""

    def __init__(self, folder: Path, kubeconfig: Path, **settings: str) -> None:
        given = {f"LABKIT_{name.upper()}": value for name, value in settings.items()}
        here = {"LABKIT_KUBECONFIG": str(kubeconfig), "LABKIT_IMAGE_REGISTRY": EMBEDDED}
        self.settings = load({"HOME": str(folder), **here, **given})
        keys = Keyring(self.settings)
        self.around = app.surroundings(self.settings, keys)
        self.store = self.around.store
        self.labs = DirectLabs(self.around, keys)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """A controller works meanwhile."""
        controller = app.controller(self.settings)
        thread = threading.Thread(target=controller.run, args=(self.settings.state_dir / "controller.lock",))
        thread.start()
        try:
            yield
        finally:
            controller.stop()
            thread.join(60)

    def ended(self, operation: Operation, seconds: float = 120) -> Operation:
        """The operation, once it is final."""

        def final() -> Operation | None:
            found = self.labs.operation(OPERATOR, operation.id)
            return found if found.state.final else None

        found = until(final, seconds)
        assert found is not None
        return found

    def do(self, operation: Operation) -> Mapping[str, Any]:
        """The operation's result, once it is done. Fails where it does."""
        found = self.ended(operation)
        assert found.state is OperationState.DONE, found.error
        return found.result or {}
