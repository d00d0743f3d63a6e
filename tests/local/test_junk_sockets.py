"""Junk on every socket: it costs whoever sent it the connection, and nobody else anything."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest

from tests.local.conftest import Guest, boot
from tests.support.cluster import SUBRESOURCES
from tests.support.engine import EngineProcess, namespace, running_engine, until

FIN_BINARY = b"\x82"
MASK = b"\0\0\0\0"


@pytest.fixture(scope="module")
def guest() -> Iterator[Guest]:
    """A booted machine on an engine whose log must stay clean."""
    with running_engine() as engine:
        engine.request("POST", "/api/v1/namespaces", namespace("lab"))
        yield boot(engine, "lab")
        assert "Traceback" not in engine.log.read_text()


@pytest.fixture(autouse=True)
def serves(guest: Guest) -> Iterator[None]:
    """After every test the engine answers quickly, and the machine too."""
    yield
    began = time.monotonic()
    assert guest.engine.request("GET", "/api/v1/namespaces")[0] == 200
    assert time.monotonic() - began < 2
    with guest.engine.stream(guest.space, "web", "portforward/22") as stream:
        assert stream.recv(10).startswith(b"SSH")


def port(engine: EngineProcess) -> int:
    """The engine's port."""
    with engine.api() as api:
        return int(urlsplit(api.configuration.host).port or 0)


def plain(engine: EngineProcess) -> socket.socket:
    """A TCP connection."""
    return socket.create_connection(("127.0.0.1", port(engine)), timeout=20)


def secure(engine: EngineProcess) -> ssl.SSLSocket:
    """A TLS connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain(engine))


def answer(connection: socket.socket) -> bytes:
    """All that comes until the other side is done with us."""
    found = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while part := connection.recv(65536):
            found += part
    return found


def memory(engine: EngineProcess) -> int:
    """Bytes that the engine has in memory."""
    assert engine.process is not None
    return int(psutil.Process(engine.process.pid).memory_info().rss)


@pytest.mark.parametrize(
    "sent", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(1000), b"\0" * 100, b"\x16\x03\x01\xff\xff"]
)
def test_what_is_not_tls_gets_no_answer(guest: Guest, sent: bytes) -> None:
    with plain(guest.engine) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert b"200" not in answer(connection)


@pytest.mark.parametrize(
    "sent",
    [
        os.urandom(1000),
        b"NONSENSE\r\n\r\n",
        b"GET /api HTTP/9.9\r\n\r\n",
        b"GET " + b"/x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /api HTTP/1.1\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST /api HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /api HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api\0 HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_and_cut(guest: Guest, sent: bytes) -> None:
    with secure(guest.engine) as connection:
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # it may be cut before all is sent
            connection.sendall(sent)
        found = answer(connection)
        assert found.split(b" ")[1:2] in ([], [b"400"], [b"401"], [b"431"], [b"505"]), found[:200]


@pytest.mark.parametrize("sent", [b"GET /api HT", b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"])
def test_half_a_request_is_forgotten(guest: Guest, sent: bytes) -> None:
    with secure(guest.engine) as connection:
        connection.sendall(sent)
    assert guest.engine.request("GET", "/readyz")[0] == 200


def test_endless_headers_are_cut_off(guest: Guest) -> None:
    before = memory(guest.engine)
    with secure(guest.engine) as connection:
        connection.sendall(b"GET /api HTTP/1.1\r\n")
        with pytest.raises((ConnectionError, ssl.SSLError, TimeoutError)):
            connection.sendall((b"X-Header: " + b"y" * 4000 + b"\r\n") * 20_000)
    assert memory(guest.engine) - before < 50 * 2**20


def test_connections_that_say_nothing_keep_nobody_out(guest: Guest) -> None:
    with contextlib.ExitStack() as held:
        for make in (plain, secure):
            for _ in range(300):
                held.enter_context(make(guest.engine))
        began = time.monotonic()
        assert guest.engine.request("GET", "/api/v1/namespaces")[0] == 200
        assert time.monotonic() - began < 5


def upgraded(guest: Guest, subresource: str) -> ssl.SSLSocket:
    """The bare connection of a WebSocket after its handshake."""
    path = f"{SUBRESOURCES}/namespaces/{guest.space}/virtualmachineinstances/web/{subresource}"
    if subresource == "exec":
        pod = guest.engine.kubectl("get", "pods", "-n", guest.space, "-o", "name").strip().removeprefix("pod/")
        path = f"/api/v1/namespaces/{guest.space}/pods/{pod}/exec?container=compute&command=cat&stdin=1&stdout=1"
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: x",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        f"Sec-WebSocket-Protocol: {'v5.channel.k8s.io' if subresource == 'exec' else 'plain.kubevirt.io'}",
        f"Authorization: Bearer {guest.engine.token}",
    ]
    connection = secure(guest.engine)
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 101"), head
    return connection


STREAMS = ("console", "vnc", "portforward/22", "exec")


@pytest.mark.parametrize("subresource", STREAMS)
@pytest.mark.parametrize(
    "frames",
    [
        b"\xff" * 100,
        b"\x83\x80" + MASK,
        b"\x82\x05plain",
        b"\x09\xfe\xff\xff" + MASK,
        b"\x80\x81" + MASK + b"x",
        FIN_BINARY + b"\xff" + b"\xff" * 8 + MASK,
        FIN_BINARY + b"\xff" + (2**40).to_bytes(8, "big") + MASK,
        b"\x88\x81" + MASK + b"x",
        b"\x81\x84" + MASK + b"\xff\xfe\xfd\xfc",
    ],
)
def test_junk_frames_harm_nobody(guest: Guest, subresource: str, frames: bytes) -> None:
    with upgraded(guest, subresource) as connection:
        connection.sendall(frames)
        connection.settimeout(1)
        with contextlib.suppress(TimeoutError, ConnectionError, ssl.SSLError):  # half a frame may wait for more
            for _ in range(5):
                connection.recv(65536)


@pytest.mark.parametrize("subresource", STREAMS)
def test_a_frame_as_large_as_anyone_likes_does_not_fill_the_memory(guest: Guest, subresource: str) -> None:
    before = memory(guest.engine)
    with upgraded(guest, subresource) as connection, contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
        connection.settimeout(3)
        connection.sendall(FIN_BINARY + b"\xff" + (2**32).to_bytes(8, "big") + MASK)
        for _ in range(200):
            connection.sendall(b"x" * 2**20)
            assert memory(guest.engine) - before < 100 * 2**20
    assert memory(guest.engine) - before < 100 * 2**20


OWN_JUNK = (b"junk\n", b"{}\n", b'{"op": "dial"}\n', b'{"op"', os.urandom(3000), b"x" * 2**21, b"[" * 100_000 + b"\n")


@pytest.mark.parametrize("sent", OWN_JUNK)
def test_junk_to_a_networks_holder_is_refused(guest: Guest, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(next(guest.engine.runtime.glob("*/control.sock"))))
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
        assert answer(connection)[:9] in (b"", b'{"error":')


def test_junk_that_waits_on_the_monitor_keeps_no_engine_from_taking_the_machine_over(guest: Guest) -> None:
    before = guest.engine.vmi(guest.space, "web")["metadata"]["uid"]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(next(guest.engine.runtime.glob("*/qmp.sock"))))
        connection.sendall(b"junk\n")
    guest.engine.kill()
    guest.engine.start()
    until(lambda: guest.engine.phase(guest.space, "web") == "Running", 20)
    assert guest.engine.vmi(guest.space, "web")["metadata"]["uid"] == before
