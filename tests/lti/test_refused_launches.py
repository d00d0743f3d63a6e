"""Bad launches: each is refused with its own reason, and leaves no session, learner, lab or request behind."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from werkzeug.test import TestResponse

from labkit.store import PlatformState, SqliteStore
from tests.lti.browser import Browser
from tests.lti.platform import TOOL, MockPlatform, rsa, running_platform

NOW = time.time()
CONTEXT = "http://purl.imsglobal.org/vocab/lis/v2/membership#"

WINDOW = {"accept_types": ["ltiResourceLink"], "accept_presentation_document_targets": ["window"]}
ELSEWHERE = {**WINDOW, "deep_link_return_url": "https://evil.example/"}

CLAIMS: list[tuple[str, dict[str, Any]]] = [
    ("issuer", {"iss": "https://other.example"}),
    ("issuer", {"iss": None}),
    ("audience", {"aud": "client-2"}),
    ("audience", {"aud": None}),
    ("audience", {"aud": {"client-1": 1}}),
    ("authorized-party", {"aud": ["client-2", "client-1"]}),
    ("authorized-party", {"aud": ["client-1", "client-2"], "azp": "client-2"}),
    ("authorized-party", {"azp": "client-2"}),
    ("no-expiry", {"exp": None}),
    ("no-expiry", {"exp": "soon"}),
    ("no-expiry", {"exp": True}),
    ("expired", {"exp": int(NOW) - 600}),
    ("no-issue-time", {"iat": None}),
    ("future", {"iat": int(NOW) + 86400}),
    ("future", {"nbf": int(NOW) + 86400}),
    ("ancient", {"iat": int(NOW) - 86400, "exp": int(NOW) + 86400}),
    ("ancient", {"iat": 11111, "exp": int(NOW) + 86400}),
    ("nonce", {"nonce": "another-one"}),
    ("nonce", {"nonce": None}),
    ("version", {"version": "1.1.0"}),
    ("version", {"version": None}),
    ("message-type", {"message_type": "SomethingElse"}),
    ("message-type", {"message_type": None}),
    ("message-type", {"message_type": ["LtiResourceLinkRequest"]}),
    ("deployment", {"deployment_id": "2"}),
    ("deployment", {"deployment_id": None}),
    ("deployment", {"deployment_id": 1}),
    ("anonymous", {"sub": None}),
    ("subject", {"sub": ""}),
    ("subject", {"sub": "x" * 256}),
    ("subject", {"sub": "ström"}),
    ("subject", {"sub": 4}),
    ("roles", {"roles": None}),
    ("roles", {"roles": f"{CONTEXT}Instructor"}),
    ("roles", {"roles": [{"role": "Instructor"}]}),
    ("incomplete", {"resource_link": None}),
    ("incomplete", {"resource_link": {"title": "no id"}}),
    ("incomplete", {"resource_link": {"id": {"$ne": ""}}}),
    ("context", {"context": {"title": "no id"}}),
    ("context", {"context": "2"}),
    ("malformed", {"endpoint": "https://grades.example"}),
    ("malformed", {"launch_presentation": ["iframe"]}),
    ("no-target", {"target_link_uri": None}),
    ("target", {"target_link_uri": "https://evil.example/lti/launch"}),
    ("target", {"target_link_uri": "https://tool.example@evil.example/"}),
    ("target", {"target_link_uri": "https://tool.example:8443/lti/launch"}),
    ("custom", {"custom": {"lab": ["hello-lab"]}}),
    ("malformed", {"custom": "lab=hello-lab"}),
    ("lab-not-offered", {"custom": {"lab": "no-such-lab"}}),
    ("lab-not-offered", {"custom": {"lab": "../hello-lab"}}),
    ("lab-not-offered", {"custom": {"lab": "/etc"}}),
    ("lab-not-offered", {"custom": {"lab": "hello-lab; id"}}),
    ("no-lab", {"custom": {"lab": None}}),
    ("no-lab", {"custom": None}),
]


@pytest.fixture(autouse=True)
def nothing_left(store: SqliteStore, platform: MockPlatform) -> Any:
    yield
    rows = [store._rows(f"SELECT * FROM {table}") for table in ("launch", "learner", "lab", "context")]  # noqa: S608
    assert rows == [[], [], [], []]
    assert set(platform.fetches) <= {"/jwks"}


def reason(answer: TestResponse) -> str:
    """Why a request was refused: by a page in plain words, with a reference, and nobody's cookie changed."""
    assert 400 <= answer.status_code < 500, answer.status_code
    assert answer.content_type.startswith("text/html")
    assert "say this reference" in answer.text
    assert "Set-Cookie" not in answer.headers
    return answer.text


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """The code of the one refusal in the operator's log."""
    (line,) = [record.getMessage() for record in caplog.records if record.name == "lti_app.refusals"]
    return line.split()[3]


@pytest.mark.parametrize(("code", "changed"), CLAIMS)
def test_a_message_with_a_wrong_claim(
    code: str, changed: dict[str, Any], browser: Browser, platform: MockPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    reason(browser.launch(platform, **changed))
    assert logged(caplog) == code


def test_many_missing_claims_at_once(browser: Browser, platform: MockPlatform) -> None:
    reason(
        browser.launch(platform, sub=None, roles=None, version=None, message_type=None, deployment_id=None, exp=None)
    )


def _unsigned(platform: MockPlatform, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, None, algorithm="none", headers={"kid": "key-1"})


def _confused(platform: MockPlatform, claims: dict[str, Any]) -> str:
    """HS256 whose secret is the public key."""
    pieces = [{"alg": "HS256", "kid": "key-1"}, claims]
    body = ".".join(base64.urlsafe_b64encode(json.dumps(piece).encode()).rstrip(b"=").decode() for piece in pieces)
    return f"{body}.{base64.urlsafe_b64encode(b'x' * 32).decode()}"


def _other_key(platform: MockPlatform, claims: dict[str, Any], **header: Any) -> str:
    return jwt.encode(claims, rsa(2), algorithm="RS256", headers={"kid": "key-1"} | header)


def _named(kid: object) -> Callable[[MockPlatform, dict[str, Any]], str]:
    return lambda platform, claims: jwt.encode(claims, rsa(1), algorithm="RS256", headers={"kid": kid} if kid else {})


def _own_keys(platform: MockPlatform, claims: dict[str, Any]) -> str:
    """A message that brings its key, and the address of more, along."""
    return _other_key(platform, claims, jku=f"{platform.url}/mine", x5u=f"{platform.url}/mine")


TOKENS: list[tuple[str, Callable[[MockPlatform, dict[str, Any]], str]]] = [
    ("algorithm", _unsigned),
    ("algorithm", _confused),
    ("algorithm", lambda platform, claims: jwt.encode(claims, rsa(1), algorithm="RS512", headers={"kid": "key-1"})),
    ("no-key-id", _named(None)),
    ("unknown-key", _named("key-9")),
    ("signature", _other_key),
    ("signature", _own_keys),
    ("signature", lambda platform, claims: platform.sign(claims)[:-9] + "AAAAAAAAA"),
    ("not-a-token", lambda platform, claims: "no.token"),
    ("not-a-token", lambda platform, claims: ""),
    ("not-a-token", lambda platform, claims: base64.b64encode(b"[" * 4000).decode() + ".e30.e30"),
    ("not-a-message", lambda platform, claims: jwt.api_jws.encode(b"[]", rsa(1), "RS256", {"kid": "key-1"})),
]


@pytest.mark.parametrize(("code", "made"), TOKENS)
def test_a_token_that_is_not_the_platforms(
    code: str, made: Any, browser: Browser, platform: MockPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    asked = browser.begin(platform)
    reason(browser.send(asked["state"], made(platform, platform.message("launch-student", asked["nonce"]))))
    assert logged(caplog) == code


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("return-address", {"deep_linking_settings": ELSEWHERE}),
        ("incomplete", {"deep_linking_settings": None}),
        ("incomplete", {"deep_linking_settings": {"accept_types": ["ltiResourceLink"]}}),
    ],
)
def test_a_choice_of_content_with_a_wrong_claim(
    code: str, changed: dict[str, Any], browser: Browser, platform: MockPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    reason(browser.launch(platform, "deep-linking-request", **changed))
    assert logged(caplog) == code


def test_a_review_without_a_person(browser: Browser, platform: MockPlatform) -> None:
    reason(browser.launch(platform, "submission-review", for_user={}))


# The sign-in that a launch answers


def test_a_launch_that_nobody_began(browser: Browser, platform: MockPlatform, caplog: pytest.LogCaptureFixture) -> None:
    reason(browser.send("made-up", platform.sign(platform.message("launch-student", "made-up"))))
    assert logged(caplog) == "state-unknown"


def test_a_launch_in_another_browser(
    browser: Browser, platform: MockPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    asked, other = browser.begin(platform), Browser(browser.client.application)
    other.begin(platform)
    reason(other.send(asked["state"], platform.sign(platform.message("launch-student", asked["nonce"]))))
    assert logged(caplog) == "other-browser"


def test_a_launch_without_our_cookie(
    browser: Browser, platform: MockPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    asked, bare = browser.begin(platform), Browser(browser.client.application)
    reason(bare.send(asked["state"], platform.sign(platform.message("launch-student", asked["nonce"]))))
    assert logged(caplog) == "no-cookie"


def test_a_sign_in_that_took_too_long(
    browser: Browser, platform: MockPlatform, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    asked = browser.begin(platform)
    store._write("UPDATE launch_state SET expires = expires - 301")
    reason(browser.send(asked["state"], platform.sign(platform.message("launch-student", asked["nonce"]))))
    assert logged(caplog) == "state-expired"


def test_a_nonce_of_another_sign_in(browser: Browser, platform: MockPlatform, caplog: pytest.LogCaptureFixture) -> None:
    first, second = browser.begin(platform), browser.begin(platform)
    reason(browser.send(second["state"], platform.sign(platform.message("launch-student", first["nonce"]))))
    assert logged(caplog) == "nonce"


def test_another_deployment_than_the_sign_in_named(
    browser: Browser, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    with running_platform(client_id="client-2") as platform:
        store.add_platform(platform.registered(deployments=("1", "2")))
        asked = browser.begin(platform, lti_deployment_id="2")
        reason(browser.send(asked["state"], platform.sign(platform.message("launch-student", asked["nonce"]))))
    assert logged(caplog) == "other-deployment"


def test_a_platform_that_was_switched_off_meanwhile(
    browser: Browser, platform: MockPlatform, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    asked = browser.begin(platform)
    store.set_platform(platform.registered().id, state=PlatformState.OFF)
    reason(browser.send(asked["state"], platform.sign(platform.message("launch-student", asked["nonce"]))))
    assert logged(caplog) == "platform-not-active"


def test_the_platforms_own_error_is_shown_as_text(browser: Browser, platform: MockPlatform) -> None:
    asked = browser.begin(platform)
    form = {"state": asked["state"], "error": "login_required", "error_description": "<script>alert(1)</script>"}
    said = reason(browser.post("/lti/launch", data=form))
    assert "login_required &lt;script&gt;alert(1)&lt;/script&gt;" in said


def test_a_launch_by_get_is_not_taken(browser: Browser, platform: MockPlatform) -> None:
    asked = browser.begin(platform)
    token = platform.sign(platform.message("launch-student", asked["nonce"]))
    answer = browser.get(f"/lti/launch?state={asked['state']}&id_token={token}")
    assert answer.status_code == 405
    reason(browser.post(f"/lti/launch?state={asked['state']}&id_token={token}"))


# Sign-ins


@pytest.mark.parametrize(
    ("code", "changed"),
    [
        ("login-incomplete", {"iss": None}),
        ("login-incomplete", {"login_hint": None}),
        ("login-incomplete", {"target_link_uri": ""}),
        ("login-too-long", {"lti_message_hint": "x" * 5000}),
        ("unknown-platform", {"iss": "https://other.example"}),
        ("unknown-platform", {"client_id": "client-2"}),
    ],
)
def test_a_sign_in_that_is_not_begun(
    code: str, changed: dict[str, Any], browser: Browser, platform: MockPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    reason(browser.login(platform, **changed))
    assert logged(caplog) == code


def test_a_slash_more_is_another_issuer(browser: Browser, platform: MockPlatform) -> None:
    reason(browser.login(platform, iss=f"{platform.url}/"))


def test_a_platform_that_waits_for_the_operator(
    browser: Browser, platform: MockPlatform, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.set_platform(platform.registered().id, state=PlatformState.PENDING)
    reason(browser.login(platform))
    assert logged(caplog) == "platform-not-active"


def test_two_clients_of_an_issuer_must_say_which_they_are(
    browser: Browser, platform: MockPlatform, store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.add_platform(platform.registered(id="second", client_id="client-2"))
    reason(browser.login(platform, client_id=None))
    assert logged(caplog) == "which-client"


def test_no_secret_and_nobodys_name_is_in_the_log(
    browser: Browser, platform: MockPlatform, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "lti_app")
    asked = browser.begin(platform)
    message = platform.message("launch-student", asked["nonce"], target_link_uri="https://evil.example/")
    token = platform.sign(message)
    browser.send(asked["state"], token)
    secrets = (token, asked["state"], asked["nonce"], "Sam", "sesskey", message["email"], "cmid")
    assert [secret for secret in secrets if secret in caplog.text] == []


def test_behind_a_proxy_no_header_changes_our_own_address(browser: Browser, platform: MockPlatform) -> None:
    browser.begin(platform)
    spoofed = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    given = {"iss": platform.url, "login_hint": "4", "target_link_uri": f"{TOOL}/lti/launch"}
    answer = browser.get("/lti/login", query_string=given, headers=spoofed)
    assert "redirect_uri=https%3A%2F%2Ftool.example%2Flti%2Flaunch" in answer.headers["Location"]


def test_a_refusal_that_is_about_nobody_can_be_read_in_any_frame_and_one_of_a_platform_in_its_own(
    browser: Browser, platform: MockPlatform
) -> None:
    asked = browser.begin(platform)
    nobodys = [browser.login(platform, client_id="none"), browser.send("none", "x"), browser.get("/work/none/")]
    for answer in nobodys:
        assert answer.headers["Content-Security-Policy"].endswith("frame-ancestors *")
        assert not any(f"<{tag}" in answer.text for tag in ("a ", "form", "button", "input", "script"))
    policy = browser.send(asked["state"], "no.token").headers["Content-Security-Policy"]
    assert policy.endswith(f"frame-ancestors {platform.url}")
