"""A byte stream to a machine's port through the engine, for programs that wait for their bytes.

One WebSocket of a `portforward` (KubeVirt's for a VM, a pod's for a container) is dressed as a socket: as much of one
as a program with a thread for each direction uses. The WebSocket itself lives on an event loop in a thread of this
module's: a TLS connection must not be read and written by two threads at once. There is no half-close: either end's
close ends both directions, as KubeVirt has it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
from collections.abc import AsyncIterator, Coroutine
from types import TracebackType
from typing import Any, Protocol, TypeVar

from kubernetes import client
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from labkit.cluster.refusals import refusal
from labkit.cluster.streams import CHANNELS, StreamTarget, pod_port_target, stream_target
from labkit.errors import ClusterUnavailable

_QUEUE = (256, 64)
"""Messages kept unread. Reading (and with it answering the engine's pings) stops at the first number and goes on at
the second: high, since an engine drops a stream that answers no ping for a minute, and bounded all the same."""

_MAX_MESSAGE = 16 * 2**20
_CLOSE_SECONDS = 1.0
_T = TypeVar("_T")


class Stream(Protocol):
    """Bytes in messages both ways. Raises ConnectionClosed, or ConnectionError with the reason, at the end."""

    @property
    def transport(self) -> asyncio.Transport: ...

    async def recv(self) -> str | bytes: ...

    async def send(self, message: bytes) -> None: ...

    def __aiter__(self) -> AsyncIterator[str | bytes]: ...


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """The event loop on which all streams of this process live."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="portforward", daemon=True).start()
    return loop


def soon(coroutine: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
    """What a coroutine will give, run beside the streams."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop())


def finished(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """What a coroutine gives, run beside the streams; for callers that wait."""
    return soon(coroutine).result()


class PortForward:
    """A stream of bytes to one port of one machine. Made by open_port(); to be closed by whoever asked for it.

    The engine's pings are answered by the event loop, also when nobody reads.
    """

    def __init__(self, connection: Stream) -> None:
        self._connection = connection
        self._timeout: float | None = None
        self._unread = b""
        self._coming: concurrent.futures.Future[str | bytes] | None = None
        self._closed = False

    def settimeout(self, timeout: float | None) -> None:
        """How many seconds recv() may wait; None means for ever."""
        self._timeout = timeout

    def recv(self, size: int) -> bytes:
        """At least one and at most `size` bytes; b"" at the end. Raises TimeoutError after settimeout()'s seconds."""
        if not self._unread:
            self._unread = self._next()
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def _next(self) -> bytes:
        while True:
            # What was asked for before a time-out is still on its way: asking anew would lose it.
            if self._coming is None:
                self._coming = soon(self._connection.recv())
            try:
                message = self._coming.result(self._timeout)
            except (ConnectionClosed, ConnectionError):
                return b""
            self._coming = None
            # Text is no part of the stream (KubeVirt drops it too); an empty message is no end.
            if isinstance(message, bytes) and message:
                return message

    def send(self, data: bytes) -> int:
        """Send all of `data`; its length. Waits while the machine does not read. Raises ConnectionError at the end."""
        try:
            soon(self._connection.send(bytes(data))).result()
        except ConnectionClosed as error:
            raise ConnectionResetError("the machine's port was closed") from error
        return len(data)

    def sendall(self, data: bytes) -> None:
        """Send all of `data`."""
        self.send(data)

    def close(self) -> None:
        """End the stream, from any thread, also while another one waits in recv() or send()."""
        if self._closed:
            return
        self._closed = True
        # Not a closing handshake: that would wait for a send() that the machine does not read.
        _loop().call_soon_threadsafe(self._connection.transport.abort)

    def __enter__(self) -> PortForward:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PodPort:
    """A pod's port as a stream: Kubernetes' channels, of which 0 has the bytes and 1 what went wrong.

    The first message of each holds the port's number (two bytes) and nothing else.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._greeted: set[int] = set()

    @property
    def transport(self) -> asyncio.Transport:
        return self._connection.transport

    async def recv(self) -> bytes:
        while True:
            message = await self._connection.recv()
            if not isinstance(message, bytes) or not message:
                continue
            channel, data = message[0], message[1:]
            if channel not in self._greeted:
                self._greeted.add(channel)
            elif channel == 1:
                raise ConnectionRefusedError(data.decode(errors="replace"))
            elif channel == 0:
                return data

    async def send(self, message: bytes) -> None:
        await self._connection.send(b"\0" + message)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield await self.recv()


def open_port(api: client.ApiClient, namespace: str, vmi: str, port: int, timeout: float) -> PortForward:
    """A stream to the TCP port `port` of the machine `vmi`, opened within `timeout` seconds.

    To be asked for only once the machine has reported an address: without one, KubeVirt would dial its own host.
    Raises ClusterUnavailable where another try may do (nothing listens there yet, the engine does not answer), and
    ClusterError with the engine's status otherwise (404 no such machine, 409 paused).
    """
    return _opened(stream_target(api, namespace, vmi, f"portforward/{port}"), f"port {port} of {vmi}", timeout)


def open_pod_port(api: client.ApiClient, namespace: str, pod: str, port: int, timeout: float) -> PortForward:
    """The same for a pod. That nothing listens there shows only as the stream's end, before any byte."""
    return _opened(pod_port_target(api, namespace, pod, port), f"port {port} of {pod}", timeout)


def _opened(target: StreamTarget, called: str, timeout: float) -> PortForward:
    try:
        connection = soon(connect_port(target, timeout, queue=_QUEUE)).result()
    except InvalidStatus as error:
        about = f"{called} cannot be reached: "
        raise refusal(error.response.status_code, bytes(error.response.body or b""), about=about) from error
    except (OSError, InvalidHandshake) as error:
        raise ClusterUnavailable(f"{called} cannot be reached: the engine does not answer") from error
    return PortForward(connection)


async def connect_port(target: StreamTarget, seconds: float | None, *, queue: int | tuple[int, int]) -> Stream:
    """The stream of a portforward, opened within `seconds` (None: the caller sees to that).

    `queue` is how many messages are kept unread (and at how many reading goes on). Raises what `websockets` raises.
    """
    connection = await connect_stream(target, seconds, queue=queue)
    return PodPort(connection) if connection.subprotocol == CHANNELS else connection


async def connect_stream(
    target: StreamTarget, seconds: float | None, *, queue: int | tuple[int, int]
) -> ClientConnection:
    """The bare WebSocket of a target. Raises what `websockets` raises."""
    return await connect(
        target.url,
        ssl=target.tls,
        server_hostname=target.server_hostname,
        additional_headers=target.headers,
        user_agent_header=None,
        subprotocols=[Subprotocol(name) for name in target.protocols],
        compression=None,
        proxy=None,
        open_timeout=seconds,
        close_timeout=_CLOSE_SECONDS,
        ping_interval=None,
        max_size=_MAX_MESSAGE,
        max_queue=queue,
    )
