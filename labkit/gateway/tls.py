"""TLS towards the engine on a bare connection: `ssl` of the standard library, with its bytes in memory.

The event loop's own TLS has a buffer of 256 KiB for each connection, which costs an idle pane 16 to 30 KiB: here all
connections share one. What a connection held is let go at its end, not when somebody looks for garbage.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from typing import Any, cast

log = logging.getLogger(__name__)

_PIECE = 128 * 1024
_SHARED = memoryview(bytearray(_PIECE))
"""For what was decrypted, until it is handed on: there is one event loop, and nothing waits in between."""


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """A client's end: the protocol of the bare connection, and the transport of `protocol`, which is told of the
    connection once the other side has shown that it is who it should be, and of its end in any case."""

    def __init__(self, context: ssl.SSLContext, server_hostname: str | None, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = context.wrap_bio(self._in, self._out, server_hostname=server_hostname)
        self._protocol = protocol
        self._paused = self._made = self._held = False
        self._bare: asyncio.Transport

    # The bare connection's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._bare = cast(asyncio.Transport, transport)
        self._go_on()

    def data_received(self, data: bytes) -> None:
        self._in.write(data)
        self._go_on()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._tls = None
        self._protocol.connection_lost(error)

    def _go_on(self) -> None:
        """Do what can be done with the bytes that are there."""
        if self._tls is None or self._bare.is_closing():
            return
        try:
            if not self._made:
                self._tls.do_handshake()
                self._made = True
                self._flush()
                self._protocol.connection_made(self)
            self._hand_on(self._tls)
            self._flush()
        except ssl.SSLWantReadError:
            self._flush()
        except ssl.SSLError as error:
            self._fail(error)

    def _hand_on(self, tls: ssl.SSLObject) -> None:
        while not self._paused and not self._bare.is_closing():
            size = self._decrypted(tls)
            if size:
                self._protocol.data_received(bytes(_SHARED[:size]))
            if size < _PIECE:
                break
        if self._held and not self._paused and not self._bare.is_closing():
            self._held = False
            self._bare.resume_reading()  # only now: what is not handed on yet must not grow

    def _decrypted(self, tls: ssl.SSLObject) -> int:
        """How many bytes are in the shared buffer now: less than all of it where there are no more."""
        size = 0
        with contextlib.suppress(ssl.SSLWantReadError):
            while size < _PIECE:
                got = tls.read(_PIECE - size, cast(Any, _SHARED[size:]))
                if not got:
                    self._bare.close()  # the other side has said its last
                    break
                size += int(cast(Any, got))
                if not self._in.pending and not tls.pending():
                    break  # to ask once more would be answered by an exception, the dearest part of a short message
        return size

    def _fail(self, error: ssl.SSLError) -> None:
        log.warning("TLS with the engine failed: %s", error)
        self._flush()  # which tells the other side why
        self._bare.abort()

    def _flush(self) -> None:
        if data := self._out.read():
            self._bare.write(data)

    # The protocol's side

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._tls is None or self._bare.is_closing():
            return
        rest = memoryview(data)
        try:
            while rest:  # a record at a time
                rest = rest[self._tls.write(cast(bytes, rest)) :]
            self._flush()
        except ssl.SSLError as error:
            self._fail(error)

    def pause_reading(self) -> None:
        self._paused = self._held = True
        self._bare.pause_reading()

    def resume_reading(self) -> None:
        self._paused = False
        asyncio.get_running_loop().call_soon(self._go_on)

    def close(self) -> None:
        if self._tls is not None and not self._bare.is_closing():
            with contextlib.suppress(ssl.SSLError):
                self._tls.unwrap()
            self._flush()
        self._bare.close()

    def abort(self) -> None:
        self._bare.abort()

    def is_closing(self) -> bool:
        return self._bare.is_closing()

    def get_write_buffer_size(self) -> int:
        return self._bare.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._bare.set_write_buffer_limits(high, low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._bare.get_extra_info(name, default)
