"""Tickets: what a signature covers, and every way in which a ticket gives no right."""

import time

import jwt
import pytest

from labkit.tickets import AUDIENCE, ISSUER, SigningKey, Ticket, TicketError, jwks, key_id, sign, verify

KEY = SigningKey.generate()
KEYS = jwks([KEY])


def ticket(**changes: object) -> Ticket:
    values = {"lab": "k3f9q2abcd", "learner": "u1", "expires": float(int(time.time()) + 60), "machines": ("box",)}
    return Ticket(**{**values, "epoch": 2, **changes})  # type: ignore[arg-type]


def test_what_was_signed_comes_back() -> None:
    assert verify(sign(ticket(), KEY), KEYS) == ticket()


def test_a_key_survives_being_written_down() -> None:
    again = SigningKey.from_pem(KEY.to_pem())
    assert again.kid == KEY.kid
    assert verify(sign(ticket(), again), KEYS).lab == "k3f9q2abcd"


def test_an_expired_ticket_is_refused() -> None:
    with pytest.raises(TicketError, match="expired"):
        verify(sign(ticket(expires=time.time() - 1), KEY), KEYS)


def test_another_installations_ticket_is_refused() -> None:
    with pytest.raises(TicketError, match="not signed by this installation"):
        verify(sign(ticket(), SigningKey.generate()), KEYS)


def test_a_changed_ticket_is_refused() -> None:
    head, body, signature = sign(ticket(), KEY).split(".")
    _, other, _ = sign(ticket(lab="other00000"), KEY).split(".")
    with pytest.raises(TicketError, match="not valid"):
        verify(f"{head}.{other}.{signature}", KEYS)
    assert body != other


@pytest.mark.parametrize("missing", ["exp", "sub", "lab", "machines", "mode", "epoch", "aud", "iss"])
def test_a_ticket_without_one_of_its_claims_is_refused(missing: str) -> None:
    claims = jwt.decode(sign(ticket(), KEY), options={"verify_signature": False})
    del claims[missing]
    token = jwt.encode(claims, KEY.private, algorithm="EdDSA", headers={"kid": KEY.kid})
    with pytest.raises(TicketError, match="not valid"):
        verify(token, KEYS)


def test_a_ticket_signed_with_the_public_key_as_a_shared_secret_is_refused() -> None:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u", "exp": 2**33, "iat": 0}
    token = jwt.encode(claims, KEYS["keys"][0]["x"] * 2, algorithm="HS256", headers={"kid": KEY.kid})
    with pytest.raises(TicketError):
        verify(token, KEYS)


@pytest.mark.parametrize("garbage", ["", "a", "a.b.c", "..", "é.é.é"])
def test_garbage_is_refused(garbage: str) -> None:
    assert key_id(garbage) is None
    with pytest.raises(TicketError):
        verify(garbage, KEYS)
