"""A WebSocket for tests that wait: its connection lives on an event loop in a thread of its own.

Not `websockets.sync`: over TLS, a refused handshake there can leave its reading thread waiting for ever on a socket
that the other thread has closed.
"""

from __future__ import annotations

import asyncio
import functools
import json
import threading
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

T = TypeVar("T")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="test streams", daemon=True).start()
    return loop


def _wait(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result()


class Stream:
    """An open WebSocket. What `websockets` raises, its methods raise."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    def recv(self, timeout: float | None = None) -> Any:
        """The next message. Raises TimeoutError after `timeout` seconds."""
        return _wait(self._recv(timeout))

    async def _recv(self, timeout: float | None) -> Any:  # noqa: ASYNC109 - as its synchronous twin
        async with asyncio.timeout(timeout):
            return await self._connection.recv()

    def read_until(self, wanted: bytes, seconds: float = 20) -> bytes:
        """Everything up to the message that brings ``wanted``. Raises TimeoutError after `seconds`."""
        seen, deadline = b"", time.monotonic() + seconds
        while wanted not in seen:
            seen += self.recv(max(0.1, deadline - time.monotonic()))
        return seen

    def send(self, data: str | bytes) -> None:
        """Send one message."""
        _wait(self._connection.send(data))

    def close(self) -> None:
        """Close it."""
        _wait(self._connection.close())

    @property
    def close_code(self) -> int | None:
        """The code with which it was closed, if it is."""
        return self._connection.close_code

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that was echoed."""
        return self._connection.subprotocol

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_stream(url: str, **options: Any) -> Stream:
    """A WebSocket to `url`. Raises InvalidStatus where the handshake is refused."""

    async def opened() -> ClientConnection:
        return await connect(url, proxy=None, **options)

    return Stream(_wait(opened()))


def refusal(opening: Callable[..., Stream], *arguments: Any, **options: Any) -> tuple[int, str]:
    """Status and message of a stream that is refused before the upgrade."""
    with pytest.raises(InvalidStatus) as refused:
        opening(*arguments, **options)
    response = refused.value.response
    return response.status_code, str(json.loads(response.body or b"")["message"])
