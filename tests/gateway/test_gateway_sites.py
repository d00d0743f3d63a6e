"""Machines' web pages: on origins of their own, with a right to one pane, and with nothing of ours passed on."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from gateway_peer import Peer
from gateway_site import Site, running_site
from websockets.sync.client import connect
from websockets.sync.server import serve
from websockets.typing import Origin, Subprotocol

from labkit.errors import SetupError
from labkit.gateway import forwarding
from labkit.gateway.origins import Origins, label_of
from labkit.gateway.routes import PanePath
from labkit.gateway.tunnels import Pace
from tests.support.gateway import Gateway, eventually

PANE = PanePath("alab", "m", "site")
HOST = label_of(PANE) + ".localhost"
Asked = tuple[int, Any, Any]


@pytest.fixture(scope="module")
def server() -> Iterator[Site]:
    with running_site() as found:
        yield found


@pytest.fixture
def site(peer: Peer, server: Site) -> Site:
    server.asked.clear()
    peer.add_machine("alab", "m", site=server.server_port)
    return server


class Browser:
    """Asks on the machine's origin, with the cookie that it was given."""

    def __init__(self, gateway: Gateway, machine: str = "m") -> None:
        self.gateway = gateway
        self.host = f"{label_of(PanePath('alab', machine, 'site'))}.localhost:{gateway.port}"
        url = gateway.post(f"/panes/alab/{machine}/site/visit", gateway.ticket())[2]["url"]
        assert url.startswith(f"http://{self.host}/.labkit/enter#")
        self.code = url.partition("#")[2].encode()
        _, headers, body = self.enter()
        self.first, self.cookie = body["path"], str(headers["Set-Cookie"])

    def enter(self) -> Asked:
        own = {"Host": self.host, "Origin": f"http://{self.host}"}
        return self.gateway.post("/.labkit/session", body=self.code, **own)

    def get(self, path: str, **headers: str) -> Asked:
        own = {"Host": self.host, "Cookie": f"theirs=1; {self.cookie.partition(';')[0]}"}
        return self.gateway.get(path, **{**own, **headers})


def test_a_visit_leads_to_the_page_that_the_template_names(gateway: Gateway, site: Site) -> None:
    browser = Browser(gateway)
    assert browser.first == "/start"
    assert b"The machine's page" in browser.get(browser.first)[2]
    assert browser.enter()[0] == 403


def test_the_cookie_is_the_hosts_own_and_out_of_scripts_reach(gateway: Gateway, site: Site) -> None:
    kept = Browser(gateway).cookie
    assert kept.startswith("__Host-labkit=")
    for part in ("Path=/", "Secure", "HttpOnly", "SameSite=None", "Partitioned"):
        assert f"; {part}" in kept
    assert "Domain" not in kept


def test_nothing_of_ours_reaches_the_machine_and_its_own_does(gateway: Gateway, site: Site) -> None:
    browser = Browser(gateway)
    ours = {"Labkit-Ticket": gateway.ticket(), "X-Forwarded-For": "10.1.1.1", "Connection": "X-Drop", "X-Drop": "1"}
    browser.get("/asked?q=1", Authorization="Basic dTpw", **ours)
    _, _, headers, _ = site.asked[-1]
    assert headers["Cookie"] == "theirs=1"
    assert headers["Authorization"] == "Basic dTpw"
    assert headers["Host"] == headers["X-Forwarded-Host"] == browser.host
    assert headers["Connection"] == "close"
    assert not {"Labkit-Ticket", "X-Forwarded-For", "X-Drop"} & headers.keys()


def test_a_body_passes_in_pieces_and_so_does_its_answer(gateway: Gateway, site: Site) -> None:
    browser, body = Browser(gateway), bytes(range(256)) * 8192
    status, _, answer = browser.get("/echo", method="POST", body=body)
    assert (status, answer) == (200, body)
    assert browser.get("/big", method="HEAD")[2] == b""


def test_what_comes_back_stays_on_the_machines_origin(gateway: Gateway, site: Site) -> None:
    host = HOST
    cookies = [("Set-Cookie", "a=1; Domain=localhost; HttpOnly"), ("Set-Cookie", "__Host-labkit=stolen; Path=/")]
    headers = [("Location", f"http://{host}/there?x=1"), ("Clear-Site-Data", '"cookies"'), *cookies]
    site.answers["/away"] = (302, headers, b"")
    _, found, _ = Browser(gateway).get("/away")
    assert found["Location"] == "/there?x=1"
    assert found.get_all("Set-Cookie") == ["a=1; HttpOnly; Secure; SameSite=None; Partitioned"]
    assert found["Clear-Site-Data"] is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": ""},
        {"Cookie": "__Host-labkit=made-up"},
        {"Host": label_of(PanePath("alab", "m", "other")) + ".localhost"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"},
        {"method": "POST", "Origin": "http://evil.localhost"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Origin": "http://evil.localhost"},
        {"Upgrade": "websocket", "Connection": "Upgrade"},
        {"method": "POST", "Origin": "null", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    ],
)
def test_without_the_cookie_or_from_another_page_nothing_reaches_the_machine(
    gateway: Gateway, site: Site, peer: Peer, headers: dict[str, str]
) -> None:
    browser = Browser(gateway)
    before = peer.asked_streams
    assert browser.get("/start", **headers)[0] == 403
    assert (peer.asked_streams, site.asked) == (before, [])


def test_a_right_to_a_page_ends_with_the_labs_epoch(gateway: Gateway, site: Site, peer: Peer) -> None:
    browser = Browser(gateway)
    peer.add_lab("alab", epoch=1)
    eventually(lambda: browser.get("/start")[0] == 403)
    assert browser.get("/start")[2]["reason"] == "revoked"
    peer.add_lab("alab")
    eventually(lambda: browser.get("/start")[0] == 200)


@pytest.mark.parametrize(
    "path", ["/panes/alab/m/console/", "/static/panes.js", "/livez", "/metrics", "/panes/alab/m/console/state"]
)
def test_labkits_own_pages_are_not_on_a_machines_origin(gateway: Gateway, site: Site, path: str) -> None:
    status, _, body = Browser(gateway).get(path)
    assert (status, body) == (200, b"ok")
    assert site.asked[-1][1] == path


def test_a_server_that_does_not_listen_is_said_to_start_by_a_page_that_tries_again(
    gateway: Gateway, site: Site, peer: Peer
) -> None:
    browser = Browser(gateway)
    peer.add_machine("alab", "m", site=1)
    navigate = {"Sec-Fetch-Mode": "navigate"}
    eventually(lambda: browser.get("/", **navigate)[0] == 503)
    _, headers, body = browser.get("/", **navigate)
    assert headers["Refresh"] == "3"
    assert b"does not answer yet" in body
    peer.add_machine("alab", "m", site=site.server_port)
    eventually(lambda: browser.get("/start")[0] == 200)


@pytest.mark.parametrize(
    "request_",
    [
        b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: H\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: H\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: H\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: H\r\nHost: evil\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: H\r\nOrigin: a\r\nOrigin: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: H\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: H\r\nX : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_a_request_that_two_readers_could_read_in_two_ways_is_refused(
    gateway: Gateway, site: Site, peer: Peer, request_: bytes
) -> None:
    cookie = Browser(gateway).cookie.partition(";")[0]
    head = request_.replace(b"H\r\n", f"{HOST}:{gateway.port}\r\nCookie: {cookie}\r\n".encode(), 1)
    before = peer.asked_streams
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(head)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer[9:12] in (b"400", b"501")
    assert (peer.asked_streams, site.asked) == (before, [])


def test_where_there_is_no_origin_only_the_pages_text_is_shown_and_why_is_said(gateway: Gateway, site: Site) -> None:
    hub = {"Host": "127.0.0.1.localhost", "Origin": "http://127.0.0.1.localhost"}  # any name but the computer's own
    state = gateway.get("/panes/alab/m/site/state", gateway.ticket(), **hub)[2]
    assert state["origin"] == ""
    assert "no scripts" in state["limits"]
    assert gateway.post("/panes/alab/m/site/visit", gateway.ticket(), **hub)[2]["reason"] == "no-origin"
    status, headers, body = gateway.get("/panes/alab/m/site/preview", gateway.ticket())
    assert (status, headers.get_content_type()) == (200, "text/plain")
    assert b"The machine's page" in body


def test_origins_are_told_by_setting_or_by_the_loopback_port() -> None:
    assert Origins("https://*.p.example.org").of(PANE, "hub.example") == f"https://{label_of(PANE)}.p.example.org"
    assert Origins("https://*.p.example.org").named("x.p.example.org") == "unknown"
    assert Origins("", 80).of(PANE, "hub.example") == ""
    assert Origins("", None).of(PANE, "localhost") == ""
    assert Origins("", 80).named("lab.localhost") == ""
    with pytest.raises(SetupError, match="panes_origin"):
        Origins("http://panes.example.org")


def test_a_pages_websocket_reaches_the_machine_with_its_own_subprotocol(
    gateway: Gateway, site: Site, peer: Peer
) -> None:
    with serve(lambda opened: opened.send(opened.recv()), "127.0.0.1", 0, subprotocols=[Subprotocol("chat")]) as server:
        peer.add_machine("alab", "w", site=server.socket.getsockname()[1])
        threading.Thread(target=server.serve_forever).start()
        browser = Browser(gateway, "w")
        with connect(
            f"ws://{browser.host}/ws?q=1",
            sock=socket.create_connection(("127.0.0.1", gateway.port)),
            origin=Origin(f"http://{browser.host}"),
            additional_headers={"Cookie": browser.cookie.partition(";")[0]},
            subprotocols=[Subprotocol("other"), Subprotocol("chat")],
        ) as opened:
            opened.send(b"hello")
            assert (opened.subprotocol, opened.recv(5)) == ("chat", b"hello")
        server.shutdown()


def test_a_second_of_bytes_may_come_at_once_and_no_more_until_it_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    pace = Pace(1000.0)
    assert pace.take(900) == 0.0
    assert pace.take(600) == 0.5
    now += 0.5
    assert pace.take(100) == pytest.approx(0.1)


def test_a_redirection_elsewhere_is_left_alone() -> None:
    back = forwarding.from_machine([("Location", "https://example.org/x")], "h:1", ("m",))
    assert ("Location", "https://example.org/x") in back
    assert json.dumps(back).count("Location") == 1
