"""One HTTP request to a machine over a stream, with h11: bodies in pieces both ways, one request a connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import h11
from websockets.exceptions import ConnectionClosed

from labkit.cluster.portforward import Stream
from labkit.errors import ClusterUnavailable
from labkit.gateway.forwarding import Fields

ANSWER_SECONDS = 120.0
"""From the request to the answer's headers."""
_MAX_HEADERS = 64 * 1024


@dataclass(frozen=True)
class Exchanged:
    """An answer: `pieces` ends the connection when it is closed."""

    status: int
    fields: Fields
    pieces: AsyncGenerator[bytes, None]


class Counts(Protocol):
    """What counts the bytes of both ways, and says how many seconds nothing more should be read."""

    def sent_up(self, size: int) -> float: ...

    def sent_down(self, data: bytes) -> float: ...


class Exchange:
    """One request and its answer on a stream that is used for nothing else."""

    def __init__(self, outer: Stream, tunnel: Counts) -> None:
        self._outer = outer
        self._tunnel = tunnel
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEADERS)
        self._sending: asyncio.Task[None] | None = None

    async def run(self, method: str, target: str, fields: Fields, body: AsyncIterator[bytes] | None) -> Exchanged:
        """Ask, and give what has come once the headers have. Raises ClusterUnavailable."""
        chunked = body is not None and not any(name.lower() == "content-length" for name, _ in fields)
        framing = [("Connection", "close"), *([("Transfer-Encoding", "chunked")] if chunked else [])]
        head = self._h11.send(h11.Request(method=method, target=target, headers=[*fields, *framing]))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._outer.send(head or b"")
                self._sending = asyncio.create_task(self._send(body))
                answer = await self._head()
        except (OSError, ConnectionClosed, h11.RemoteProtocolError) as error:
            self.close()
            raise ClusterUnavailable("the machine's server did not answer") from error
        except BaseException:
            self.close()
            raise
        fields = [(name.decode("ascii"), value.decode("latin-1")) for name, value in answer.headers.raw_items()]
        return Exchanged(answer.status_code, fields, self._pieces())

    async def _send(self, body: AsyncIterator[bytes] | None) -> None:
        # An answer may come, and the connection end, before the whole body is sent: the answer says why.
        with contextlib.suppress(OSError, ConnectionClosed, h11.ProtocolError):
            if body is not None:
                async for piece in body:
                    await self._outer.send(self._h11.send(h11.Data(data=piece)) or b"")
                    if wait := self._tunnel.sent_up(len(piece)):
                        await asyncio.sleep(wait)
            if end := self._h11.send(h11.EndOfMessage()):
                await self._outer.send(end)

    async def _head(self) -> h11.Response:
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                names = [name for name, _ in event.headers]
                if b"transfer-encoding" in names and b"content-length" in names:
                    raise h11.RemoteProtocolError("an answer framed in two ways")
                return event
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise h11.RemoteProtocolError("no answer")

    async def _event(self) -> object:
        while (event := self._h11.next_event()) is h11.NEED_DATA:
            try:
                data = await self._outer.recv()
            except (ConnectionError, ConnectionClosed):
                data = b""
            if isinstance(data, bytes):
                self._h11.receive_data(data)
        return event

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        try:
            while isinstance(event := await self._event(), h11.Data):
                data = bytes(event.data)
                wait = self._tunnel.sent_down(data)
                yield data
                if wait:
                    await asyncio.sleep(wait)
            if not isinstance(event, h11.EndOfMessage):
                raise ConnectionResetError("the machine's server broke off")
        except h11.RemoteProtocolError as error:
            raise ConnectionResetError("the machine's server broke off") from error
        finally:
            self.close()

    def close(self) -> None:
        """End the connection."""
        if self._sending is not None:
            self._sending.cancel()
        self._outer.transport.abort()
