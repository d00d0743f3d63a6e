"""Connections joined with one to a service, in a Jupyter server: nothing is lost or piles up, and both end together."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from labkit.jupyter.server.joining import beside, connected, join

MIB = 1 << 20


@dataclass
class Joined:
    """The far ends of two joined connections."""

    client: socket.socket
    gateway: socket.socket


@pytest.fixture
def joined(request: pytest.FixtureRequest) -> Iterator[Joined]:
    """A client, of which `early ` (or the parameter) was read before, and a gateway, which said `hello ` unasked."""
    early = getattr(request, "param", b"early ")
    client, handed_over = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def made() -> socket.socket:
            other = await beside(connected(f"http://127.0.0.1:{listener.getsockname()[1]}"))
            gateway, _ = listener.accept()
            assert other.transport is not None
            for end in (gateway, other.transport.get_extra_info("socket")):
                for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # else they grow with what is sent
                    end.setsockopt(socket.SOL_SOCKET, buffer, MIB // 4)
            gateway.sendall(b"hello ")
            await beside(join(handed_over, other, early))
            return gateway

        found = Joined(client, asyncio.run(made()))
        for end in (found.client, found.gateway):
            end.settimeout(20)
        yield found
    found.client.close()
    found.gateway.close()


def read(end: socket.socket, size: int) -> bytes:
    """So many bytes."""
    found = b""
    while len(found) < size:
        piece = end.recv(MIB)
        assert piece, found[-100:]
        found += piece
    return found


def test_what_came_before_they_were_joined_comes_first(joined: Joined) -> None:
    joined.client.sendall(b"late")
    joined.gateway.sendall(b"answer")
    assert read(joined.gateway, 10) == b"early late"
    assert read(joined.client, 12) == b"hello answer"


def test_who_reads_nothing_is_sent_no_more_and_then_gets_all(joined: Joined) -> None:
    taken, piece = 0, bytes(range(256)) * 256
    joined.gateway.settimeout(1)  # nothing moves for so long: it is held up
    with contextlib.suppress(TimeoutError):
        while taken < 64 * MIB:
            taken += joined.gateway.send(piece[taken % len(piece) :])
    assert taken < 4 * MIB
    got = read(joined.client, 6 + taken)
    assert got == b"hello " + (piece * (taken // len(piece) + 1))[:taken]


@pytest.mark.parametrize("joined", [bytes(2 * MIB)], indirect=True, ids=["much was read before"])
def test_who_is_held_up_from_the_beginning_is_not_read_either(joined: Joined) -> None:
    taken, piece = 0, bytes(1 << 10)
    joined.client.settimeout(1)
    with contextlib.suppress(TimeoutError):
        while taken < 64 * MIB:
            taken += joined.client.send(piece)
    assert taken < 4 * MIB
    assert len(read(joined.gateway, 2 * MIB + taken)) == 2 * MIB + taken


@pytest.mark.parametrize("names", [("gateway", "client"), ("client", "gateway")])
def test_the_last_words_of_one_arrive_and_the_other_is_closed_behind_them(
    joined: Joined, names: tuple[str, str]
) -> None:
    one, other = (getattr(joined, name) for name in names)
    words = bytes(range(256)) * 1024
    assert read(joined.gateway, 6) == b"early "  # what is closed with something unread is cut off
    one.sendall(words)
    one.close()
    with other.makefile("rb") as said:
        assert said.read().endswith(words)
