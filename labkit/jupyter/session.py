"""What the notebook's objects share: `Labs`, who asks, an operation drawn until its end, work that is interrupted."""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

from IPython.display import DisplayHandle, display

from labkit import app
from labkit.cluster.portforward import soon
from labkit.errors import LabkitError
from labkit.jupyter.widgets import StartProgress
from labkit.model import Operation, OperationState, Principal
from labkit.settings import load

T = TypeVar("T")
_TURN_SECONDS = 0.2
_CLEAN_SECONDS = 15.0
"""How long interrupted work may take to put away what it had begun."""


@cache
def _opened() -> app.Labs:
    return app.open_labs(load())


def labs() -> app.Labs:
    """`Labs`, with what is behind them awake."""
    found = _opened()
    app.wake(load())
    return found


def principal() -> Principal:
    """Who asks."""
    return app.local_principal()


def watch(operation: Operation, title: str) -> tuple[Operation, DisplayHandle | None]:
    """Draw an operation's progress until its end: the operation as it ended, and the place where it was drawn (None in
    plain Python, which has none).

    Raises LabkitError where it failed.
    """
    found = labs()
    progress = StartProgress(title)
    place: DisplayHandle | None = display(progress, display_id=True)  # type: ignore[no-untyped-call]
    try:
        for event in app.follow(found, principal(), operation, load()):
            progress.tell(event)
    except KeyboardInterrupt:
        progress.fail("Interrupted here; the work goes on behind the scenes: labkit.labs() shows how far it is.")
        raise
    done = found.operation(principal(), operation.id)
    if done.state is not OperationState.DONE:
        progress.fail(done.error)
        raise LabkitError(f"{operation.kind.value} of lab {operation.lab}: {done.error}")
    progress.done()
    return done, place


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """The result of asynchronous work, done beside the kernel's own loop.

    Interrupted (KeyboardInterrupt), it is cancelled, and has put away what it had begun before this returns.
    """
    ended = threading.Event()

    async def whole() -> T:
        try:
            return await work
        finally:
            ended.set()

    future = soon(whole())
    try:
        while not ended.wait(_TURN_SECONDS):
            pass  # in turns: an interrupt that is no signal of this process ends no wait
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        ended.wait(_CLEAN_SECONDS)
        raise
