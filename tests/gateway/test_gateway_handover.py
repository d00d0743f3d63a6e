"""Connections that another process has accepted and hands to the gateway, which answers as if they had come to it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest
from gateway_peer import Peer
from websockets.frames import Frame, Opcode

from labkit.gateway.handover import MOST, beside, hand_over
from tests.support.gateway import Gateway, eventually, gateway_process

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
    with contextlib.ExitStack() as unless_connected:
        found = unless_connected.enter_context(socket.socket(socket.AF_UNIX))
        found.connect(str(beside(gateway.socket)))
        unless_connected.pop_all()
    return found


def give(gateway: Gateway, accepted: socket.socket, beginning: bytes) -> None:
    """Hand a connection over."""
    giving = way(gateway)
    giving.setblocking(False)
    asyncio.run(hand_over(giving, accepted, beginning))


def answer(client: socket.socket) -> tuple[int, bytes]:
    """The next answer on a connection."""
    with contextlib.closing(HTTPResponse(client)) as found:
        found.begin()
        return found.status, found.read()


def test_what_was_read_of_it_comes_first_and_the_connection_goes_on(
    gateway: Gateway, peer: Peer, ends: tuple[socket.socket, socket.socket]
) -> None:
    client, accepted = ends
    give(gateway, accepted, HEAD[:30])
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
    give(gateway, accepted, head.encode() + typed)
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
    give(gateway, accepted, head + bytes(size) + HEAD)
    assert answer(client)[0] == 403
    assert client.recv(1) == b""  # what nobody wanted is no next request


def test_what_nobody_takes_stays_open_with_who_gave_it(ends: tuple[socket.socket, socket.socket]) -> None:
    client, accepted = ends
    giving, taking = socket.socketpair()
    taking.close()
    with giving:
        giving.setblocking(False)
        with pytest.raises(BrokenPipeError):
            asyncio.run(hand_over(giving, accepted, HEAD))
    accepted.sendall(b"still here")
    assert client.recv(10) == b"still here"


def complaints(gateway: Gateway) -> int:
    """How often it has said that something was not handed over as it should be."""
    return gateway.log.count("not handed over whole")


def test_one_of_which_too_much_was_read_is_closed(
    gateway: Gateway, peer: Peer, ends: tuple[socket.socket, socket.socket]
) -> None:
    client, accepted = ends
    before = complaints(gateway)
    with contextlib.suppress(OSError), accepted:  # nobody waits for its end
        give(gateway, accepted, HEAD + bytes(MOST))
    assert client.recv(1) == b""
    eventually(lambda: complaints(gateway) == before + 1)


def test_many_who_hand_over_nothing_hold_up_nobody_and_are_given_up(
    gateway: Gateway, peer: Peer, ends: tuple[socket.socket, socket.socket]
) -> None:
    client, accepted = ends
    before = complaints(gateway)
    with contextlib.ExitStack() as silent:
        for _ in range(40):
            silent.enter_context(way(gateway))
        give(gateway, accepted, HEAD)
        assert answer(client)[0] == 200
        eventually(lambda: complaints(gateway) == before + 40, 20)
        assert gateway.log.count("its beginning did not come in time") >= 40


def test_what_is_no_connection_is_not_kept(gateway: Gateway) -> None:
    ours, theirs = os.pipe()
    with way(gateway) as giving:
        socket.send_fds(giving, [HEAD], [theirs])
        os.close(theirs)
    with open(ours, "rb") as pipe:
        assert pipe.read() == b""  # until nobody holds its other end


def test_one_that_ends_takes_nothing_any_more_though_an_answer_is_under_way(running_peer: Peer, tmp_path: Path) -> None:
    kubeconfig = running_peer.kubeconfig(tmp_path / "kubeconfig")
    mute = socket.create_server(("127.0.0.1", 0))
    mute.settimeout(20)
    port = f":{mute.getsockname()[1]}"
    kubeconfig.write_text(kubeconfig.read_text().replace(f":{running_peer.port}", port))
    with gateway_process(tmp_path, kubeconfig) as ending, socket.create_connection(("127.0.0.1", ending.port)) as asks:
        head = f"GET {PAGE}state HTTP/1.1\r\nHost: 127.0.0.1:{ending.port}\r\nLabkit-Ticket: {ending.ticket()}\r\n\r\n"
        asks.sendall(head.encode())
        with mute, mute.accept()[0]:  # the gateway asks the engine, which says nothing
            ending.process.terminate()
            eventually(lambda: refused(ending))


def refused(gateway: Gateway) -> bool:
    """Whether it is still there, and listens no more."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.setblocking(False)
        return asking.connect_ex(str(beside(gateway.socket))) == errno.ECONNREFUSED


def test_only_its_owner_reaches_it(gateway: Gateway) -> None:
    assert beside(gateway.socket).stat().st_mode & 0o777 == 0o600
