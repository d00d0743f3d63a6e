"""Platforms' keys: fetched once, again when a key is unknown, and from nowhere but the platform; and the tool's own."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import requests

from labkit.store import SqliteStore
from lti_app.lti.keys import ToolKeys
from lti_app.lti.outbound import OutboundRefused, answering, fetch, origin_of, pin
from lti_app.lti.platform_keys import FRESH, LONGEST, PAUSE, KeyFinder, KeysUnavailable
from tests.lti.conftest import site_settings
from tests.lti.platform import TOOL, MockPlatform, rsa
from tests.support.front import certificate
from tests.support.platform import running_platform as simulator


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def finder(store: SqliteStore, clock: Clock) -> KeyFinder:
    return KeyFinder(store, private=True, clock=clock)


def test_keys_are_fetched_once_for_all_processes(
    finder: KeyFinder, store: SqliteStore, clock: Clock, platform: MockPlatform
) -> None:
    for one in (finder, finder, KeyFinder(store, private=True, clock=clock)):
        assert one.find(platform.registered(), "key-1")
    assert platform.fetches == ["/jwks"]


def test_a_new_key_is_found_and_a_flood_of_unknown_ones_asks_once_in_a_while(
    finder: KeyFinder, clock: Clock, platform: MockPlatform
) -> None:
    finder.find(platform.registered(), "key-1")
    platform.keys["key-2"] = rsa(2)
    clock.now += PAUSE
    assert finder.find(platform.registered(), "key-2")
    assert [finder.find(platform.registered(), f"made-up-{number}") for number in range(50)] == [None] * 50
    assert len(platform.fetches) == 2


def test_a_key_that_the_platform_has_withdrawn_is_believed_for_an_hour_at_most(
    finder: KeyFinder, clock: Clock, platform: MockPlatform
) -> None:
    finder.find(platform.registered(), "key-1")
    platform.keys = {"key-2": rsa(2)}
    assert finder.find(platform.registered(), "key-1")
    clock.now += FRESH + 1
    assert finder.find(platform.registered(), "key-1") is None


def test_a_platform_that_is_down_is_believed_for_a_day(finder: KeyFinder, clock: Clock, platform: MockPlatform) -> None:
    finder.find(platform.registered(), "key-1")
    platform.answer = lambda handler: handler.send_error(500)
    clock.now += LONGEST - 1
    assert finder.find(platform.registered(), "key-1")
    clock.now += 10
    with pytest.raises(KeysUnavailable):
        finder.find(platform.registered(), "key-1")


def _redirects(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/elsewhere")
    handler.end_headers()


def _floods(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"x" * (3 << 20))


def _raves(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b'{"keys": [{"kty": "oct", "kid": "key-1", "k": "AA"}, {"kid": "key-1"}, 3]}')


def test_keys_that_come_byte_by_byte_are_not_waited_for(
    store: SqliteStore, clock: Clock, platform: MockPlatform
) -> None:
    def drips(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        with suppress(ConnectionError):
            for byte in platform.jwks():
                handler.wfile.write(bytes([byte]))
                time.sleep(0.01)

    platform.answer, begun = drips, time.monotonic()
    with pytest.raises(KeysUnavailable):
        KeyFinder(store, private=True, clock=clock, seconds=0.3).find(platform.registered(), "key-1")
    assert time.monotonic() - begun < 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("answer", [_redirects, _floods, _raves])
def test_an_answer_that_is_no_set_of_keys_is_not_taken(
    answer: Callable[[BaseHTTPRequestHandler], None], finder: KeyFinder, platform: MockPlatform
) -> None:
    platform.answer = answer
    with pytest.raises(KeysUnavailable):
        finder.find(platform.registered(), "key-1")
    assert platform.fetches == ["/jwks"]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/keys",
        "http://169.254.169.254/latest/",
        "file:///etc/passwd",
        "http://127.0.0.1:1/",
        "{url}@evil.example/",
        "http://user@{host}/jwks",
    ],
)
def test_nothing_is_asked_of_an_address_that_is_not_the_platforms(url: str, platform: MockPlatform) -> None:
    asked = url.format(url=platform.url, host=platform.url[7:])
    with pytest.raises(OutboundRefused, match="nothing was sent"):
        fetch(platform.registered(), asked, private=True)
    assert platform.fetches == []


def test_private_networks_and_plain_http_are_closed_unless_the_operator_opens_them(platform: MockPlatform) -> None:
    with pytest.raises(OutboundRefused, match="LABKIT_PRIVATE_PLATFORMS"):
        fetch(platform.registered(), f"{platform.url}/jwks", private=False)
    secure = platform.url.replace("http:", "https:")
    with pytest.raises(OutboundRefused, match="private network"):
        fetch(platform.registered(jwks_url=f"{secure}/jwks"), f"{secure}/jwks", private=False)
    assert platform.fetches == []


def test_a_request_goes_to_the_address_that_was_checked_while_the_certificate_must_be_the_names(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate(tmp_path))
    with simulator(TOOL, tls=tls, name="moodle.test") as moodle, requests.Session() as session:
        session.trust_env, session.verify = False, str(tmp_path / "tls.pem")
        keys = f"{moodle.origin}/mod/lti/certs.php"
        with pytest.raises(requests.exceptions.SSLError, match=r"other\.test"):
            session.get(pin(session, keys.replace("moodle", "other"), "127.0.0.1"), timeout=10)
        assert session.get(pin(session, keys, "127.0.0.1"), timeout=10).json() == moodle.keys
        assert session.headers["Host"] == moodle.origin.removeprefix("https://")
    assert moodle.asked("certs") == 1


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Moodle.Example:443/a?b", "https://moodle.example"),
        ("http://h:8081/", "http://h:8081"),
        ("https://[::1]:8/", "https://[::1]:8"),
        ("ftp://h/", ""),
        ("https://h:x/", ""),
        ("//h/", ""),
        ("", ""),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def test_a_replaced_key_of_the_tool_stays_published(tmp_path: Path) -> None:
    keys = ToolKeys(site_settings(tmp_path / "state"))
    old = keys.signing.kid
    new = keys.rotate().kid
    assert [key["kid"] for key in keys.jwks()["keys"]] == [new, old]
    assert ToolKeys(site_settings(tmp_path / "state")).signing.kid == new
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "state/keys").glob("lti.*em")} == {0o600}


def test_of_a_platforms_addresses_one_that_answers_is_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        assert answering(["127.0.0.2", "127.0.0.1", "127.0.0.3"], port) == "127.0.0.1"
    assert answering(["127.0.0.2", "127.0.0.1"], port) == "127.0.0.1"


def test_a_platform_is_believed_whose_authority_this_computer_trusts(
    platform: MockPlatform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate(tmp_path))
    with simulator(TOOL, tls=tls, name="localhost") as moodle:
        keys = f"{moodle.origin}/mod/lti/certs.php"
        with pytest.raises(OutboundRefused, match="SSLError"):
            fetch(platform.registered(jwks_url=keys), keys, private=True)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls.pem"))
        assert fetch(platform.registered(jwks_url=keys), keys, private=True).status == 200
