"""Launches that are taken: what they lead to, and what is remembered of them."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from flask import Flask

from labkit.settings import Settings
from labkit.store import LaunchRole, SqliteStore
from lti_app.application import create_app
from lti_app.guards import SESSION_COOKIE, hashed
from lti_app.lti import claims
from lti_app.lti.routes import MOST_STATES
from lti_app.lti.validation import Expected, verified
from tests.lti.browser import Browser
from tests.lti.conftest import direct_labs
from tests.lti.platform import TOOL, MockPlatform

CONTEXT = "http://purl.imsglobal.org/vocab/lis/v2/membership"
NOBODY: dict[str, Any] = {"name": None, "given_name": None, "family_name": None, "email": None}
INSTRUCTOR, LEARNER, OTHER = LaunchRole.INSTRUCTOR, LaunchRole.LEARNER, LaunchRole.OTHER


def recorded(browser: Browser, store: SqliteStore, address: str) -> Any:
    """The launch behind an address, as this browser's cookie opens it."""
    cookie = browser.client.get_cookie(SESSION_COOKIE, "tool.example", address)
    assert cookie is not None
    return store.launch(address.split("/")[2], hashed(cookie.value))


@pytest.mark.parametrize("message", ["launch-student", "launch-teacher"])
def test_a_recorded_launch_leads_to_a_clean_address(browser: Browser, platform: MockPlatform, message: str) -> None:
    answer = browser.launch(platform, message)
    assert (answer.status_code, "?" in answer.headers["Location"]) == (303, False)
    page = browser.get(answer.headers["Location"])
    assert (page.status_code, page.headers["Referrer-Policy"]) == (200, "no-referrer")
    assert f"frame-ancestors {platform.url}" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("message", ["deep-linking-request", "submission-review"])
def test_recorded_messages_of_other_kinds_pass_every_check(
    browser: Browser, store: SqliteStore, platform: MockPlatform, message: str, app: Flask
) -> None:
    asked = browser.begin(platform)
    state = store.state(asked["state"])
    assert state is not None
    expected = Expected(platform.registered(), state, TOOL, time.time(), 60)
    finder = app.extensions["labkit"].key_finder
    token = platform.sign(platform.message(message, asked["nonce"]))
    assert verified(token, expected, lambda kid: finder.find(platform.registered(), kid))[claims.VERSION] == "1.3.0"


@pytest.mark.parametrize(
    ("role", "changed"),
    [
        (LEARNER, {"roles": [f"{CONTEXT}#Learner"]}),
        (INSTRUCTOR, {"roles": [f"{CONTEXT}#Learner", f"{CONTEXT}#Instructor"]}),
        (INSTRUCTOR, {"roles": ["Instructor"]}),
        (INSTRUCTOR, {"roles": [f"{CONTEXT}/Instructor#TeachingAssistant"]}),
        (OTHER, {"roles": ["http://example.org/roles#Wizard"]}),
        (OTHER, {"roles": []}),
        (LEARNER, {"name": None, "given_name": None, "family_name": None}),
        (LEARNER, {"email": None}),
        (LEARNER, NOBODY),
        (LEARNER, {"context": None} | NOBODY),
        (LEARNER, {"lis": None, "launch_presentation": None, "endpoint": None, "namesroleservice": None} | NOBODY),
        (
            LEARNER,
            {"roles": [f"{CONTEXT}#Learner", "http://purl.imsglobal.org/vocab/lis/v2/institution/person#Instructor"]},
        ),
        (LEARNER, {"roles": [f"{CONTEXT}#Learner", "Learner#Instructor"]}),
        (LEARNER, {"custom": {"lab": "hello-lab", "role": "Instructor", "roles": f"{CONTEXT}#Instructor"}}),
        (LEARNER, {"aud": ["client-1"]}),
        (LEARNER, {"aud": ["other", "client-1"], "azp": "client-1"}),
    ],
)
def test_every_valid_form_of_a_launch_is_taken_with_the_role_that_it_has_in_the_course(
    role: LaunchRole, changed: dict[str, Any], browser: Browser, store: SqliteStore, platform: MockPlatform
) -> None:
    found = recorded(browser, store, browser.enter(platform, **changed))
    assert (found.role, found.subject) == (role, "4")


@pytest.mark.parametrize("seconds", [{"iat": 30}, {"exp": -30, "iat": -90}])
def test_a_platforms_clock_may_be_a_little_wrong(
    seconds: dict[str, int], browser: Browser, store: SqliteStore, platform: MockPlatform
) -> None:
    times = {claim: int(time.time()) + ahead for claim, ahead in seconds.items()}
    assert recorded(browser, store, browser.enter(platform, **times)).role is LEARNER


def test_a_launch_is_taken_by_get_too_where_it_is_only_begun(browser: Browser, platform: MockPlatform) -> None:
    given = {"iss": platform.url, "login_hint": "a b&c", "target_link_uri": TOOL, "lti_message_hint": '{"a": "ü+%"}'}
    first = browser.get("/lti/login", query_string=given)
    second = browser.get(first.headers["Location"])
    assert second.headers["Location"].startswith(f"{platform.url}/auth?scope=openid&response_type=id_token&")
    assert "login_hint=a+b%26c" in second.headers["Location"]
    assert "lti_message_hint=%7B%22a%22%3A+%22%C3%BC%2B%25%22%7D" in second.headers["Location"]


def test_cookies_live_in_a_frame_and_only_where_they_are_needed(browser: Browser, platform: MockPlatform) -> None:
    answer = browser.launch(platform)
    (cookie,) = answer.headers.getlist("Set-Cookie")
    parts = set(cookie.split("; ")[1:])
    assert parts >= {"Secure", "HttpOnly", "SameSite=None", "Partitioned", f"Path={answer.headers['Location']}"}


def test_where_cookies_are_blocked_a_new_window_is_offered_before_the_platform_is_asked(
    app: Flask, platform: MockPlatform, store: SqliteStore
) -> None:
    bare = Browser(app)
    bare.client = app.test_client(use_cookies=False)
    before = store._rows("SELECT * FROM launch_state")
    page = bare.login(platform)
    assert 'target="_blank"' in page.text
    assert "login_hint=4" in page.text
    assert store._rows("SELECT * FROM launch_state") == before


def test_the_same_form_posted_twenty_times_at_once_is_one_launch(
    browser: Browser, platform: MockPlatform, app: Flask, store: SqliteStore
) -> None:
    asked, answers = browser.begin(platform), []
    token = platform.sign(platform.message("launch-student", asked["nonce"]))
    cookie = browser.client.get_cookie("__Host-labkit-sign-in", "tool.example")
    assert cookie is not None
    headers = {"Cookie": f"{cookie.key}={cookie.value}"}

    def send() -> None:
        form = {"state": asked["state"], "id_token": token}
        answer = app.test_client(use_cookies=False).post("/lti/launch", base_url=TOOL, data=form, headers=headers)
        answers.append(answer.status_code)

    threads = [threading.Thread(target=send) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [303] + [400] * 19
    assert len(store._rows("SELECT * FROM launch WHERE platform = ?", platform.registered().id)) == 1


def test_sign_ins_under_way_are_bounded_in_number(browser: Browser, platform: MockPlatform, store: SqliteStore) -> None:
    first = browser.begin(platform)
    store._write("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'launch_state'", MOST_STATES)
    for _ in range(2):
        browser.begin(platform)
    assert store.state(first["state"]) is None


def test_the_same_subject_of_two_platforms_is_two_people(
    browser: Browser, platform: MockPlatform, store: SqliteStore
) -> None:
    second = MockPlatform(platform.url, "client-2", platform.keys)
    store.add_platform(second.registered())
    people = {recorded(browser, store, browser.enter(one)).learner for one in (platform, second, platform)}
    assert len(people) == 2


def test_a_preset_cookie_is_nobodys_session(app: Flask, browser: Browser, platform: MockPlatform) -> None:
    thief = Browser(app)
    for one in (browser, thief):
        one.client.set_cookie(SESSION_COOKIE, "preset-preset-preset-preset-preset", domain="tool.example")
    address = browser.enter(platform)
    assert browser.get(address).status_code == 200
    assert thief.get(address).status_code == 403


def test_two_launches_of_one_browser_keep_their_own_roles(
    browser: Browser, platform: MockPlatform, store: SqliteStore
) -> None:
    teacher, student = browser.enter(platform, "launch-teacher"), browser.enter(platform, "launch-student")
    assert recorded(browser, store, teacher).role is INSTRUCTOR
    assert recorded(browser, store, student).role is LEARNER


def test_what_the_page_must_know_to_begin_is_told_without_a_question_to_the_cluster(
    browser: Browser, platform: MockPlatform
) -> None:
    address = browser.enter(platform, sub="6")  # the settings name a cluster that is not there
    assert browser.ask(f"{address}state").get_json()["lab"] is None
    assert browser.ask(f"{address}start").status_code == 200
    assert browser.ask(f"{address}state").get_json()["lab"] == {"state": "starting"}
    assert browser.ask(f"{address}view/status").status_code == 503


def test_a_launch_without_a_lab_leads_a_teacher_to_what_he_has_to_do(browser: Browser, platform: MockPlatform) -> None:
    page = browser.get(browser.enter(platform, "launch-teacher", custom={"lab": ""}))
    assert (page.status_code, "lab=NAME" in page.text) == (404, True)


def test_addresses_of_services_that_are_not_the_platforms_own_count_as_none(
    browser: Browser, platform: MockPlatform, store: SqliteStore
) -> None:
    evil = {"lineitem": "https://evil.example/grades", "lineitems": f"{platform.url}/items", "scope": ["a"]}
    found = recorded(browser, store, browser.enter(platform, endpoint=evil))
    link = store.link(found.link)
    assert link is not None
    assert (link.line_item, link.line_items) == ("", f"{platform.url}/items")


def test_another_lab_at_the_same_place_is_another_activity(
    browser: Browser, platform: MockPlatform, store: SqliteStore
) -> None:
    def activity(**custom: str) -> str:
        link = store.link(recorded(browser, store, browser.enter(platform, custom=custom)).link)
        assert link is not None
        return link.activity

    first, second = activity(lab="hello-lab"), activity(lab="two-machines")
    assert first != second
    assert activity() == second
    assert activity(lab="hello-lab") == first


def test_a_lab_that_is_bound_to_another_course_is_not_offered(
    browser: Browser, platform: MockPlatform, store: SqliteStore
) -> None:
    found = recorded(browser, store, browser.enter(platform, context={"id": "7"}))
    store.draft_lab(found.context, "broken-service", "any", taken=False, most=1)
    wanted = {"lab": "broken-service"}
    assert browser.launch(platform, custom=wanted, context={"id": "7"}).status_code == 303
    assert browser.launch(platform, custom=wanted, context={"id": "8"}).status_code == 404
    store.unbind_template("broken-service", found.context)


def test_a_learner_called_script_is_shown_as_text(browser: Browser, platform: MockPlatform) -> None:
    evil = "<script>alert(1)</script>"
    link, context = {"id": "9", "title": evil}, {"id": "9", "title": evil, "label": evil}
    page = browser.get(browser.enter(platform, name=evil, resource_link=link, context=context))
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert" in page.text


def test_the_tools_public_keys_can_be_fetched_and_hold_nothing_private(browser: Browser) -> None:
    (key,) = browser.get("/lti/jwks").get_json()["keys"]
    assert sorted(key) == ["alg", "e", "kid", "kty", "n", "use"]


def test_a_launch_that_one_process_began_is_taken_once_by_another(
    settings: Settings, browser: Browser, platform: MockPlatform
) -> None:
    asked = browser.begin(platform)
    token = platform.sign(platform.message("launch-student", asked["nonce"]))
    cookie = browser.client.get_cookie("__Host-labkit-sign-in", "tool.example")
    assert cookie is not None
    found = SqliteStore(settings.database)
    other = Browser(create_app(settings, direct_labs(settings, found), found))
    other.client.set_cookie(cookie.key, cookie.value, domain="tool.example")
    address = other.send(asked["state"], token).headers["Location"]
    assert (other.get(address).status_code, browser.get(address).status_code) == (200, 403)
    assert browser.send(asked["state"], token).status_code == 400
    found.close()
