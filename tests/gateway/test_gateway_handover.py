"""Connections that another process has accepted and hands to the gateway, which answers as if they had come to it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from http.client import HTTPResponse

import pytest
from gateway_peer import Peer
from websockets.frames import Frame, Opcode

from labkit.gateway.handover import MOST, beside, hand_over
from tests.support.gateway import Gateway, eventually

PAGE = "/panes/alab/m/console/"
HEAD = f"GET {PAGE} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A client's end of a TCP connection, and the one to be handed over."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=20)
        accepted, _ = listener.accept()
    with client, accepted:
        yield client, accepted


def way(gateway: Gateway) -> socket.socket:
    """A connection on which something can be handed over."""
    found = socket.socket(socket.AF_UNIX)
    found.connect(str(beside(gateway.socket)))
    return found


def answer(client: socket.socket) -> tuple[int, bytes]:
    """The next answer on a connection."""
    with contextlib.closing(HTTPResponse(client)) as found:
        found.begin()
        return found.status, found.read()


def test_what_was_read_of_it_comes_first_and_the_connection_goes_on(
    gateway: Gateway, peer: Peer, ends: tuple[socket.socket, socket.socket]
) -> None:
    client, accepted = ends
    hand_over(way(gateway), accepted, HEAD[:30])
    client.sendall(HEAD[30:])
    page = gateway.get(PAGE)[2]
    assert answer(client) == (200, page)
    client.sendall(HEAD)
    assert answer(client) == (200, page)


def test_a_stream_is_opened_on_it(gateway: Gateway, peer: Peer, ends: tuple[socket.socket, socket.socket]) -> None:
    client, accepted = ends
    head = f"GET {PAGE}stream HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\nOrigin: http://127.0.0.1:{gateway.port}\r\n"
    head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    head += f"Sec-WebSocket-Key: {'A' * 22}==\r\n"
    head += f"Sec-WebSocket-Protocol: plain.kubevirt.io, labkit.ticket.{gateway.ticket()}\r\n\r\n"
    typed = Frame(Opcode.BINARY, b"typed at once").serialize(mask=True)
    hand_over(way(gateway), accepted, head.encode() + typed)
    with client.makefile("rb") as said:
        assert said.readline().startswith(b"HTTP/1.1 101 ")
        while said.readline().strip():
            pass
        for words in (b"peer console\r\n", b"typed at once"):
            assert said.read(2 + len(words))[2:] == words


def test_a_long_beginning_arrives_whole(
    gateway: Gateway, peer: Peer, ends: tuple[socket.socket, socket.socket]
) -> None:
    client, accepted = ends
    size = MOST - 4096
    head = f"POST {PAGE}code HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
    hand_over(way(gateway), accepted, head + bytes(size) + HEAD)
    assert answer(client)[0] == 403
    assert client.recv(1) == b""  # what nobody wanted is no next request


def test_one_of_which_too_much_was_read_is_closed(
    gateway: Gateway, peer: Peer, ends: tuple[socket.socket, socket.socket]
) -> None:
    client, accepted = ends
    with contextlib.suppress(OSError):  # nobody waits for its end
        hand_over(way(gateway), accepted, HEAD + bytes(MOST))
    assert client.recv(1) == b""
    assert gateway.get(PAGE)[0] == 200


def test_who_hands_over_nothing_holds_up_nobody_and_what_is_no_connection_is_not_kept(
    gateway: Gateway, peer: Peer, ends: tuple[socket.socket, socket.socket]
) -> None:
    client, accepted = ends
    before = gateway.log
    with way(gateway), way(gateway):  # they say nothing
        hand_over(way(gateway), accepted, HEAD)
        assert answer(client)[0] == 200
    ours, theirs = os.pipe()
    with way(gateway) as giving:
        socket.send_fds(giving, [HEAD], [theirs])
        os.close(theirs)
    with open(ours, "rb") as pipe:
        assert pipe.read() == b""  # until nobody holds its other end
    eventually(lambda: gateway.log.removeprefix(before).count("not handed over whole") == 3)


def test_only_its_owner_reaches_it(gateway: Gateway) -> None:
    assert beside(gateway.socket).stat().st_mode & 0o777 == 0o600
