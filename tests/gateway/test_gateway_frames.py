"""WebSocket frames that no browser sends, in each kind of pane: refused or passed on unread, and no memory for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psutil
import pytest
from gateway_peer import Peer
from test_gateway_streams import stream
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.support.gateway import Gateway, eventually

MEGABYTE = 2**20
MASK = bytes(4)
ENDLESS = b"\x82\xff" + (2**63).to_bytes(8, "big") + MASK
LARGE = b"\x82\xff" + (64 * MEGABYTE).to_bytes(8, "big") + MASK
MALFORMED = {
    "a ping in two pieces": b"\x09\x80" + MASK,
    "a ping of 126 bytes": b"\x89\xfe\x00\x7e" + MASK + bytes(126),
    "reserved bits": b"\xf2\x81" + MASK + b"x",
    "no such opcode": b"\x83\x81" + MASK + b"x",
    "no mask": b"\x82\x01x",
}
OWN = {"vnc": "m", "console": "m", "terminal": "m", "shell": "c"}
"""Panes with streams, and their machines."""


@pytest.fixture
def panes(peer: Peer) -> Peer:
    """A machine and a container, with a pane of each kind."""
    peer.add_container("alab", "c")
    peer.streams["vnc"] = peer.streams["console"]
    return peer


@contextlib.contextmanager
def flat(gateway: Gateway) -> Iterator[None]:
    """The gateway's memory grows by less than 5 MiB."""
    process = psutil.Process(gateway.process.pid)
    before = process.memory_info().rss
    yield
    assert process.memory_info().rss - before < 5 * MEGABYTE


def send(pane: ClientConnection, head: bytes, size: int = 0) -> None:
    """Bytes below the client's own frames: `head`, then `size` zeros, as far as they are taken."""
    with contextlib.suppress(OSError):
        pane.socket.sendall(head)
        for _ in range(size // MEGABYTE):
            pane.socket.sendall(bytes(MEGABYTE))


def ended(pane: ClientConnection) -> bool:
    """Whether a stream has ended, once what it had to say was read."""
    try:
        pane.recv(0)
    except (ConnectionClosed, TimeoutError) as error:
        return isinstance(error, ConnectionClosed)
    return False


def lives(gateway: Gateway) -> bool:
    """Whether other panes work."""
    with stream(gateway, "console") as console:
        return console.recv(5) == b"peer console\r\n"


@pytest.mark.parametrize("pane", OWN)
@pytest.mark.parametrize("head", [ENDLESS, LARGE], ids=["endless", "large"])
def test_a_huge_frame_costs_no_memory(gateway: Gateway, panes: Peer, pane: str, head: bytes) -> None:
    assert lives(gateway)
    with flat(gateway), stream(gateway, pane, machine=OWN[pane]) as opened:
        send(opened, head, 64 * MEGABYTE)
        assert lives(gateway)


@pytest.mark.parametrize("pane", OWN)
@pytest.mark.parametrize("frame", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_frame_ends_its_own_stream(gateway: Gateway, panes: Peer, pane: str, frame: bytes) -> None:
    with stream(gateway, pane, machine=OWN[pane]) as opened:
        send(opened, frame)
        eventually(lambda: ended(opened))
    assert lives(gateway)


def test_a_shell_refuses_what_is_no_frame_with_a_line_in_the_log(gateway: Gateway, panes: Peer) -> None:
    lines = gateway.log.count("no frame")
    with stream(gateway, "shell", machine="c") as opened:
        send(opened, ENDLESS)
        eventually(lambda: gateway.log.count("no frame") == lines + 1)


@pytest.mark.parametrize("frame", [ENDLESS, LARGE, *MALFORMED.values()], ids=["endless", "large", *MALFORMED])
def test_whatever_a_watcher_sends_goes_nowhere(gateway: Gateway, panes: Peer, frame: bytes) -> None:
    with stream(gateway, "console") as learner, stream(gateway, "console", "view") as watcher, flat(gateway):
        learner.recv(5)
        send(watcher, frame, 64 * MEGABYTE if frame in (ENDLESS, LARGE) else 0)
        learner.send(b"still here")
        assert learner.recv(5) == watcher.recv(5) == b"still here"
