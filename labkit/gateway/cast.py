"""What a text pane prints, shown to those who watch it: a fan-out of the one stream that its learner has open.

Watching never opens anything at the machine: KubeVirt would cut the learner off from his console, and a terminal would
be another shell. The bytes are WebSocket frames from the machine, passed on as they are from the beginning of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_LAGGING = 1024 * 1024
"""A watcher with so many bytes unread is cut off: the learner does not wait for it."""
_CLOSE_OPCODE = 8


class Frames:
    """Follows WebSocket frames (RFC 6455, 5.2) in a stream of bytes: where they begin, and whether one closes."""

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self.closing = False

    def feed(self, data: bytes) -> int:
        """Where in `data` a frame begins: the first such place, or -1."""
        first, at = -1, 0
        while at < len(data):
            if self._left:
                skipped = min(self._left, len(data) - at)
                self._left -= skipped
                at += skipped
                continue
            if first < 0 and not self._head:
                first = at
            head = self._head + data[at : at + 14 - len(self._head)]
            size = _header_size(head)
            if size > len(head):
                self._head = head
                break
            at += size - len(self._head)
            self._head = b""
            self.closing = self.closing or head[0] & 0x0F == _CLOSE_OPCODE
            self._left = _payload_size(head)
        return first


def _header_size(head: bytes) -> int:
    if len(head) < 2:
        return 2
    return 2 + {126: 2, 127: 8}.get(head[1] & 0x7F, 0) + (4 if head[1] & 0x80 else 0)


def _payload_size(head: bytes) -> int:
    short = head[1] & 0x7F
    length = {126: head[2:4], 127: head[2:10]}.get(short)
    return short if length is None else int.from_bytes(length, "big")


class Watcher(asyncio.Protocol):
    """A browser that watches: what it sends goes nowhere. `on_end` is called once."""

    def __init__(self, transport: asyncio.Transport, cast: Cast, on_end: Callable[[], None]) -> None:
        self.transport = transport
        self.begun = False
        self._cast = cast
        self._on_end = on_end
        self._frames = Frames()
        cast.join(self)

    def data_received(self, data: bytes) -> None:
        self._frames.feed(data)
        if self._frames.closing:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self._cast.leave(self)
        self._on_end()


class Cast:
    """One stream's watchers."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._watchers: set[Watcher] = set()

    def join(self, watcher: Watcher) -> None:
        """Show what comes to one more, from the next frame on."""
        self._watchers.add(watcher)

    def leave(self, watcher: Watcher) -> None:
        """Show nothing more to it."""
        self._watchers.discard(watcher)

    def feed(self, data: bytes) -> None:
        """Bytes that have come from the machine."""
        first = self._frames.feed(data)
        for watcher in tuple(self._watchers):
            if not watcher.begun and first < 0:
                continue
            watcher.transport.write(data if watcher.begun else data[first:])
            watcher.begun = True
            if watcher.transport.get_write_buffer_size() > _LAGGING:
                watcher.transport.abort()

    def close(self) -> None:
        """The stream has ended, and so has watching it."""
        for watcher in self._watchers:
            watcher.transport.close()
