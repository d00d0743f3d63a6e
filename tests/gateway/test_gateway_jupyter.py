"""The gateway behind a real Jupyter server, by jupyter-server-proxy and by labkit's own extension: what passes, guarded
by Jupyter's login."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from gateway_certificate import certificate
from gateway_peer import Peer
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from labkit.gateway.handover import beside
from labkit.jupyter.proxy import RIGHTS
from labkit.settings import Settings, load
from tests.support.gateway import Gateway, eventually

pytest.importorskip("jupyter_server_proxy")

BUSY = """
import pathlib, time
from tornado.web import RequestHandler

class Busy(RequestHandler):
    def get(self):
        folder = pathlib.Path(__file__).parent
        (folder / "busy").touch()
        while not (folder / "free").exists():
            time.sleep(0.01)

def _load_jupyter_server_extension(app):
    app.web_app.add_handlers(".*$", [("/user/alice/busy", Busy)])
"""
"""An extension that holds up Jupyter's own loop until it is told not to."""
EXTENSIONS = ("jupyter_server_proxy", "labkit.jupyter.server", "busy")
LOGIN = {"Authorization": "token hidden"}
PREFIXES = {"proxy": "gate", "extension": "labkit"}


@dataclass
class Jupyter:
    port: int
    way: str
    tls: ssl.SSLContext | None = None

    @property
    def origin(self) -> str:
        return f"https://localhost:{self.port}" if self.tls else f"http://127.0.0.1:{self.port}"

    @property
    def pane(self) -> str:
        """The path of a pane by this way in."""
        return f"/user/alice/{PREFIXES[self.way]}/panes/alab/m/console"

    def get(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        address, tls = ("localhost" if self.tls else "127.0.0.1", self.port), self.tls
        make = partial(http.client.HTTPSConnection, context=tls) if tls else http.client.HTTPConnection
        with contextlib.closing(make(*address, timeout=20)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jupyter")


@pytest.fixture(scope="module")
def server(gateway: Gateway, folder: Path) -> Iterator[int]:
    with running(folder, gateway) as port:
        yield port


def own(folder: Path, **settings: str) -> Settings:
    """The settings that labkit has in `folder`."""
    paths = {"HOME": str(folder), "LABKIT_STATE_DIR": str(folder), "LABKIT_RUNTIME_ROOT": str(folder / "run")}
    return load({**paths, **settings})


@contextlib.contextmanager
def running(
    folder: Path, gateway: Gateway, tls: ssl.SSLContext | None = None, config: str = "", **settings: str
) -> Iterator[int]:
    """A Jupyter server's port, with both ways in to the gateway's socket; `settings` are labkit's own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    chosen = own(folder, **settings)
    entry = {"unix_socket": str(chosen.gateway_socket), "request_headers_override": dict.fromkeys(RIGHTS, "")}
    (folder / "config.py").write_text(
        f"c.ServerApp.port = {port}\nc.ServerApp.base_url = '/user/alice/'\nc.IdentityProvider.token = 'hidden'\n"
        f"c.ServerApp.open_browser = False\nc.ServerApp.allow_root = True\n"
        f"c.ServerProxy.servers = {{'gate': {entry}}}\n"
        f"c.ServerApp.jpserver_extensions = {dict.fromkeys(EXTENSIONS, True)}\n{config}"
    )
    (folder / "busy.py").write_text(BUSY)
    chosen.runtime_dir.mkdir(parents=True)
    for way in (Path, beside):
        way(chosen.gateway_socket).symlink_to(way(gateway.socket))
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "HOME")
    environ = {**os.environ, **chosen.environment(), **dict.fromkeys([*names, "PYTHONPATH"], str(folder))}
    command = [sys.executable, "-m", "jupyter_server", f"--config={folder / 'config.py'}"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, env=environ, stdout=log, stderr=log) as process:
        eventually(lambda: _answers(Jupyter(port, "", tls)) or process.poll() is not None, 60)
        assert process.poll() is None, Path(log.name).read_text()
        try:
            yield port
        finally:
            process.terminate()


@pytest.fixture(params=list(PREFIXES))
def jupyter(server: int, request: pytest.FixtureRequest) -> Jupyter:
    return Jupyter(server, request.param)


def _answers(jupyter: Jupyter) -> bool:
    try:
        return jupyter.get("/user/alice/api")[0] == 200
    except OSError:
        return False


def test_page_and_state_are_served_below_any_prefix_to_who_is_signed_in(
    jupyter: Jupyter, gateway: Gateway, peer: Peer
) -> None:
    status, page = jupyter.get(f"{jupyter.pane}/", **LOGIN)
    assert (status, page) == (200, gateway.get("/panes/alab/m/console/")[2])
    status, body = jupyter.get(f"{jupyter.pane}/state", **LOGIN, **{"Labkit-Ticket": gateway.ticket()})
    assert (status, json.loads(body)["state"]) == (200, "running")
    assert jupyter.get(f"{jupyter.pane}/state", **LOGIN)[0] == 403


def test_who_is_not_signed_in_gets_nothing_even_with_a_ticket(jupyter: Jupyter, gateway: Gateway, peer: Peer) -> None:
    assert jupyter.get(f"{jupyter.pane}/", **{"Labkit-Ticket": gateway.ticket()})[0] == 302
    with pytest.raises(InvalidStatus) as refused:
        _open(jupyter, gateway, {})
    assert refused.value.response.status_code == 403


def test_a_stream_passes_with_its_ticket_and_only_its_own_protocol_is_echoed(
    jupyter: Jupyter, gateway: Gateway, peer: Peer
) -> None:
    with _open(jupyter, gateway, LOGIN) as console:
        assert console.subprotocol == "plain.kubevirt.io"
        assert console.recv(5) == b"peer console\r\n"
        console.send(b"through two proxies")
        assert console.recv(5) == b"through two proxies"


def test_another_origin_is_refused_by_the_gateway_too_where_a_token_switches_jupyters_own_check_off(
    jupyter: Jupyter, gateway: Gateway, peer: Peer
) -> None:
    # jupyter-server-proxy accepts before it asks the gateway, whose refusal ends the stream then.
    refusal = ConnectionClosed if jupyter.way == "proxy" else InvalidStatus
    with pytest.raises(refusal), _open(jupyter, gateway, LOGIN, "http://evil.example") as console:
        console.recv(5)


def test_a_lab_that_is_not_there_is_refused_before_the_upgrade(server: int, gateway: Gateway, peer: Peer) -> None:
    peer.namespaces.clear()
    with pytest.raises(InvalidStatus) as refused:
        _open(Jupyter(server, "extension"), gateway, LOGIN)
    assert refused.value.response.status_code == 404


def test_a_refused_stream_leaves_no_way_to_the_gateway_behind(server: int, gateway: Gateway, peer: Peer) -> None:
    # A proxy that keeps connections, as configurable-http-proxy does, would send others' requests, rights and all.
    peer.namespaces.clear()
    way, ticket = Jupyter(server, "extension"), gateway.ticket()
    head = f"GET {way.pane}/stream HTTP/1.1\r\nHost: 127.0.0.1:{server}\r\nOrigin: {way.origin}\r\n"
    head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n"
    head += f"Sec-WebSocket-Protocol: plain.kubevirt.io, labkit.ticket.{ticket}\r\n"
    head += f"Authorization: {LOGIN['Authorization']}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server), timeout=20) as kept, kept.makefile("rb") as said:
        kept.sendall(head.encode())
        answer = said.read()  # to the connection's end
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"connection: close" in answer.lower()


def test_bodies_pass_both_ways_and_more_than_fits_in_one_piece(server: int, gateway: Gateway, peer: Peer) -> None:
    way = Jupyter(server, "extension")
    with _open(way, gateway, LOGIN) as console:
        assert console.recv(5) == b"peer console\r\n"
        data = bytes(range(256)) * 4096
        console.send(data)
        got = b""
        while len(got) < len(data):
            got += bytes(console.recv(10))  # type: ignore[arg-type]
    assert got == data
    own = {**LOGIN, "Origin": f"http://127.0.0.1:{server}", "Labkit-Request": "1", "Labkit-Ticket": gateway.ticket()}
    assert json.loads(way.get(f"{way.pane}/code", "POST", **own)[1])["code"]


def test_many_at_once_each_get_their_own_whole_answer(server: int, gateway: Gateway, peer: Peer) -> None:
    way, page = Jupyter(server, "extension"), gateway.get("/panes/alab/m/console/")[2]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: way.get(f"{way.pane}/", **LOGIN), range(200)))
    assert answers == [(200, page)] * 200


def test_typing_is_not_held_up_while_jupyter_is_busy(server: int, gateway: Gateway, peer: Peer, folder: Path) -> None:
    way = Jupyter(server, "extension")
    with _open(way, gateway, LOGIN) as console, ThreadPoolExecutor() as pool:
        assert console.recv(5) == b"peer console\r\n"
        held = pool.submit(way.get, "/user/alice/busy")
        eventually((folder / "busy").exists)
        try:
            console.send(b"typed meanwhile")
            assert (console.recv(5), held.done()) == (b"typed meanwhile", False)
        finally:
            (folder / "free").touch()
        assert held.result()[0] == 200


def test_an_open_pane_goes_on_though_jupyter_has_ended(gateway: Gateway, peer: Peer, tmp_path: Path) -> None:
    with running(tmp_path, gateway) as port:
        console = _open(Jupyter(port, "extension"), gateway, LOGIN)
        assert console.recv(5) == b"peer console\r\n"
    with console:
        console.send(b"and nobody between")
        assert console.recv(5) == b"and nobody between"


def test_jupyters_own_rights_do_not_reach_the_gateway_and_the_ticket_reaches_no_log(
    jupyter: Jupyter, gateway: Gateway, peer: Peer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ticket = gateway.ticket()
    jupyter.get(f"{jupyter.pane}/state", **LOGIN, **{"Labkit-Ticket": ticket})
    with _open(jupyter, gateway, LOGIN, ticket=ticket):
        pass
    logs = [path.read_text() for path in tmp_path_factory.getbasetemp().glob("*/log")]
    assert len(logs) >= 2
    assert not any(ticket in log or "token hidden" in log for log in logs)


@contextlib.contextmanager
def heard_instead(gateway: Gateway, folder: Path, way: str) -> Iterator[socket.socket]:
    """A listener in the gateway's place, for what reaches it by one way."""
    place = beside if way == "extension" else Path
    way_in, address = place(own(folder).gateway_socket), str(folder / f"heard.{way}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(20)
        listener.bind(address)
        listener.listen()
        way_in.unlink()
        way_in.symlink_to(address)
        try:
            yield listener
        finally:
            way_in.unlink()
            way_in.symlink_to(place(gateway.socket))
            Path(address).unlink()


def accepted(listener: socket.socket, way: str) -> tuple[bytes, socket.socket]:
    """The next connection, and its beginning: by the extension's way, it is handed over."""
    heard = listener.accept()[0]
    if way == "proxy":
        return heard.recv(1 << 16), heard
    beginning, found = b"", list[int]()
    with heard:
        while True:
            piece, descriptors, _, _ = socket.recv_fds(heard, 1 << 16, 1)
            found += descriptors
            beginning += piece
            if not piece:
                break
    client = socket.socket(fileno=found[0])
    client.settimeout(20)
    return beginning, client


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def test_no_header_brings_a_right_to_jupyter_to_the_gateway(jupyter: Jupyter, gateway: Gateway, folder: Path) -> None:
    rights = {**LOGIN, "Cookie": "a=hidden", "Referer": f"http://127.0.0.1:{jupyter.port}/user/alice/lab?token=hidden"}
    with heard_instead(gateway, folder, jupyter.way) as listener, ThreadPoolExecutor() as pool:
        asked = pool.submit(jupyter.get, f"{jupyter.pane}/", **rights)
        head, heard = accepted(listener, jupyter.way)
        with heard:
            heard.sendall(OK)
        assert asked.result()[0] == 200
    assert (head.startswith(b"GET /panes/alab/m/console/"), b"hidden" in head) == (True, False)


def test_a_large_upload_arrives_whole_and_one_that_is_refused_before_its_end_is_told_so(
    server: int, gateway: Gateway, folder: Path
) -> None:
    way, body = Jupyter(server, "extension"), os.urandom(8 << 20)
    own_page = {**LOGIN, "Origin": way.origin, "Labkit-Request": "1"}
    path = "/user/alice/labkit/files/alab/m/content?path=large"
    with heard_instead(gateway, folder, way.way) as listener, ThreadPoolExecutor() as pool:
        asked = pool.submit(way.get, path, "PUT", body, **own_page)
        beginning, heard = accepted(listener, way.way)
        first = beginning.partition(b"\r\n\r\n")[2]
        with heard, heard.makefile("rb") as said:
            assert first + said.read(len(body) - len(first)) == body
            heard.sendall(OK)
        assert asked.result()[0] == 200
    status, said = way.get(path, "PUT", body, **own_page)  # sends it all before it reads
    assert (status, json.loads(said)["reason"]) == (403, "missing")
    with socket.create_connection(("127.0.0.1", server), timeout=20) as slow:
        head = "".join(f"{name}: {value}\r\n" for name, value in own_page.items())
        slow.sendall(
            f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{server}\r\nContent-Length: 99999999\r\n{head}\r\n".encode()
        )
        assert slow.recv(12) == b"HTTP/1.1 403"  # there is no ticket


def _open(
    jupyter: Jupyter, gateway: Gateway, headers: dict[str, str], origin: str = "", ticket: str = ""
) -> ClientConnection:
    return connect(
        f"{jupyter.origin.replace('http', 'ws')}{jupyter.pane}/stream",
        ssl=jupyter.tls,
        origin=Origin(origin or jupyter.origin),
        additional_headers=headers,
        subprotocols=[Subprotocol("plain.kubevirt.io"), Subprotocol(f"labkit.ticket.{ticket or gateway.ticket()}")],
        proxy=None,
    ).__enter__()


def test_what_is_escaped_in_a_path_stays_so_and_adds_no_header(server: int, gateway: Gateway, peer: Peer) -> None:
    way = Jupyter(server, "extension")
    added = f"/state%20HTTP/1.1%0d%0aLabkit-Ticket:%20{gateway.ticket()}%0d%0aX:%20"
    assert way.get(f"{way.pane}{added}", **LOGIN)[0] == 404


@pytest.mark.slow
def test_panes_of_a_service_pass_too_and_it_is_told_its_own_name_only_after_the_origin_was_judged(
    gateway: Gateway, peer: Peer, tmp_path: Path
) -> None:
    with running(tmp_path, gateway, LABKIT_URL=f"http://127.0.0.1:{gateway.port}") as port:
        own_gateway, service = tmp_path / "run", Jupyter(port, "extension")
        for path in own_gateway.rglob("gateway.*"):
            path.unlink()
        with _open(service, gateway, LOGIN) as console:
            assert console.recv(5) == b"peer console\r\n"
        with pytest.raises(InvalidStatus) as refused:
            _open(service, gateway, LOGIN, "http://evil.example")
        assert refused.value.response.status_code == 403


def test_where_jupyter_does_tls_itself_panes_go_through_jupyter_server_proxy(
    gateway: Gateway, peer: Peer, tmp_path: Path
) -> None:
    chain, key = certificate(tmp_path, "localhost")
    tls = ssl.create_default_context(cafile=str(chain))
    config = f"c.ServerApp.certfile = {str(chain)!r}\nc.ServerApp.keyfile = {str(key)!r}\n"
    with running(tmp_path, gateway, tls, config) as port:
        way = Jupyter(port, "extension", tls)
        assert way.get(f"{way.pane}/", **LOGIN) == (200, gateway.get("/panes/alab/m/console/")[2])
        with _open(way, gateway, LOGIN) as console:
            assert console.recv(5) == b"peer console\r\n"
            console.send(b"encrypted by Jupyter")
            assert console.recv(5) == b"encrypted by Jupyter"
        assert way.get(f"{way.pane}/", **{"Labkit-Ticket": gateway.ticket()})[0] == 302
