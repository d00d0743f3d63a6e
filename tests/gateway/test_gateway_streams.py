"""The streams: spliced bytes, back-pressure, a terminal within a portforward, and how each of them ends."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

import psutil
import pytest
from gateway_peer import Peer, echo
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from labkit.gateway.cast import Frames
from tests.support.gateway import Gateway, eventually

MEGABYTE = 2**20


def stream(gateway: Gateway, pane: str, mode: str = "control", machine: str = "m", **options: Any) -> ClientConnection:
    """A pane's stream, opened with a good ticket over the private socket, from behind a proxy of any name."""
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(gateway.socket))
    return connect(
        f"ws://hub.example/panes/alab/{machine}/{pane}/stream",
        sock=sock,
        origin=Origin("http://hub.example"),
        subprotocols=[
            Subprotocol("tty" if pane in ("terminal", "shell") else "plain.kubevirt.io"),
            Subprotocol(f"labkit.ticket.{gateway.ticket(mode=mode)}"),
        ],
        max_size=None,
        close_timeout=0.2,
        compression=options.pop("compression", None),
        **options,
    ).__enter__()


def say_in_terminal(terminal: ClientConnection, text: str, until: bytes) -> bytes:
    """Type `text`, and read until the terminal has printed `until`."""
    terminal.send(b"0" + text.encode())
    printed = b""
    while until not in printed:
        message = terminal.recv(10)
        assert isinstance(message, bytes)
        printed += message[1:] if message[:1] == b"0" else b""
    return printed


def test_bytes_pass_a_console_unchanged_in_both_directions(gateway: Gateway, peer: Peer) -> None:
    payload = bytes(range(256)) * 8 * 1024
    with stream(gateway, "console") as console:
        assert console.recv(5) == b"peer console\r\n"
        console.send(payload)
        assert console.recv(20) == payload


def test_what_the_machine_says_in_the_first_packet_is_not_lost(gateway: Gateway, peer: Peer) -> None:
    async def talkative(connection: ServerConnection) -> None:
        for number in range(200):
            await connection.send(f"{number};")
        await connection.wait_closed()

    peer.streams["vnc"] = talkative
    with stream(gateway, "vnc") as vnc:
        assert [vnc.recv(5) for _ in range(200)] == [f"{number};" for number in range(200)]


def test_a_reader_that_stops_costs_no_memory_and_gets_all_when_it_goes_on(gateway: Gateway, peer: Peer) -> None:
    total, chunk, sent = 160 * MEGABYTE, b"\0" * MEGABYTE, []

    async def flood(connection: ServerConnection) -> None:
        for _ in range(total // len(chunk)):
            await connection.send(chunk)
            sent.append(len(chunk))
        await connection.wait_closed()

    peer.streams["vnc"] = flood
    process = psutil.Process(gateway.process.pid)
    before = process.memory_info().rss
    with stream(gateway, "vnc", max_queue=2) as vnc:
        stalled_at = eventually(lambda: _unchanged(sent), 20)
        assert stalled_at * MEGABYTE < total / 2
        assert process.memory_info().rss - before < 8 * MEGABYTE
        received = sum(len(vnc.recv(10)) for _ in range(total // len(chunk)))
    assert received == total
    assert process.memory_info().rss - before < 8 * MEGABYTE


def _unchanged(sent: list[int]) -> int:
    """How many chunks were sent, once that number has stood still for a while (0 before)."""
    before, began = len(sent), time.monotonic()
    while time.monotonic() - began < 0.7:
        time.sleep(0.05)
        if len(sent) != before:
            return 0
    return before


def test_no_compression_is_agreed_on(gateway: Gateway, peer: Peer) -> None:
    with stream(gateway, "console", compression="deflate") as console:
        assert console.response is not None
        assert "Sec-WebSocket-Extensions" not in console.response.headers


def test_the_machines_end_is_the_browsers_end_without_a_close_frame(gateway: Gateway, peer: Peer) -> None:
    async def short(connection: ServerConnection) -> None:
        await connection.send(b"bye")

    peer.streams["vnc"] = short
    with stream(gateway, "vnc") as vnc:
        assert vnc.recv(5) == b"bye"
        with pytest.raises(ConnectionClosed):
            vnc.recv(5)
        assert vnc.close_code == 1006


def test_the_browsers_end_is_the_machines_end(gateway: Gateway, peer: Peer) -> None:
    ended: list[bool] = []

    async def watched(connection: ServerConnection) -> None:
        await connection.wait_closed()
        ended.append(True)

    peer.streams["vnc"] = watched
    vnc = stream(gateway, "vnc")
    eventually(lambda: gateway.get("/panes/alab/m/vnc/state", gateway.ticket())[2]["streams"] == 1)
    vnc.socket.shutdown(socket.SHUT_RDWR)
    eventually(lambda: ended)
    eventually(lambda: gateway.get("/panes/alab/m/vnc/state", gateway.ticket())[2]["streams"] == 0)


@pytest.mark.parametrize(
    ("phase", "state"), [("Scheduled", "starting"), ("Succeeded", "stopped"), ("Failed", "failed")]
)
def test_a_machine_that_does_not_run_refuses_its_streams_before_the_upgrade(
    gateway: Gateway, peer: Peer, phase: str, state: str
) -> None:
    peer.add_machine("alab", "m", phase)
    with pytest.raises(InvalidStatus) as refused:
        stream(gateway, "console")
    assert refused.value.response.status_code == 409
    assert json.loads(refused.value.response.body or b"")["state"] == state


def test_a_stream_that_the_engine_refuses_is_refused_before_the_upgrade(gateway: Gateway, peer: Peer) -> None:
    del peer.streams["console"]
    with pytest.raises(InvalidStatus) as refused:
        stream(gateway, "console")
    peer.streams["console"] = echo
    assert refused.value.response.status_code == 503


def test_a_pane_is_opened_only_in_its_own_protocol(gateway: Gateway, peer: Peer) -> None:
    own, ticket = f"http://127.0.0.1:{gateway.port}", f"labkit.ticket.{gateway.ticket()}"
    headers = {
        "Connection": "keep-alive, Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Protocol": f"tty, {ticket}",
        "Origin": own,
    }
    assert gateway.get("/panes/alab/m/console/stream", **headers)[0] == 400
    assert gateway.get("/panes/alab/m/console/stream", **{**headers, "Sec-WebSocket-Version": "8"})[0] == 426
    assert gateway.get("/panes/alab/m/console/stream", **{**headers, "Sec-WebSocket-Key": "short"})[0] == 400


def test_a_terminal_is_a_shell_with_the_size_that_was_said(gateway: Gateway, peer: Peer) -> None:
    with stream(gateway, "terminal") as terminal:
        assert terminal.subprotocol == "tty"
        terminal.send(json.dumps({"AuthToken": "", "columns": 99, "rows": 33}).encode())
        assert b"33 99" in say_in_terminal(terminal, "stty size\n", b"33 99")
        terminal.send(b"1" + json.dumps({"columns": 70, "rows": 20}).encode())
        assert b"20 70" in say_in_terminal(terminal, "stty size\n", b"20 70")


def test_a_terminal_whose_reader_stops_costs_no_memory(gateway: Gateway, peer: Peer) -> None:
    process = psutil.Process(gateway.process.pid)
    before = process.memory_info().rss
    with stream(gateway, "terminal", max_queue=2) as terminal:
        terminal.send(json.dumps({"AuthToken": "", "columns": 80, "rows": 24}).encode())
        terminal.send(b"0head -c 90000000 /dev/zero | tr '\\0' x; echo; echo do''ne\n")
        heaviest, deadline = 0, time.monotonic() + 3
        while time.monotonic() < deadline:
            heaviest = max(heaviest, process.memory_info().rss)
            time.sleep(0.1)
        assert heaviest - before < 16 * MEGABYTE


def test_a_terminal_that_does_not_listen_yet_is_said_to_be_starting(gateway: Gateway, peer: Peer) -> None:
    peer.add_machine("alab", "m", port=1)
    with pytest.raises(InvalidStatus) as refused:
        stream(gateway, "terminal")
    assert refused.value.response.status_code == 503
    assert json.loads(refused.value.response.body or b"")["state"] == "starting"


def test_many_streams_at_once_do_not_disturb_each_other(gateway: Gateway, peer: Peer) -> None:
    consoles = [stream(gateway, "console") for _ in range(20)]
    for number, console in enumerate(consoles):
        console.recv(5)
        console.send(str(number).encode())
    assert [console.recv(5) for console in consoles] == [str(number).encode() for number in range(20)]
    for console in consoles:
        console.close()


def test_a_shell_in_a_container_speaks_as_a_terminal_does(gateway: Gateway, peer: Peer) -> None:
    peer.add_container("alab", "c")
    with stream(gateway, "shell", machine="c") as shell:
        assert shell.subprotocol == "tty"
        shell.send(json.dumps({"AuthToken": "", "columns": 99, "rows": 33}).encode())
        assert shell.recv(5) == b"033 99\r\n"
        shell.send(b"1" + json.dumps({"columns": 70, "rows": 20}).encode())
        assert shell.recv(5) == b"020 70\r\n"
        assert shell.ping().wait(5)
        shell.send(b"0" + b"x" * 100_000)
        assert shell.recv(5) == b"0" + b"x" * 100_000
        shell.send(b"0exit\n")
        with pytest.raises(ConnectionClosed):
            shell.recv(5)


def test_who_watches_sees_what_the_learner_sees_and_types_nothing(gateway: Gateway, peer: Peer) -> None:
    with stream(gateway, "console") as learner:
        learner.recv(5)
        asked = peer.asked_streams
        with stream(gateway, "console", "view") as watcher:
            watcher.send(b"typed by the watcher")
            learner.send(b"typed by the learner")
            assert watcher.recv(5) == learner.recv(5) == b"typed by the learner"
            assert peer.asked_streams == asked
            assert gateway.get("/panes/alab/m/console/state", gateway.ticket())[2]["streams"] == 1
            learner.close()
            with pytest.raises(ConnectionClosed):
                watcher.recv(5)


@pytest.mark.parametrize(("pane", "status"), [("vnc", 403), ("console", 409), ("terminal", 409)])
def test_watching_opens_nothing_at_the_machine(gateway: Gateway, peer: Peer, pane: str, status: int) -> None:
    asked = peer.asked_streams
    with pytest.raises(InvalidStatus) as refused:
        stream(gateway, pane, "view")
    assert refused.value.response.status_code == status
    assert peer.asked_streams == asked


@given(payloads=st.lists(st.binary(max_size=70_000), max_size=4), cuts=st.lists(st.integers(1, 9000), max_size=30))
@settings(max_examples=40, deadline=None)
def test_frames_are_followed_however_they_are_cut(payloads: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(Frame(Opcode.BINARY, payload).serialize(mask=False) for payload in payloads)
    starts = {
        sum(len(Frame(Opcode.BINARY, p).serialize(mask=False)) for p in payloads[:n]) for n in range(len(payloads))
    }
    frames, at, found = Frames(), 0, set()
    for cut in [*cuts, len(whole)]:
        piece = whole[at : at + cut]
        if (first := frames.feed(piece)) >= 0:
            found.add(at + first)
        at += len(piece)
    assert found <= starts
    assert not payloads or 0 in found
    assert not frames.closing
