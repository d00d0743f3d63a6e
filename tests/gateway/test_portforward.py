"""The byte stream to a machine's port that SSH uses, against a peer on the wire and a real SSH conversation."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import paramiko
import pytest
from gateway_peer import Peer

from labkit.cluster.client import Cluster
from labkit.cluster.portforward import PortForward, open_port
from labkit.errors import ClusterError, ClusterUnavailable
from tests.support.gateway import eventually


@pytest.fixture
def api(peer: Peer, tmp_path: Path) -> Any:
    return Cluster(peer.kubeconfig(tmp_path / "kubeconfig")).api


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def opened(api: Any, listener: socket.socket) -> tuple[PortForward, socket.socket]:
    """Both ends of a stream: ours, and the machine's."""
    stream = open_port(api, "labkit-alab", "m", listener.getsockname()[1], 10)
    return stream, listener.accept()[0]


def test_bytes_pass_in_both_directions_in_pieces_of_any_size(api: Any, listener: socket.socket) -> None:
    stream, machine = opened(api, listener)
    with stream, machine:
        assert stream.send(b"hello") == 5
        assert machine.recv(100) == b"hello"
        machine.sendall(b"abcdef")
        assert stream.recv(2) == b"ab"
        assert stream.recv(100) == b"cdef"


def test_waiting_ends_after_the_time_that_was_set(api: Any, listener: socket.socket) -> None:
    stream, machine = opened(api, listener)
    with stream, machine:
        stream.settimeout(0.05)
        with pytest.raises(TimeoutError):
            stream.recv(1)


def test_the_machines_end_is_an_end_and_ours_is_the_machines(api: Any, listener: socket.socket) -> None:
    stream, machine = opened(api, listener)
    machine.close()
    assert stream.recv(1) == b""
    stream.close()
    stream, machine = opened(api, listener)
    with machine:
        stream.close()
        machine.settimeout(5)
        assert machine.recv(1) == b""


def test_closing_from_another_thread_wakes_a_reader_and_a_writer(api: Any, listener: socket.socket) -> None:
    stream, machine = opened(api, listener)
    with machine:
        ended: list[bytes | str] = []
        reader = threading.Thread(target=lambda: ended.append(stream.recv(1)))
        writer = threading.Thread(target=lambda: ended.append(_send_for_ever(stream)))
        reader.start()
        writer.start()
        time.sleep(0.3)  # the writer's bytes fill every buffer on the way to a machine that does not read
        stream.close()
        reader.join(5)
        writer.join(5)
        assert sorted(map(str, ended)) == ["b''", "reset"]


def _send_for_ever(stream: PortForward) -> str:
    try:
        while True:
            stream.send(b"x" * 100_000)
    except OSError:
        return "reset"


def test_a_port_where_nothing_listens_is_worth_another_try(api: Any) -> None:
    with pytest.raises(ClusterUnavailable, match="port 1 of m cannot be reached"):
        open_port(api, "labkit-alab", "m", 1, 5)


def test_a_machine_that_is_not_there_is_not(api: Any) -> None:
    with pytest.raises(ClusterError) as refused:
        open_port(api, "labkit-alab", "nobody", 22, 5)
    assert refused.value.status == 404
    assert not isinstance(refused.value, ClusterUnavailable)


def test_an_engine_that_is_away_is_worth_another_try(peer: Peer, tmp_path: Path) -> None:
    kubeconfig = peer.kubeconfig(tmp_path / "away")
    kubeconfig.write_text(kubeconfig.read_text().replace(f":{peer.port}", ":1"))
    with pytest.raises(ClusterUnavailable, match="does not answer"):
        open_port(Cluster(kubeconfig).api, "labkit-alab", "m", 22, 5)


def test_the_engines_pings_are_answered_while_nobody_reads(api: Any, listener: socket.socket, peer: Peer) -> None:
    before = len(peer.open)
    stream, machine = opened(api, listener)
    with stream, machine:
        eventually(lambda: len(peer.open) > before)
        machine.sendall(b"unread" * 1000)
        assert peer.ping(peer.open[-1], 5)


class _Server(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.AUTH_SUCCESSFUL if (username, password) == ("student", "right") else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=self._run, args=(channel, command)).start()
        return True

    def _run(self, channel: paramiko.Channel, command: bytes) -> None:
        channel.sendall(b"ran " + command + b"y" * 3_000_000)
        channel.send_exit_status(3)
        channel.close()


def test_paramiko_speaks_ssh_over_it(api: Any, listener: socket.socket) -> None:
    stream, machine = opened(api, listener)
    server = paramiko.Transport(machine)
    server.add_server_key(paramiko.ECDSAKey.generate())
    server.start_server(event=threading.Event(), server=_Server())
    with closing(paramiko.Transport(stream)) as transport, closing(server):  # type: ignore[arg-type]
        transport.connect(username="student", password="right")
        channel = transport.open_session(timeout=10)
        channel.exec_command("true")
        output = channel.makefile().read()
        assert output.startswith(b"ran true")
        assert (len(output), channel.recv_exit_status()) == (3_000_008, 3)
