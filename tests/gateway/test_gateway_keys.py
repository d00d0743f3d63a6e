"""A new key for tickets: those that are out stay good until they expire, and everybody signs with the new one."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from labkit import settings, tickets
from labkit.orchestrator.keyring import Keyring


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring(settings.load({"LABKIT_STATE_DIR": str(tmp_path)}))


def published(tmp_path: Path) -> dict[str, list[dict[str, object]]]:
    return json.loads((tmp_path / "keys" / "tickets.jwks.json").read_text())  # type: ignore[no-any-return]


def ticket(key: tickets.SigningKey, until: float = 2e9) -> str:
    return tickets.sign(tickets.Ticket("alab", "x", until), key)


def test_a_replaced_key_is_believed_until_the_last_of_its_tickets_has_expired(ring: Keyring, tmp_path: Path) -> None:
    old = ring.tickets
    new = ring.rotate()
    keys = published(tmp_path)
    assert [tickets.verify(ticket(key), keys).lab for key in (old, new)] == ["alab", "alab"]
    remaining = float(str(keys["keys"][1]["exp"])) - time.time()
    assert tickets.LIFETIME < remaining < tickets.LIFETIME + 61
    keys["keys"][1]["exp"] = time.time() - 1
    with pytest.raises(tickets.TicketError, match="not signed"):
        tickets.verify(ticket(old), keys)


def test_who_had_the_old_key_open_signs_with_the_new_one_and_a_restart_keeps_both(
    ring: Keyring, tmp_path: Path
) -> None:
    other = Keyring(settings.load({"LABKIT_STATE_DIR": str(tmp_path)}))
    before = ring.tickets
    other.rotate()
    assert ring.tickets.kid == other.tickets.kid != before.kid
    Keyring(settings.load({"LABKIT_STATE_DIR": str(tmp_path)}))
    assert [key["kid"] for key in published(tmp_path)["keys"]] == [other.tickets.kid, before.kid]
