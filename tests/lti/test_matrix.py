"""Nobody sees, opens or stops another's lab: asked of every route that there is, so that none can be forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from werkzeug.routing import Rule

from labkit.settings import Settings
from labkit.store import SqliteStore
from lti_app.application import create_app
from lti_app.guards import anybody, guard_of, install
from tests.lti.browser import Browser
from tests.lti.conftest import direct_labs, site_settings
from tests.lti.platform import TOOL, MockPlatform, running_platform
from tests.support.engine import running_engine

OPEN = {"files.static", "lti.login", "lti.launch", "lti.jwks", "ready"} | {
    f"registration.{name}" for name in ("addresses", "ask", "register")
}
"""What anybody may ask for: nothing that belongs to somebody."""
VALUES = {"method": "stop", "path": "path.svg", "learner": "a", "deed": "send"} | {
    "name": "hello-lab",
    "file": "index.html",
    "which": "draft",
}
TEACHERS = ("classroom.", "linking.", "authoring.", "watching.")
CHANGING = (
    *("tick", "answer", "open_hint", "check", "poll", "collect", "upload"),
    *("pause", "resume", "reset", "stop", "extend", "events"),
)
"""What a lab view can ask for that is not only to be looked at."""


@dataclass
class Visit:
    """Somebody's browser, and the address that his launch led to."""

    browser: Browser
    address: str

    @property
    def launch(self) -> str:
        return self.address.split("/")[2]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_engine() as engine:
        kubeconfig = {"LABKIT_KUBECONFIG": str(engine.kubeconfig)}
        yield site_settings(tmp_path_factory.mktemp("site") / "state", **kubeconfig)


@pytest.fixture(scope="module")
def app(settings: Settings, store: SqliteStore) -> Flask:
    return create_app(settings, direct_labs(settings, store), store)


@pytest.fixture(scope="module")
def visits(app: Flask, store: SqliteStore) -> Iterator[dict[str, Visit]]:
    """Two learners of one course, one also in another course, the same subject of another platform, a teacher."""
    with running_platform() as school, running_platform(client_id="client-2") as other:
        for mock in (school, other):
            store.add_platform(mock.registered())
        people: dict[str, tuple[MockPlatform, dict[str, Any]]] = {
            "ada": (school, {}),
            "bob": (school, {"sub": "5"}),
            "ada-elsewhere": (school, {"context": {"id": "3"}}),
            "other-ada": (other, {}),
        }
        found = {}
        for name, (mock, changed) in people.items():
            browser = Browser(app)
            found[name] = Visit(browser, browser.enter(mock, **changed))
        teacher = Browser(app)
        found["teacher"] = Visit(teacher, teacher.enter(school, "launch-teacher", resource_link={"id": "2"}))
        for visit in found.values():
            assert visit.browser.ask(f"{visit.address}start").status_code == 200
        yield found


def rules(app: Flask) -> list[tuple[Rule, str]]:
    """Every route that belongs to a launch, with each of its methods."""
    found = [rule for rule in app.url_map.iter_rules() if "launch" in rule.arguments]
    return [(rule, method) for rule in found for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})]


def ask(app: Flask, visitor: Visit, host: Visit, rule: Rule, method: str) -> int:
    """What `visitor` gets from a route of the launch of `host`."""
    values = {**VALUES, "launch": host.launch}
    with app.test_request_context(base_url=TOOL):
        path = app.url_map.bind("tool.example").build(
            rule.endpoint, {name: values[name] for name in rule.arguments}, method
        )
    if visitor is not host:  # as though the cookie were sent everywhere
        cookie = visitor.browser.client.get_cookie("__Secure-labkit", "tool.example", visitor.address)
        assert cookie is not None
        visitor.browser.client.set_cookie("__Secure-labkit", cookie.value, domain="tool.example", path=host.address)
    headers = {"X-Labkit": "1", "Origin": TOOL}
    return visitor.browser.client.open(path, method=method, base_url=TOOL, headers=headers, json={}).status_code


def test_everybody_has_a_lab_of_his_own(visits: dict[str, Visit], store: SqliteStore) -> None:
    labs = store.labs()
    assert len({lab.work for lab in labs}) == len(visits) == 5
    assert len({lab.learner for lab in labs}) == 4, "ada is one person in two courses"


def test_every_route_asks_who_is_there_or_is_listed_as_open(app: Flask) -> None:
    views = {name for name in app.view_functions if not name.startswith("api.")}
    assert {name for name in views if guard_of(app, name) is anybody} == OPEN
    bound = {rule.endpoint for rule in app.url_map.iter_rules() if "launch" in rule.arguments}
    assert bound | OPEN == views, "a route is of a launch, or open"


def test_every_route_of_the_api_asks_for_a_token_whatever_cookie_comes_along(
    app: Flask, visits: dict[str, Visit]
) -> None:
    answers = {}
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("api."):
            path = rule.rule.replace("<", "").replace(">", "").replace("path:", "")
            method = min((rule.methods or set()) - {"HEAD", "OPTIONS"})
            answers[rule.endpoint] = visits["ada"].browser.client.open(path, method=method, base_url=TOOL).status_code
    assert {name for name, status in answers.items() if status != 401} == {"api.openapi", "api.nothing"}


def test_an_application_with_a_route_that_names_no_guard_cannot_be_made() -> None:
    bare = Flask("bare", static_folder=None)
    bare.add_url_rule("/", "forgotten", lambda: "everything")
    with pytest.raises(TypeError, match="forgotten"):
        install(bare)


def test_nobody_gets_anything_from_anothers_route(app: Flask, visits: dict[str, Visit], store: SqliteStore) -> None:
    before = [(lab.id, lab.wanted) for lab in store.labs()]
    found = {
        (visitor, host, rule.endpoint, method): ask(app, visits[visitor], visits[host], rule, method)
        for visitor in visits
        for host in visits
        for rule, method in rules(app)
        if visitor != host
    }
    assert set(found.values()) == {403}
    assert len(found) == 20 * len(rules(app))
    assert [(lab.id, lab.wanted) for lab in store.labs()] == before


def test_ones_own_routes_answer(app: Flask, visits: dict[str, Visit]) -> None:
    own = visits["ada"]
    mine = [one for one in rules(app) if not one[0].endpoint.startswith(TEACHERS)]
    found = {rule.endpoint: ask(app, own, own, rule, method) for rule, method in mine}
    assert 403 not in found.values(), found
    assert own.browser.ask(f"{own.address}view/status").get_json()["lab"]["state"] == "stopping"


def test_a_stranger_without_a_cookie_gets_nothing(app: Flask, visits: dict[str, Visit]) -> None:
    for rule, method in rules(app):
        stranger = Visit(Browser(app), visits["ada"].address)
        assert ask(app, stranger, stranger, rule, method) == 403


@pytest.mark.parametrize(
    "headers",
    [{}, {"Origin": "https://evil.example", "X-Labkit": "1"}, {"Origin": "null", "X-Labkit": "1"}, {"Origin": TOOL}],
)
def test_nothing_is_changed_for_a_foreign_page(headers: dict[str, str], visits: dict[str, Visit]) -> None:
    bob = visits["bob"]
    answer = bob.browser.post(f"{bob.address}view/stop", data="{}", headers=headers, content_type="text/plain")
    assert (answer.status_code, "own page" in answer.text) == (403, True)


def test_a_labs_status_brings_what_the_course_adds_so_that_a_page_asks_one_question(visits: dict[str, Visit]) -> None:
    bob = visits["bob"]
    bob.browser.ask(f"{bob.address}hand", raised=True)
    told = bob.browser.ask(f"{bob.address}view/status").get_json()
    assert (told["lab"]["state"], told["hand"], told["grade"]["state"]) == ("starting", True, "none")
    bob.browser.ask(f"{bob.address}hand", raised=False)


def test_a_call_for_help_reaches_those_who_teach_the_activity(visits: dict[str, Visit], store: SqliteStore) -> None:
    bob = visits["bob"]
    bob.browser.ask(f"{bob.address}hand", raised=True)
    (hand,) = [hand for lab in store.labs() for hand in store.hands(lab.activity) if hand.work == lab.work]
    assert hand.learner in {lab.learner for lab in store.labs() if lab.work == hand.work}
    assert bob.browser.ask(f"{bob.address}hand", raised=False).get_json() == {"hand": False}
    assert [hand for lab in store.labs() for hand in store.hands(lab.activity)] == []


def test_a_teacher_sees_a_learners_page_and_changes_nothing(visits: dict[str, Visit], store: SqliteStore) -> None:
    teacher, before = visits["teacher"], [(lab.id, lab.wanted) for lab in store.labs()]
    cards = teacher.browser.get(f"{teacher.address}class/").text
    found = re.search(r'data-subject="5".*?people/(\w+)/', cards, re.DOTALL)
    assert found
    page = f"{teacher.address}class/people/{found[1]}/page/"
    assert teacher.browser.get(page).status_code == 200
    shown = teacher.browser.ask(f"{page}view/view").get_json()
    (bobs,) = [lab.id for lab in store.labs() if lab.learner == found[1]]
    assert (shown["lab"]["id"], shown["credentials"]) == (bobs, [])
    assert {teacher.browser.ask(f"{page}view/{method}").status_code for method in CHANGING} == {403}
    assert {teacher.browser.ask(f"{page}{deed}").status_code for deed in ("start", "hand", "state")} == {404}
    assert [(lab.id, lab.wanted) for lab in store.labs()] == before


@pytest.mark.parametrize("path", ["../lab.yaml", "%2e%2e/lab.yaml", "..%2flab.yaml", "/etc/passwd"])
def test_no_file_but_the_templates_media_is_given_out(path: str, visits: dict[str, Visit]) -> None:
    bob = visits["bob"]
    assert bob.browser.get(f"{bob.address}view/media/{path}").status_code == 404


def test_a_picture_with_scripts_in_it_runs_none(visits: dict[str, Visit]) -> None:
    answer = visits["bob"].browser.get(f"{visits['bob'].address}view/media/path.svg")
    assert (answer.status_code, answer.content_type.split(";")[0]) == (200, "image/svg+xml")
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_the_page_says_when_a_visit_is_over(visits: dict[str, Visit], store: SqliteStore) -> None:
    visit = visits["other-ada"]
    (platform,) = [one for one in store.platforms() if one.client_id == "client-2"]
    store.remove_platform(platform.id)
    assert "open the activity again" in visit.browser.ask(f"{visit.address}state").get_json()["error"]
