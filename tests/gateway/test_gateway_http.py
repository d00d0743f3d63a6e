"""The HTTP layer: what every answer carries, what is refused, and how the process begins and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from gateway_peer import Peer

from tests.support.gateway import Gateway, eventually, gateway_process, open_console

STATE = "/panes/alab/m/console/state"


def raw(gateway: Gateway, data: bytes) -> bytes:
    """What the gateway answers to these bytes, to the end of the connection."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=15) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("path", ["/panes/alab/m/console/", STATE, "/static/nothing.js", "/livez", "/nowhere"])
def test_every_answer_carries_the_security_headers(gateway: Gateway, peer: Peer, path: str) -> None:
    _, headers, _ = gateway.get(path)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"]


def test_the_page_is_the_same_for_every_pane_and_names_only_relative_addresses(gateway: Gateway, peer: Peer) -> None:
    status, _, page = gateway.get("/panes/alab/m/console/")
    assert (status, page) == (200, gateway.get("/panes/nolab/nothing/none/")[2])
    assert b'="/' not in page
    assert b"://" not in page


def test_the_state_says_what_the_pane_is(gateway: Gateway, peer: Peer) -> None:
    status, headers, body = gateway.get(STATE, gateway.ticket())
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    expected = {"type": "console", "title": "Console", "machine": "m", "pane": "console", "state": "running"}
    assert body == {**expected, "mode": "control", "streams": 0}


def test_a_machine_that_is_not_there_and_a_pane_that_is_not_declared_are_told_apart(
    gateway: Gateway, peer: Peer
) -> None:
    assert gateway.get("/panes/alab/n/console/state", gateway.ticket())[2]["reason"] == "stopped"
    assert gateway.get("/panes/alab/m/nothing/state", gateway.ticket())[2]["reason"] == "no-pane"


def test_a_method_that_could_change_something_is_refused(gateway: Gateway) -> None:
    assert gateway.get(STATE, method="DELETE")[0] == 405
    assert raw(gateway, b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi")[9:12] == b"405"
    assert raw(gateway, b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi")[9:12] == b"400"


def test_a_name_that_is_not_loopbacks_is_refused_on_the_port(gateway: Gateway) -> None:
    assert gateway.get("/livez", Host="evil.example")[0] == 403


def test_too_large_headers_are_refused(gateway: Gateway) -> None:
    answer = raw(gateway, b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 40_000)
    assert answer.startswith(b"HTTP/1.1 431")


def test_headers_that_never_end_are_cut_off(gateway: Gateway) -> None:
    assert raw(gateway, b"GET /livez HTTP/1.1\r\n") == b""


def test_requests_follow_one_another_on_one_connection(gateway: Gateway) -> None:
    one = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
    answers = raw(gateway, one + b"\r\n" + one.replace(b"GET", b"HEAD") + b"\r\n" + one + b"Connection: close\r\n\r\n")
    assert answers.count(b"HTTP/1.1 200") == 3
    assert answers.count(b"alive") == 2


def test_readiness_needs_keys_and_an_engine_that_answers(tmp_path: Path, running_peer: Peer) -> None:
    kubeconfig = running_peer.kubeconfig(tmp_path / "kubeconfig")
    with gateway_process(tmp_path, kubeconfig) as gateway:
        assert gateway.get("/readyz")[0] == 200
        kubeconfig.write_text(kubeconfig.read_text().replace(f":{running_peer.port}", ":1"))
        os.utime(kubeconfig, (1, 1))
        status, _, body = gateway.get("/readyz")
        assert (status, body["reason"]) == (503, "engine")
        running_peer.kubeconfig(kubeconfig)
        assert gateway.get("/readyz")[0] == 200
        (tmp_path / "keys" / "tickets.jwks.json").unlink()
        assert gateway.get("/readyz")[2]["reason"] == "keys"


def test_its_socket_is_private_and_a_term_signal_ends_it_cleanly(tmp_path: Path, running_peer: Peer) -> None:
    with gateway_process(tmp_path, running_peer.kubeconfig(tmp_path / "kubeconfig")) as gateway:
        assert stat.S_IMODE(gateway.socket.stat().st_mode) == 0o600
        assert stat.S_IMODE(gateway.socket.parent.stat().st_mode) == 0o700
        assert b" 200 " in raw(gateway, b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(10) == 0
        assert not gateway.socket.exists()
        assert not (tmp_path / "gateway.json").exists()


def test_a_term_signal_ends_open_streams_too(tmp_path: Path, peer: Peer) -> None:
    with gateway_process(tmp_path, peer.kubeconfig(tmp_path / "kubeconfig")) as gateway:
        stream = open_console(gateway)
        assert stream.recv(5) == b"peer console\r\n"
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(10) == 0
        eventually(lambda: stream.close_code == 1006)


def test_it_ends_with_its_parent_where_it_was_told_to(tmp_path: Path, running_peer: Peer) -> None:
    kubeconfig = running_peer.kubeconfig(tmp_path / "kubeconfig")
    with gateway_process(tmp_path, kubeconfig, "--exit-with-parent") as gateway:
        assert gateway.process.stdin is not None
        gateway.process.stdin.close()
        assert gateway.process.wait(10) == 0


def test_what_a_killed_gateway_left_is_replaced_and_a_living_one_is_not(tmp_path: Path, running_peer: Peer) -> None:
    kubeconfig = running_peer.kubeconfig(tmp_path / "kubeconfig")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with gateway_process(tmp_path / "one", kubeconfig) as gateway:
        gateway.process.kill()
        gateway.process.wait()
        assert gateway.socket.exists()
        command = [sys.executable, "-m", "labkit.cli", "gateway", "--socket", str(gateway.socket)]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as second:
            eventually(lambda: _answers(gateway.socket))
            third = subprocess.run(command, capture_output=True, text=True)
            second.terminate()
    assert third.returncode == 1
    assert "another gateway is listening" in third.stderr


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return False
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\n\r\n")
        return connection.recv(100).startswith(b"HTTP/1.1 200")


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    command = [sys.executable, "-m", "labkit.cli", "gateway", "--socket", str(tmp_path / "g.sock")]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 1
    assert f"chmod 700 {tmp_path}" in ended.stderr


def test_the_endpoint_file_names_the_port(gateway: Gateway) -> None:
    assert json.loads((gateway.folder / "gateway.json").read_text()) == {"port": gateway.port}
