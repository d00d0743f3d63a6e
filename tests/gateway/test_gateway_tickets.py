"""The matrix of tickets, on both ways in: the state over HTTP and the stream over a WebSocket."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from gateway_peer import Peer
from websockets.exceptions import InvalidStatus

from labkit.tickets import SigningKey, Ticket, jwks, sign
from tests.support.gateway import Gateway, eventually, open_console

PATH = "/panes/alab/m/console"

REFUSED: dict[str, tuple[Callable[[Gateway], str | None], str]] = {
    "none": (lambda gateway: None, "missing"),
    "garbage": (lambda gateway: "garbage", "invalid"),
    "a stranger's": (lambda gateway: sign(Ticket("alab", "x", 2e9), SigningKey.generate()), "invalid"),
    "expired": (lambda gateway: gateway.ticket(seconds=-1), "expired"),
    "another lab's": (lambda gateway: gateway.ticket("blab"), "other-lab"),
    "another machine's": (lambda gateway: gateway.ticket(machines=("n",)), "other-machine"),
    "of an old epoch": (lambda gateway: gateway.ticket(epoch=2), "revoked"),
}


@pytest.fixture
def third_epoch(peer: Peer) -> None:
    peer.add_lab("alab", epoch=3)
    peer.add_lab("blab", "m")


@pytest.mark.usefixtures("third_epoch")
@pytest.mark.parametrize("case", REFUSED)
def test_a_ticket_that_gives_no_right_is_refused_with_its_reason(gateway: Gateway, case: str) -> None:
    make, reason = REFUSED[case]
    status, _, body = gateway.get(f"{PATH}/state", make(gateway))
    assert (status, body["reason"]) == (403, reason)
    with pytest.raises(InvalidStatus) as refused:
        open_console(gateway, make(gateway))
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body or b"")["reason"] == reason


@pytest.mark.usefixtures("third_epoch")
@pytest.mark.parametrize("machines", [(), ("m",), ("n", "m")])
def test_a_ticket_for_the_machine_opens_it(gateway: Gateway, machines: tuple[str, ...]) -> None:
    ticket = gateway.ticket(machines=machines, epoch=3)
    assert gateway.get(f"{PATH}/state", ticket)[0] == 200
    with open_console(gateway, ticket) as opened:
        assert opened.recv(5) == b"peer console\r\n"


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "http://127.0.0.1"])
def test_a_page_of_another_origin_is_refused_a_stream_even_with_a_good_ticket(
    gateway: Gateway, peer: Peer, origin: str | None
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        open_console(gateway, gateway.ticket(), origin=origin)
    assert refused.value.response.status_code == 403


def test_the_ticket_is_not_echoed_nor_logged(gateway: Gateway, peer: Peer) -> None:
    ticket = gateway.ticket()
    with open_console(gateway, ticket) as opened:
        assert opened.response is not None
        assert opened.response.headers["Sec-WebSocket-Protocol"] == "plain.kubevirt.io"
        assert ticket not in str(opened.response.headers)
    gateway.get(f"{PATH}/state?ticket={ticket}", ticket, Cookie="session=secret")
    assert ticket not in gateway.log
    assert "secret" not in gateway.log
    assert f"GET {PATH}/state 200" in gateway.log


def test_nothing_is_asked_of_the_engine_without_a_good_ticket(gateway: Gateway, peer: Peer) -> None:
    there = gateway.get(f"{PATH}/state", gateway.ticket("other"))
    nowhere = gateway.get("/panes/nolab/nothing/none/state", gateway.ticket("other"))
    assert there[0] == nowhere[0] == 403
    assert there[2] == nowhere[2]


@pytest.mark.parametrize("change", ["epoch", "namespace", "deletion"])
def test_open_streams_end_within_seconds_of_the_labs_end_or_of_a_raised_epoch(
    gateway: Gateway, peer: Peer, change: str
) -> None:
    with open_console(gateway, gateway.ticket()) as opened:
        opened.recv(5)
        if change == "epoch":
            peer.add_lab("alab", epoch=1)
        elif change == "namespace":
            del peer.namespaces["labkit-alab"]
        else:
            peer.namespaces["labkit-alab"]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        eventually(lambda: opened.close_code, 8)
        assert opened.close_code == 1006


def test_a_key_that_is_added_later_is_found_and_one_that_is_taken_away_is_not_believed(
    gateway: Gateway, peer: Peer
) -> None:
    keys, key = gateway.folder / "keys" / "tickets.jwks.json", SigningKey.generate()
    before, ticket = keys.read_text(), sign(Ticket("alab", "x", 2e9), key)
    assert gateway.get(f"{PATH}/state", ticket)[0] == 403
    keys.write_text(json.dumps(jwks([gateway.key, key])))
    assert gateway.get(f"{PATH}/state", ticket)[0] == 200
    keys.write_text(before)
    assert gateway.get(f"{PATH}/state", ticket)[0] == 403
