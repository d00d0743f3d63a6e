"""Who may ask the API, how, and what a refusal tells. No machines."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from flask import Request

from labkit.errors import ClusterError
from labkit.model import Principal, Role
from labkit.orchestrator.ssh import Completed
from labkit.remote.calls import ROOT, TABLE
from lti_app.api import HubTokens
from lti_app.api.callers import Bearer
from tests.api.conftest import Site

HUB_USERS = {
    "alices": {"kind": "user", "name": "alice", "scopes": ["access:services!service=labkit"]},
    "elsewhere": {"kind": "user", "name": "alice", "scopes": ["access:services!service=other", "access:servers!user"]},
    "robot": {"kind": "service", "name": "alice", "scopes": ["access:services"]},
}


class Hub(BaseHTTPRequestHandler):
    """What JupyterHub answers to a token that asks who it is."""

    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        model = HUB_USERS.get(self.headers["Authorization"].removeprefix("token "))
        self.send_response(200 if model else 403)
        self.end_headers()
        self.wfile.write(json.dumps(model).encode())

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@pytest.fixture
def hub() -> Iterator[str]:
    Hub.asked = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/hub/api"
    server.shutdown()
    server.server_close()


def path_of(pattern: str) -> str:
    return ROOT + pattern.replace("{", "").replace("}", "")


@pytest.mark.parametrize("call", TABLE, ids=lambda call: call.name)
def test_without_a_token_no_row_answers(site: Site, call: Any) -> None:
    answer = site.client().open(path_of(call.path), method=call.method)
    assert (answer.status_code, answer.json["title"]) == (401, "Unauthenticated")  # type: ignore[index]
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_token_stands_for_whom_it_was_made(site: Site) -> None:
    found = site.ask("GET", "/me").json
    assert (found["realm"], found["subject"], found["role"]) == ("local", "ada", "learner")  # type: ignore[index]


def test_an_expired_a_revoked_and_a_changed_token_count_for_nothing(site: Site) -> None:
    ada = site.lab.principal
    revoked = site.token(ada)
    site.store.revoke_token(revoked.split("_")[1])
    for token in (site.token(ada, expires=-1), revoked, site.tokens["ada"][:-1] + "!", "labkit_", "\x7f", ""):
        assert site.ask("GET", "/me", token).status_code == 401


def test_of_a_token_the_store_keeps_only_a_hash(site: Site) -> None:
    secret = site.tokens["ada"].rpartition("_")[2]
    assert secret not in json.dumps(site.store.export(site.store.learner(site.lab.principal)))


@pytest.mark.parametrize("call", TABLE, ids=lambda call: call.name)
def test_a_token_for_reading_changes_nothing_and_is_handed_no_secret(site: Site, call: Any) -> None:
    token = site.token(site.lab.principal, scope="read")
    answer = site.ask(
        call.method, call.path.replace("{", "").replace("}", ""), token, json={} if call.in_body else None
    )
    allowed = call.method == "GET" and call.name != "credentials"
    assert ("reading only" in answer.text) is not allowed


def test_no_body_says_who_asks(site: Site) -> None:
    body = {"step": "first", "done": True, "principal": {"realm": "local", "subject": "bob"}}
    answer = site.ask("POST", f"/labs/{site.lab.id}/ticks", json=body)
    assert (answer.status_code, answer.json["faults"][0]["text"]) == (  # type: ignore[index]
        422,
        "principal: Extra inputs are not permitted",
    )


def test_another_learners_lab_is_not_told_from_one_that_is_not(site: Site) -> None:
    for name in (site.lab.id, "nothing"):
        answer = site.ask("GET", f"/labs/{name}", "bob")
        assert (answer.status_code, name in answer.json["detail"]) == (404, True)  # type: ignore[index]


def test_what_a_view_asks_is_answered_without_what_is_locked_or_costs_points(site: Site) -> None:
    told = site.ask("POST", f"/labs/{site.lab.id}/view/view", json={"params": {}}).text
    told += site.ask("GET", f"/labs/{site.lab.id}/instructions").text
    assert "First" in told
    assert "SECRET" not in told


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"data": "x" * 70_000, "content_type": "application/json"}, 413),
        ({"data": "{", "content_type": "application/json"}, 400),
        ({"data": "step=first", "content_type": "application/x-www-form-urlencoded"}, 415),
        ({"json": [1]}, 422),
        ({"json": {"step": 1, "done": "perhaps"}}, 422),
    ],
)
def test_what_cannot_be_read_is_refused_as_a_problem(site: Site, sent: dict[str, Any], status: int) -> None:
    answer = site.ask("POST", f"/labs/{site.lab.id}/ticks", **sent)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")


@pytest.mark.parametrize(("method", "path"), [("GET", "/nothing"), ("PUT", "/labs"), ("OPTIONS", "/labs")])
def test_what_is_no_row_is_answered_404_in_the_same_form(site: Site, method: str, path: str) -> None:
    answer = site.ask(method, path)
    assert (answer.status_code, answer.json["title"]) == (404, "NotFound")  # type: ignore[index]


def test_what_only_operators_may_say_is_refused_to_a_learner(site: Site) -> None:
    answer = site.ask("POST", "/labs", json={"template": "text", "activity": "class-3"})
    assert (answer.status_code, "only operators" in answer.text) == (403, True)


def test_what_is_kept_for_a_course_is_not_there_for_who_asks_the_api(site: Site) -> None:
    client = site.client(withheld=lambda: {"hello-lab"})
    ada = {"Authorization": f"Bearer {site.tokens['ada']}"}
    assert client.post(f"{ROOT}/labs", json={"template": "hello-lab"}, headers=ada).status_code == 404


class Busy:
    """`Labs` whose commands end when they are told to."""

    def __init__(self) -> None:
        self.begun, self.ends = threading.Semaphore(0), threading.Event()

    def execute(self, *arguments: Any, **options: Any) -> Completed:
        self.begun.release()
        assert self.ends.wait(20)
        return Completed(0, "", "")


def test_of_one_learner_two_commands_run_at_once_and_of_all_half_as_many_as_there_are_threads(site: Site) -> None:
    busy = Busy()
    app = site.client(busy, threads=6).application
    tokens = {name: {"Authorization": f"Bearer {site.token(Principal('local', name))}"} for name in ("a", "b", "c")}

    def run(who: str) -> int:
        path, body = f"{ROOT}/labs/l/machines/m/execute", {"command": "id", "timeout": 60, "as_learner": True}
        return app.test_client().post(path, json=body, headers=tokens[who]).status_code

    with ThreadPoolExecutor() as pool:
        under_way = [pool.submit(run, who) for who in ("a", "a")]
        assert all(busy.begun.acquire(timeout=10) for _ in under_way)
        refused = [run("a")]
        under_way.append(pool.submit(run, "b"))
        assert busy.begun.acquire(timeout=10)
        refused.append(run("c"))
        busy.ends.set()
        assert (refused, [one.result() for one in under_way], run("c")) == ([429, 429], [200] * 3, 200)


class Broken:
    """`Labs` whose engine does not do what it is asked."""

    def labs(self, principal: Principal, *, ended: bool) -> None:
        raise ClusterError("secret-node refused")


def test_the_engines_words_are_for_the_operator(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    olga = site.token(Principal("local", "olga"), role=Role.OPERATOR)
    client = site.client(Broken())
    asked = [{"Authorization": f"Bearer {token}"} for token in (site.tokens["ada"], olga)]
    told, whole = (client.get(f"{ROOT}/labs", headers=headers) for headers in asked)
    assert (told.status_code, "secret-node" in told.text, "secret-node" in whole.text) == (502, False, True)
    assert str(told.json["detail"]).split()[-1] in caplog.text  # type: ignore[index]


def test_too_many_requests_are_refused_for_a_while_also_those_with_bad_tokens(site: Site) -> None:
    client = site.client(per_minute=2)
    good = {"Authorization": f"Bearer {site.tokens['ada']}"}
    assert [client.get(f"{ROOT}/me", headers=good).status_code for _ in range(3)] == [200, 200, 429]
    codes = [client.get(f"{ROOT}/me", headers={"Authorization": "Bearer x"}).status_code for _ in range(61)]
    assert (codes[0], codes[-1]) == (401, 429)


def test_no_token_and_no_id_is_in_the_log(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    site.ask("GET", f"/labs/{site.lab.id}", query_string={"token": "t0ken"})
    assert "GET /api/v1/labs/<lab> 4" in caplog.text or "GET /api/v1/labs/<lab> 2" in caplog.text
    assert not any(word in caplog.text for word in (site.lab.id, site.tokens["ada"], "t0ken"))


def test_no_cookie_says_who_asks(site: Site) -> None:
    client = site.client()
    client.set_cookie("__Secure-labkit", site.tokens["ada"])
    assert client.get(f"{ROOT}/me").status_code == 401


def by_hub(site: Site, hub: str, token: str) -> Any:
    """Whom a token stands for, asked twice."""
    bearer = Bearer(site.store, HubTokens(hub, "labkit"))
    request = Request({"HTTP_AUTHORIZATION": f"token {token}", "REQUEST_METHOD": "GET"})
    assert bearer(request) == bearer(request)
    return bearer(request)


def test_a_hubs_user_is_who_the_hub_says_and_a_learner(site: Site, hub: str) -> None:
    assert by_hub(site, hub, "alices").principal == Principal("hub", "alice", name="alice")
    assert Hub.asked == 1, "the Hub's word is kept for a while"


@pytest.mark.parametrize(
    ("token", "said"), [("elsewhere", "must grant"), ("robot", "counts for"), ("made-up", "counts")]
)
def test_a_hubs_token_for_something_else_and_a_strangers_are_refused(
    site: Site, hub: str, token: str, said: str
) -> None:
    with pytest.raises(Exception, match=said):
        by_hub(site, hub, token)


def test_a_hub_that_is_away_lets_nobody_in(site: Site) -> None:
    with pytest.raises(Exception, match="cannot be asked"):
        by_hub(site, "http://127.0.0.1:9/hub/api", "alices")
