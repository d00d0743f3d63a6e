"""A byte stream to a machine's port or into a container: straight where the gateway runs in the cluster, else through
the engine's portforward. The address is the one that the engine has just said, never one of a request's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import TypeVar, cast

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from labkit.cluster.portforward import Stream, connect_port, connect_stream
from labkit.errors import ClusterError, ClusterUnavailable
from labkit.gateway.engine import Engine
from labkit.gateway.execs import SHELL, ExecStream
from labkit.gateway.machines import MachinePane
from labkit.gateway.routes import PanePath
from labkit.gateway.upstream import OPEN_SECONDS

_QUEUE = 16
_T = TypeVar("_T")
_READ_SIZE = 64 * 1024


class TcpStream:
    """A TCP connection as a `Stream`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def transport(self) -> asyncio.Transport:
        """The connection's own."""
        return cast(asyncio.Transport, self._writer.transport)

    async def recv(self) -> bytes:
        """Some bytes. Raises ConnectionError at the end."""
        if data := await self._reader.read(_READ_SIZE):
            return data
        raise ConnectionResetError("the machine has closed the connection")

    async def send(self, message: bytes) -> None:
        """Send all of it, once there is room."""
        self._writer.write(message)
        await self._writer.drain()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield await self.recv()


class Dial:
    """Opens streams to machines. `inside` says that the gateway runs in the cluster, where pods are reached."""

    def __init__(self, engine: Engine, *, inside: bool = False) -> None:
        self._engine = engine
        self._inside = inside

    async def port(self, path: PanePath, pane: MachinePane, port: int) -> Stream:
        """A TCP port of the pane's machine.

        Raises ClusterUnavailable where nothing answers there (yet), ClusterError where the engine refuses.
        """
        if self._inside and pane.address:
            return await _opened(self._straight(pane.address, port))
        target = await self._engine.port(path.lab, path.machine, port, container=pane.container)
        return await _opened(connect_port(target, None, queue=_QUEUE))

    async def shell(self, path: PanePath) -> Stream:
        """A shell in a container. Raises what `port` raises."""
        target = await self._engine.shell(path.lab, path.machine, SHELL)
        return ExecStream(await _opened(connect_stream(target, None, queue=_QUEUE)))

    async def _straight(self, address: str, port: int) -> Stream:
        return TcpStream(*await asyncio.open_connection(address, port, limit=_READ_SIZE))


async def _opened(opening: Awaitable[_T]) -> _T:
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            return await opening
    except InvalidStatus as error:
        status = error.response.status_code
        kind = ClusterError if status in (401, 403, 404) else ClusterUnavailable
        raise kind("nothing answers on the machine's port", status=status) from error
    except (OSError, InvalidHandshake, ConnectionClosed) as error:  # TimeoutError is an OSError
        raise ClusterUnavailable("nothing answers on the machine's port") from error
