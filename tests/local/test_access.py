"""Rights as a user of the API meets them: through the real kubectl, raw requests and WebSockets."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.exceptions import InvalidStatus

from tests.local.conftest import post
from tests.support.cluster import PROTOCOL
from tests.support.engine import SUBRESOURCES, EngineProcess, machine, seed, until

RBAC = "/apis/rbac.authorization.k8s.io/v1"
SUB = "subresources.kubevirt.io"
VMIS = "virtualmachineinstances"


@dataclass(frozen=True)
class Account:
    """A ServiceAccount with a token of its own."""

    engine: EngineProcess
    space: str
    name: str
    token: str

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.space}:{self.name}"

    def request(self, method: str, path: str, body: Any = None, token: str = "", **headers: str) -> tuple[int, Any]:
        """A request with this account's token: code and JSON."""
        given = {"Authorization": f"Bearer {token or self.token}", **headers}
        code, answer = self.engine.request(method, path, body, **given)
        return code, json.loads(answer) if answer[:1] == b"{" else answer.decode()

    def refusal(self, subresource: str, **options: Any) -> int:
        """The code that refuses a stream into the machine ``web``."""
        options.setdefault("additional_headers", {"Authorization": f"Bearer {self.token}"})
        with pytest.raises(InvalidStatus) as refused:
            self.engine.stream(self.space, "web", subresource, **options)
        return int(refused.value.response.status_code)


def rule(verbs: str, resources: str, group: str = "", **more: Any) -> dict[str, Any]:
    """A PolicyRule from words."""
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split(), **more}


def token(engine: EngineProcess, space: str, name: str, **spec: Any) -> str:
    """A token as TokenRequest gives it."""
    path = f"/api/v1/namespaces/{space}/serviceaccounts/{name}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    code, answer = engine.request("POST", path, body)
    assert code == 201, answer
    return str(json.loads(answer)["status"]["token"])


@pytest.fixture
def account(engine: EngineProcess, space: str) -> Callable[..., Account]:
    """Makes an account whose role has the given rules."""

    def make(*rules: dict[str, Any]) -> Account:
        name = f"bot-{uuid.uuid4().hex[:6]}"
        subject = {"kind": "ServiceAccount", "name": name, "namespace": space}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
        home = f"{RBAC}/namespaces/{space}"
        made = [
            (f"/api/v1/namespaces/{space}/serviceaccounts", {}),
            (f"{home}/roles", {"rules": list(rules)}),
            (f"{home}/rolebindings", {"roleRef": reference, "subjects": [subject]}),
        ]
        for path, content in made:
            code, body = engine.request("POST", path, {"metadata": {"name": name}, **content})
            assert code == 201, body
        return Account(engine, space, name, token(engine, space, name))

    return make


Make = Callable[..., Account]


# Who


def test_the_owner_of_the_kubeconfig_may_do_everything(engine: EngineProcess) -> None:
    shown = engine.kubectl("auth", "whoami")
    assert "labkit-admin" in shown
    assert "system:masters" in shown
    assert engine.kubectl("auth", "can-i", "*", "*", "--all-namespaces").strip().endswith("yes")


def test_kubectl_creates_accounts_roles_and_tokens_that_work(engine: EngineProcess, space: str) -> None:
    engine.kubectl("create", "serviceaccount", "bot", "-n", space)
    engine.kubectl("create", "role", "reader", "-n", space, "--verb=get,list", "--resource=secrets")
    engine.kubectl("create", "rolebinding", "reader", "-n", space, "--role=reader", f"--serviceaccount={space}:bot")
    made = engine.kubectl("create", "token", "bot", "-n", space, "--duration=15m").strip()
    bot = Account(engine, space, "bot", made)
    assert bot.request("GET", f"/api/v1/namespaces/{space}/secrets")[0] == 200
    claims = jwt.decode(made, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 900
    assert claims["sub"] == bot.user
    assert claims["kubernetes.io"]["serviceaccount"]["name"] == "bot"


def test_every_namespace_has_an_account_named_default_that_comes_back(engine: EngineProcess, space: str) -> None:
    path = f"/api/v1/namespaces/{space}/serviceaccounts/default"
    first = until(lambda: (found := engine.request("GET", path))[0] == 200 and json.loads(found[1]))
    engine.request("DELETE", path)
    again = until(lambda: (found := engine.request("GET", path))[0] == 200 and json.loads(found[1]))
    assert again["metadata"]["uid"] != first["metadata"]["uid"]
    engine.kubectl("delete", "namespace", space, "--timeout=20s")


def test_an_account_learns_who_it_is_and_what_it_may(account: Make) -> None:
    bot = account(rule("get", "secrets", resourceNames=["seed"]))
    me = bot.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review("SelfSubjectReview"))
    assert me[1]["status"]["userInfo"]["username"] == bot.user
    assert f"system:serviceaccounts:{bot.space}" in me[1]["status"]["userInfo"]["groups"]
    asked = review("SelfSubjectRulesReview", namespace=bot.space)
    rules = bot.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", asked)[1]["status"]
    assert rule("get", "secrets", resourceNames=["seed"]) in rules["resourceRules"]
    assert rules["incomplete"] is False


def review(kind: str, **spec: Any) -> dict[str, Any]:
    """A review of that kind."""
    group = "authentication" if kind == "SelfSubjectReview" else "authorization"
    return {"apiVersion": f"{group}.k8s.io/v1", "kind": kind, "spec": spec}


def foreign_key(good: str) -> str:
    claims = jwt.decode(good, options={"verify_signature": False})
    return jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256")


def no_algorithm(good: str) -> str:
    return jwt.encode(jwt.decode(good, options={"verify_signature": False}), None, "none")


def public_key_as_secret(good: str) -> str:
    claims = jwt.decode(good, options={"verify_signature": False})
    return jwt.encode(claims, "x" * 32, "HS256")


def changed(good: str) -> str:
    head, body, signature = good.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    claims["sub"] = "system:serviceaccount:kube-system:admin"
    coded = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"{head}.{coded}.{signature}"


@pytest.mark.parametrize("forge", [foreign_key, no_algorithm, public_key_as_secret, changed, lambda _: "a.b.c"])
def test_a_token_that_this_engine_did_not_sign_is_nobodys(account: Make, forge: Callable[[str], str]) -> None:
    bot = account(rule("get list", "secrets"))
    path = f"/api/v1/namespaces/{bot.space}/secrets"
    assert bot.request("GET", path)[0] == 200
    assert bot.request("GET", path, token=forge(bot.token))[0] == 401


def test_a_token_for_another_audience_is_refused(account: Make) -> None:
    bot = account(rule("get list", "secrets"))
    other = token(bot.engine, bot.space, bot.name, audiences=["vault"])
    assert bot.request("GET", f"/api/v1/namespaces/{bot.space}/secrets", token=other)[0] == 401


def test_a_token_ends_with_its_account_even_if_one_of_that_name_comes_again(account: Make) -> None:
    bot = account(rule("get list", "secrets"))
    path = f"/api/v1/namespaces/{bot.space}/secrets"
    accounts = f"/api/v1/namespaces/{bot.space}/serviceaccounts"
    assert bot.request("GET", path)[0] == 200
    bot.engine.request("DELETE", f"{accounts}/{bot.name}")
    assert bot.request("GET", path)[0] == 401
    bot.engine.request("POST", accounts, {"metadata": {"name": bot.name}})
    assert bot.request("GET", path)[0] == 401
    assert bot.request("GET", path, token=token(bot.engine, bot.space, bot.name))[0] == 200


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"expirationSeconds": 599}, 422),
        ({"expirationSeconds": 2**33}, 422),
        ({"boundObjectRef": {"kind": "Secret", "name": "seed"}}, 422),
        ({"expirationSeconds": "soon"}, 400),
        ([], 400),
    ],
)
def test_a_token_request_that_makes_no_sense_is_refused(account: Make, spec: Any, code: int) -> None:
    bot = account()
    path = f"/api/v1/namespaces/{bot.space}/serviceaccounts/{bot.name}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    assert bot.engine.request("POST", path, body)[0] == code


def test_a_token_in_a_query_is_not_looked_at(engine: EngineProcess) -> None:
    code, _ = engine.request(
        "GET", f"/api/v1/secrets?token={engine.token}&access_token={engine.token}", Authorization=""
    )
    assert code == 401


# What


def test_without_a_right_nothing_is_said_of_what_exists(account: Make) -> None:
    bot = account()
    post(bot.engine, bot.space, seed(bot.space))
    for path in (f"namespaces/{bot.space}/secrets/seed", f"namespaces/{bot.space}/secrets/none", "unheardof/x"):
        code, said = bot.request("GET", f"/api/v1/{path}")
        assert (code, said["reason"]) == (403, "Forbidden")
    assert bot.request("GET", f"/api/v1/namespaces/{bot.space}/secrets")[1]["message"] == (
        f'secrets is forbidden: User "{bot.user}" cannot list resource "secrets" in API group "" '
        f'in the namespace "{bot.space}"'
    )


def test_names_limit_a_right_also_where_a_query_says_two_things(account: Make) -> None:
    bot = account(rule("get list watch", "secrets", resourceNames=["mine"]))
    path = f"/api/v1/namespaces/{bot.space}/secrets"
    asked = (
        "/other",
        "",
        "?fieldSelector=metadata.name=mine&fieldSelector=metadata.name=other",
        "?watch=1",
        "/mine/..",
    )
    assert [bot.request("GET", path + query)[0] for query in asked] == [403] * 5
    assert bot.request("GET", f"{path}?fieldSelector=metadata.name%3Dmine")[0] == 200
    assert bot.request("GET", f"{path}/mine")[0] == 404


def test_an_account_with_console_and_nothing_else_gets_just_that(account: Make) -> None:
    bot = account(rule("get", f"{VMIS}/console", SUB, resourceNames=["web"]))
    post(bot.engine, bot.space, seed(bot.space), machine("web", bot.space, image="missing"))
    until(lambda: bot.engine.vmi(bot.space, "web"))
    # 400 is said by the console itself, which has not started: the door is passed.
    assert [bot.refusal(name) for name in ("console", "vnc", "portforward/22")] == [400, 403, 403]
    space = f"/api/v1/namespaces/{bot.space}"
    refused = [f"{space}/pods/web/exec", f"{space}/secrets/seed", f"/apis/kubevirt.io/v1/namespaces/{bot.space}/{VMIS}"]
    assert [bot.request("GET", path)[0] for path in refused] == [403, 403, 403]
    coded = base64.urlsafe_b64encode(bot.token.encode()).decode().rstrip("=")
    browser = [f"base64url.bearer.authorization.k8s.io.{coded}", PROTOCOL]
    assert bot.refusal("console", subprotocols=browser, additional_headers={}) == 400
    assert bot.refusal("console", subprotocols=browser[:1], additional_headers={}) == 401


def test_kubevirts_own_server_asks_for_the_whole_of_vnc_screenshot(account: Make) -> None:
    path = f"{SUBRESOURCES}/namespaces/{{}}/{VMIS}/web/vnc/screenshot"
    half, whole = (
        account(rule("get", f"{VMIS}/vnc", SUB)),
        account(rule("get", f"{VMIS}/vnc {VMIS}/vnc/screenshot", SUB)),
    )
    assert half.request("GET", path.format(half.space))[0] == 401
    assert whole.request("GET", path.format(whole.space)) == (500, "screenshot failed: VMI does not exist")


QUESTIONS = (
    ("list", "", "pods", ""),
    ("get", "", "secrets", ""),
    ("create", "kubevirt.io", "virtualmachines", ""),
    ("get", SUB, VMIS, "console"),
    ("get", SUB, VMIS, "vnc/screenshot"),
    ("create", "rbac.authorization.k8s.io", "roles", ""),
    ("create", "", "limitranges", ""),
)


@pytest.mark.parametrize(("role", "answers"), [("view", "1000000"), ("edit", "1111000"), ("admin", "1111110")])
def test_the_default_roles_hold_what_kubevirts_hold(account: Make, role: str, answers: str) -> None:
    bot, found = account(), ""
    space = bot.space
    bound = (f"--clusterrole={role}", f"--group=system:serviceaccounts:{space}")
    bot.engine.kubectl("create", "rolebinding", "test", "-n", space, *bound)
    for verb, group, resource, subresource in QUESTIONS:
        wanted = {"verb": verb, "group": group, "resource": resource, "subresource": subresource, "namespace": space}
        asked = review("SelfSubjectAccessReview", resourceAttributes=wanted)
        code, answer = bot.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", asked)
        assert code == 201
        found += str(int(answer["status"]["allowed"]))
    assert found == answers


def test_whoever_asks_for_everybody_may_discover_and_nothing_more(account: Make) -> None:
    bot = account()
    open_paths = ("/api", "/apis", "/apis/kubevirt.io/v1", "/openapi/v2", "/version", "/healthz")
    assert [bot.request("GET", path)[0] for path in open_paths] == [200] * 6
    assert bot.request("GET", "/metrics")[1]["message"] == f'forbidden: User "{bot.user}" cannot get path "/metrics"'


# Granting


def test_nobody_grants_what_they_do_not_hold(account: Make) -> None:
    bot = account(rule("create update patch", "roles", "rbac.authorization.k8s.io"), rule("get", "pods"))
    roles = f"{RBAC}/namespaces/{bot.space}/roles"
    held = {"metadata": {"name": "held"}, "rules": [rule("get", "pods", resourceNames=["a"])]}
    assert bot.request("POST", roles, held)[0] == 201
    code, said = bot.request("PUT", f"{roles}/held", held | {"rules": [rule("get list", "pods")]})
    assert (code, said["reason"]) == (403, "Forbidden")
    assert said["message"].startswith(f'roles.rbac.authorization.k8s.io "held" is forbidden: user "{bot.user}"')
    assert 'not currently held:\n{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}' in said["message"]
    patch = {"Content-Type": "application/merge-patch+json"}
    assert bot.request("PATCH", f"{roles}/{bot.name}", {"rules": [rule("*", "*")]}, **patch)[0] == 403


def test_a_role_of_more_rights_than_can_be_looked_at_is_refused_at_once(account: Make) -> None:
    roles = rule("create", "roles", "rbac.authorization.k8s.io")
    bot = account(roles, {"verbs": ["get"], "apiGroups": ["*"], "resources": ["*"]})
    words = [f"w{n}" for n in range(1000)]
    wide = {"verbs": ["get"], "apiGroups": words, "resources": words, "resourceNames": words}
    began = time.monotonic()
    path = f"{RBAC}/namespaces/{bot.space}/roles"
    code, said = bot.request("POST", path, {"metadata": {"name": "wide"}, "rules": [wide]})
    assert (code, time.monotonic() - began < 2) == (422, True), said


def test_what_has_no_namespace_gets_none_from_its_metadata(engine: EngineProcess, space: str) -> None:
    role = {"metadata": {"name": f"of-{space}", "namespace": space}, "rules": []}
    code, made = engine.request("POST", f"{RBAC}/clusterroles", role)
    assert (code, "namespace" in json.loads(made)["metadata"]) == (201, False)
    assert engine.request("DELETE", f"{RBAC}/clusterroles/of-{space}")[0] == 200


def test_a_role_is_bound_by_who_holds_it_or_may_bind_it(account: Make) -> None:
    group = "rbac.authorization.k8s.io"
    bot = account(rule("create", "rolebindings", group), rule("bind", "clusterroles", group, resourceNames=["view"]))
    path = f"{RBAC}/namespaces/{bot.space}/rolebindings"

    def bind(role: str, kind: str = "ClusterRole") -> int:
        reference = {"apiGroup": group, "kind": kind, "name": role}
        subject = {"apiGroup": group, "kind": "User", "name": "jane"}
        metadata = {"generateName": "b-"}
        return bot.request("POST", path, {"metadata": metadata, "roleRef": reference, "subjects": [subject]})[0]

    asked = [
        ("view", "ClusterRole"),
        ("edit", "ClusterRole"),
        (bot.name, "Role"),
        ("none", "ClusterRole"),
        ("view", "Pod"),
    ]
    assert [bind(*role) for role in asked] == [201, 403, 201, 404, 422]


def test_acting_as_another_and_aggregating_roles_are_refused_by_name(engine: EngineProcess) -> None:
    code, said = engine.request("GET", "/api/v1/secrets", **{"Impersonate-User": "jane"})
    assert (code, "Impersonate-User" in said.decode()) == (400, True)
    made = {"metadata": {"name": "all"}, "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}
    code, said = engine.request("POST", f"{RBAC}/clusterroles", made)
    assert (code, json.loads(said)["details"]["causes"][0]["field"]) == (422, "aggregationRule")


def test_the_page_for_operators_shows_commands_that_work(own_engine: EngineProcess) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/operate.md").read_text()
    commands = page.partition("### A program with few rights")[2].split("```")[1].removeprefix("sh\n")
    environment = os.environ | {"KUBECONFIG": str(own_engine.kubeconfig)}
    done = subprocess.run(["bash", "-ec", commands], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    path = f"{SUBRESOURCES}/namespaces/class/{VMIS}/web"
    viewer = Account(
        own_engine, "class", "viewer", next(line for line in done.stdout.splitlines() if line[:3] == "eyJ")
    )
    assert [viewer.request("GET", f"{path}/{name}")[0] for name in ("console", "vnc")] == [404, 403]


def test_a_default_role_that_lost_a_rule_has_it_again_after_a_restart_and_keys_stay(own_engine: EngineProcess) -> None:
    path = f"{RBAC}/clusterroles/system:basic-user"
    before = json.loads(own_engine.request("GET", path)[1])["rules"]
    patch = {"Content-Type": "application/merge-patch+json"}
    assert own_engine.request("PATCH", path, {"rules": before[:1]}, **patch)[0] == 200
    until(lambda: own_engine.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")[0] == 200)
    kept = token(own_engine, "default", "default")
    own_engine.kill()
    own_engine.start()
    assert json.loads(own_engine.request("GET", path)[1])["rules"] == before
    assert own_engine.request("GET", "/api", Authorization=f"Bearer {kept}")[0] == 200
    assert (own_engine.state / "engine" / "tokens.key").stat().st_mode & 0o777 == 0o600


def test_a_token_ends_when_its_time_is_over(own_engine: EngineProcess) -> None:
    until(lambda: own_engine.request("GET", "/api/v1/namespaces/default/serviceaccounts/default")[0] == 200)
    claims = jwt.decode(token(own_engine, "default", "default"), options={"verify_signature": False})
    key = (own_engine.state / "engine" / "tokens.key").read_bytes()
    now = int(time.time())
    codes = []
    for begins, ends in ((now - 60, now + 60), (now - 60, now - 1), (now + 30, now + 60)):
        made = jwt.encode(claims | {"nbf": begins, "exp": ends}, key, "ES256")
        codes.append(own_engine.request("GET", "/api", Authorization=f"Bearer {made}")[0])
    assert codes == [200, 401, 401]
