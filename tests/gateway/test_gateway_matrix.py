"""Every row of the route table against everybody who must not pass: the right status, and nothing opened upstream."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from gateway_peer import Peer
from websockets.exceptions import InvalidStatus

from labkit.gateway import routes
from labkit.gateway.routes import Bears, Needs, Row
from labkit.tickets import SigningKey, Ticket, sign
from tests.support.gateway import Gateway, eventually, gateway_process, open_console

WEBSOCKET = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"} | {
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="
}
PANES = {"visit": "site", "preview": "site", "screenshot": "vnc"}
TICKETED = [row for row in routes.TABLE if row.needs in (Needs.VIEW, Needs.CONTROL)]
GUARDED = [row for row in routes.TABLE if row.changes or row.bears is Bears.SUBPROTOCOL]
BY_NAME: Callable[[Row], str] = lambda row: row.handler  # noqa: E731

REFUSED: dict[str, tuple[Callable[[Gateway], str | None], str]] = {
    "no ticket": (lambda gateway: None, "missing"),
    "malformed": (lambda gateway: "a.b.c", "invalid"),
    "a stranger's": (lambda gateway: sign(Ticket("alab", "x", 2e9), SigningKey.generate()), "invalid"),
    "expired": (lambda gateway: gateway.ticket(seconds=-1), "expired"),
    "another lab's": (lambda gateway: gateway.ticket("blab"), "other-lab"),
    "another machine's": (lambda gateway: gateway.ticket(machines=("n",)), "other-machine"),
    "revoked": (lambda gateway: gateway.ticket(epoch=2), "revoked"),
}


def ask(gateway: Gateway, row: Row, ticket: str | None, **changed: str) -> tuple[int, Any]:
    """A request as the row wants it, but for `ticket` and the headers that are changed ("" leaves one out)."""
    names = {"lab": "alab", "machine": "m", "pane": PANES.get(row.handler, "console"), "file": "panes.js"}
    headers = {"Origin": f"http://127.0.0.1:{gateway.port}", "Labkit-Request": "1"}
    if row.bears is Bears.SUBPROTOCOL:
        offered = ["plain.kubevirt.io", *([f"labkit.ticket.{ticket}"] if ticket else [])]
        headers |= {**WEBSOCKET, "Sec-WebSocket-Protocol": ", ".join(offered)}
    elif ticket:
        headers["Labkit-Ticket"] = ticket
    headers = {name: value for name, value in (headers | changed).items() if value}
    status, _, body = gateway.get(row.pattern.format(**names), method=row.method, **headers)
    return status, body.get("reason") if isinstance(body, dict) else None


@pytest.fixture
def untouched(gateway: Gateway, peer: Peer) -> Any:
    """The peer in its third epoch, and at the end the proof that no stream and no screen was asked of it."""
    peer.add_lab("alab", epoch=3)
    peer.add_lab("blab", "m")
    before = peer.asked_streams
    yield
    assert peer.asked_streams == before


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("row", TICKETED, ids=BY_NAME)
def test_a_ticket_that_gives_no_right_opens_nothing(gateway: Gateway, row: Row, case: str) -> None:
    make, reason = REFUSED[case]
    assert ask(gateway, row, make(gateway)) == (403, reason)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("row", [row for row in TICKETED if row.needs is Needs.CONTROL], ids=BY_NAME)
def test_a_ticket_for_watching_controls_nothing(gateway: Gateway, row: Row) -> None:
    assert ask(gateway, row, gateway.ticket(mode="view", epoch=3)) == (403, "view")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("row", TICKETED, ids=BY_NAME)
def test_a_ticket_is_worth_nothing_once_its_lab_is_stopped(gateway: Gateway, peer: Peer, row: Row) -> None:
    del peer.namespaces["labkit-alab"]
    assert ask(gateway, row, gateway.ticket(epoch=3)) == (404, "ended")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("origin", ["http://evil.example", "null", ""])
@pytest.mark.parametrize("row", GUARDED, ids=BY_NAME)
def test_what_changes_or_streams_is_asked_for_by_our_own_pages_only(gateway: Gateway, row: Row, origin: str) -> None:
    assert ask(gateway, row, gateway.ticket(epoch=3), Origin=origin) == (403, "origin")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("row", [row for row in routes.TABLE if row.changes], ids=BY_NAME)
def test_what_changes_is_asked_for_by_no_form(gateway: Gateway, row: Row) -> None:
    assert ask(gateway, row, gateway.ticket(epoch=3), **{"Labkit-Request": ""}) == (403, "request")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("row", routes.TABLE, ids=BY_NAME)
def test_no_row_answers_under_a_name_that_is_not_this_computers(gateway: Gateway, row: Row) -> None:
    assert ask(gateway, row, gateway.ticket(epoch=3), Host="evil.example", Origin="http://evil.example")[0] == 403


def test_a_row_that_asks_for_nothing_is_one_of_these() -> None:
    free = {row.handler for row in routes.TABLE if row.needs is Needs.NOTHING}
    assert free == {"alive", "ready", "static", "slash", "page"}


def test_counts_are_told_to_nobody_behind_a_proxy(gateway: Gateway, peer: Peer) -> None:
    metrics = next(row for row in routes.TABLE if row.handler == "metrics")
    assert ask(gateway, metrics, None)[0] == 200
    assert ask(gateway, metrics, None, **{"X-Forwarded-For": "10.0.0.1"}) == (403, "metrics")
    assert ask(gateway, metrics, None, Host="a.localhost") == (403, "metrics")


HOSTILE = {
    "no end": b"GET /livez HTTP/1.1\r\nHost: localhost\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 40,
    "huge": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000,
    "many": b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 20_000,
    "line breaks": b"GET /livez\rX: y HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "slashes": b"GET /panes/alab%2fm/console/state HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "absolute": b"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "two tickets": b"GET /livez HTTP/1.1\r\nHost: localhost\r\nLabkit-Ticket: a\r\nLabkit-Ticket: b\r\n\r\n",
}


def test_hostile_peers_are_refused_with_a_line_each_and_memory_stays_flat(gateway: Gateway, peer: Peer) -> None:
    process, before = psutil.Process(gateway.process.pid), peer.asked_streams
    gateway.get("/livez")
    memory, lines = process.memory_info().rss, gateway.log.count("\n")
    with contextlib.ExitStack() as stack:
        for data in list(HOSTILE.values()) * 10:
            connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
            stack.enter_context(connection).sendall(data)
            if data is not HOSTILE["no end"]:  # cut off by time alone
                assert connection.recv(100)[9:10] == b"4"
        eventually(lambda: gateway.log.count("\n") - lines == 10 * len(HOSTILE), 10)
    assert process.memory_info().rss - memory < 4 * 2**20
    assert peer.asked_streams == before


def test_many_panes_of_one_learner_are_refused_in_a_sentence(tmp_path: Any, peer: Peer) -> None:
    kubeconfig = peer.kubeconfig(tmp_path / "kubeconfig")
    with gateway_process(tmp_path, kubeconfig, environ={"LABKIT_GATEWAY_STREAMS": "1"}) as gateway:
        with open_console(gateway), pytest.raises(InvalidStatus) as refused:
            open_console(gateway)
        assert refused.value.response.status_code == 429
        assert b"close one" in (refused.value.response.body or b"")
        eventually(lambda: b'open_panes{type="console"}' not in gateway.get("/metrics")[2])
        assert b'labkit_gateway_refusals_total{cause="streams"} 1.0' in gateway.get("/metrics")[2]
