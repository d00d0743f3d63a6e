"""Dynamic registration: once, by a link that an operator has made for one platform, and by nobody else."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from labkit.store import RegistrationLink, SqliteStore
from lti_app.guards import hashed
from tests.courses.conftest import Visit
from tests.lti.browser import Browser
from tests.lti.platform import TOOL
from tests.support.platform import Platform as Simulator
from tests.support.platform import running_platform

SECRET = "s" * 43


@pytest.fixture
def link(store: SqliteStore, moodle: Simulator) -> RegistrationLink:
    found = RegistrationLink(hashed(SECRET), moodle.origin, "Our Moodle", time.time() + 60)
    store.add_registration_link(found)
    return found


def register(app: Flask, moodle: Simulator, secret: str = SECRET, **changed: str) -> TestResponse:
    """What the platform's administrator does: he opens the address, and says yes."""
    address = moodle.registration_address(f"/lti/register/{secret}")
    page = Browser(app).get(address)
    if page.status_code != 200:
        return page
    asked = page.request.args
    form = {"configuration": asked["openid_configuration"], "token": asked["registration_token"], **changed}
    return Browser(app).post(f"/lti/register/{secret}", data=form)


def test_a_registered_platforms_people_can_be_launched_at_once(
    app: Flask, moodle: Simulator, store: SqliteStore, link: RegistrationLink, visit: Visit
) -> None:
    done = register(app, moodle)
    assert f'data-origin="{moodle.origin}"' in done.text
    (platform,) = store.platforms()
    assert (platform.name, platform.client_id, platform.deployments) == ("Our Moodle", moodle.client, ("2",))
    activity = moodle.site.activity("2", "Hello", lab="hello-lab")
    assert "Hello" in visit("4", activity=activity.id).text


def test_who_registers_the_tool_by_hand_finds_what_to_type_in(app: Flask) -> None:
    page = Browser(app).get("/lti/").text
    assert [path for path in ("/lti/login", "/lti/launch", "/lti/jwks") if f"{TOOL}{path}" not in page] == []


def test_a_link_is_good_once(app: Flask, moodle: Simulator, store: SqliteStore, link: RegistrationLink) -> None:
    register(app, moodle)
    assert register(app, moodle).status_code == 404
    assert len(store.platforms()) == 1


def test_opening_the_link_asks_nobody_anything(app: Flask, moodle: Simulator, link: RegistrationLink) -> None:
    Browser(app).get(moodle.registration_address(f"/lti/register/{SECRET}"))
    assert moodle.seen == []


def test_strangers_and_old_links_register_nothing(app: Flask, moodle: Simulator, store: SqliteStore) -> None:
    store.add_registration_link(RegistrationLink(hashed("old"), moodle.origin, "", time.time() - 1))
    assert {register(app, moodle, secret).status_code for secret in ("old", "guessed")} == {404}
    assert moodle.seen == []


@pytest.mark.parametrize("where", ["http://127.0.0.1:9", "http://169.254.169.254/latest", "file:///etc/passwd", ""])
def test_nothing_is_asked_of_another_address_than_the_links(
    app: Flask, moodle: Simulator, store: SqliteStore, link: RegistrationLink, where: str
) -> None:
    answer = register(app, moodle, configuration=where)
    assert answer.status_code in (400, 422)
    assert (moodle.seen, store.platforms()) == ([], [])


@pytest.mark.parametrize("name", ["issuer", "registration_endpoint", "token_endpoint", "jwks_uri"])
def test_a_configuration_that_leads_elsewhere_is_refused_before_it_is_followed(
    app: Flask, moodle: Simulator, store: SqliteStore, link: RegistrationLink, name: str
) -> None:
    with running_platform("http://tool.invalid") as stranger:
        told = moodle.configuration() | {name: stranger.configuration()[name]}
        moodle.configuration = lambda: told  # type: ignore[method-assign]
        answer = register(app, moodle)
        assert (answer.status_code, stranger.seen, store.platforms()) == (422, [], [])
        assert name in answer.text


@pytest.mark.parametrize("algorithms", [None, 256, ["ES256"], {}])
def test_a_configuration_that_does_not_name_rs256_is_refused(
    app: Flask, moodle: Simulator, store: SqliteStore, link: RegistrationLink, algorithms: object
) -> None:
    told = moodle.configuration() | {"id_token_signing_alg_values_supported": algorithms}
    moodle.configuration = lambda: told  # type: ignore[method-assign]
    answer = register(app, moodle)
    assert (answer.status_code, "RS256" in answer.text, store.platforms()) == (422, True, [])


def test_what_the_platform_refuses_can_be_done_again(
    app: Flask, moodle: Simulator, store: SqliteStore, link: RegistrationLink
) -> None:
    assert register(app, moodle, token="used-up").status_code == 422
    assert register(app, moodle).status_code == 200
    assert len(store.platforms()) == 1


def test_a_link_may_say_which_labs_the_platform_may_use(
    app: Flask, moodle: Simulator, store: SqliteStore, link: RegistrationLink
) -> None:
    store.add_registration_link(replace(link, secret=hashed("narrow"), templates=("two-*",)))
    register(app, moodle, "narrow")
    assert store.platforms()[0].templates == ("two-*",)
