"""New windows without a ticket in their address, and screens that are watched without a stream."""

from __future__ import annotations

import json

import pytest
from gateway_peer import PICTURE, Peer

from labkit.gateway import codes
from labkit.gateway.codes import Codes
from labkit.gateway.machines import Denied
from labkit.gateway.routes import PanePath
from tests.support.gateway import Gateway

PANE = "/panes/alab/m/console"


def redeemed(gateway: Gateway, code: object, pane: str = PANE) -> tuple[int, object]:
    status, _, body = gateway.post(f"{pane}/redeem", body=json.dumps({"code": code}).encode())
    return status, body.get("ticket", body.get("reason"))


def test_a_code_gives_the_ticket_that_it_was_made_with_once(gateway: Gateway, peer: Peer) -> None:
    ticket = gateway.ticket(mode="view")
    code = gateway.post(f"{PANE}/code", ticket)[2]["code"]
    assert redeemed(gateway, code) == (200, ticket)
    assert redeemed(gateway, code) == (403, "code")
    assert code not in gateway.log


def test_a_code_is_for_one_pane(gateway: Gateway, peer: Peer) -> None:
    code = gateway.post(f"{PANE}/code", gateway.ticket())[2]["code"]
    assert redeemed(gateway, code, "/panes/alab/m/vnc") == (403, "code")
    assert redeemed(gateway, code) == (403, "code")


@pytest.mark.parametrize(("body", "status"), [(b"", 400), (b"[]", 400), (b'{"code": 3}', 400), (b"x" * 300, 413)])
def test_a_body_that_is_no_code_is_refused(gateway: Gateway, body: bytes, status: int) -> None:
    assert gateway.post(f"{PANE}/redeem", body=body)[0] == status


def test_codes_are_forgotten_after_a_minute_and_the_oldest_where_there_are_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: Codes[int] = Codes()
    pane = PanePath("alab", "m", "console")
    first = kept.make(pane, 0)
    made = [kept.make(pane, number) for number in range(codes.MOST)]
    with pytest.raises(Denied):
        kept.redeem(first, pane)
    now = codes.time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + codes.LIFETIME + 1)
    with pytest.raises(Denied):
        kept.redeem(made[0], pane)


@pytest.mark.parametrize("mode", ["view", "control"])
def test_a_screenshot_is_the_engines(gateway: Gateway, peer: Peer, mode: str) -> None:
    status, headers, body = gateway.get("/panes/alab/m/vnc/screenshot", gateway.ticket(mode=mode))
    assert (status, headers["Content-Type"], body) == (200, "image/png", PICTURE)
    assert gateway.get(f"{PANE}/screenshot", gateway.ticket(mode=mode))[0] == 404
