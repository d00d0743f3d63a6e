"""Who may do what: service accounts, their tokens, roles and bindings, down to the subresources of machines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.conformance.conftest import Space, note, vm
from tests.support.cluster import Cluster
from tests.support.engine import until

RBAC = "rbac.authorization.k8s.io"
SUB = "subresources.kubevirt.io"


def role(*rules: dict[str, Any]) -> dict[str, Any]:
    """A Role named ``r``."""
    return {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": {"name": "r"}, "rules": list(rules)}


def rule(verbs: str, resources: str, group: str = "", **more: Any) -> dict[str, Any]:
    """A PolicyRule from words."""
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split(), **more}


def binding(space: str, kind: str = "Role", name: str = "r") -> dict[str, Any]:
    """The service account ``sa`` has the role."""
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "b"},
        "roleRef": {"apiGroup": RBAC, "kind": kind, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "sa", "namespace": space}],
    }


@pytest.fixture
def account(space: Space, tmp_path: Path) -> Space:
    """The namespace as the service account ``sa`` sees it, which may do nothing yet."""
    space.make({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa"}})
    token = space.kubectl("create", "token", "sa").strip()
    return Space(space.cluster.as_bearer(token, tmp_path), space.name)


def allow(space: Space, account: Space, path: str, *rules: dict[str, Any]) -> None:
    """Give the account a role and wait until it counts."""
    space.make(role(*rules), binding(space.name))
    until(lambda: account.cluster.ask("GET", path).code != 403, 10)


def test_an_account_may_do_nothing_and_is_told_what(account: Space) -> None:
    answer = account.get("secrets")
    assert answer.refusal == (403, "Forbidden")
    who = f'User "system:serviceaccount:{account.name}:sa"'
    what = 'cannot list resource "secrets" in API group "" in the namespace'
    assert answer.message == f'secrets is forbidden: {who} {what} "{account.name}"'


def test_a_role_gives_what_it_says_and_no_more(space: Space, account: Space) -> None:
    space.make(note("a"))
    allow(space, account, account.path("secrets"), rule("get list", "secrets"))
    assert account.names("secrets") == ["a"]
    assert account.get("secrets", "a").code == 200
    for answer in (account.post(note("b")), account.delete("secrets", "a"), account.get("configmaps")):
        assert answer.refusal == (403, "Forbidden")
    assert account.get("secrets", query="watch=1&timeoutSeconds=1").refusal == (403, "Forbidden")


def test_a_role_can_name_its_objects(space: Space, account: Space) -> None:
    space.make(note("a"), note("b"))
    allow(space, account, account.path("secrets", "a"), rule("get", "secrets", resourceNames=["a"]))
    assert [account.get("secrets", name).code for name in ("a", "b")] == [200, 403]


def test_a_role_ends_at_its_namespace(space: Space, account: Space) -> None:
    allow(space, account, account.path("secrets"), rule("get list", "secrets"))
    assert account.cluster.ask("GET", "/api/v1/secrets").refusal == (403, "Forbidden")
    assert account.cluster.ask("GET", "/api/v1/namespaces/default/secrets").refusal == (403, "Forbidden")
    assert account.cluster.ask("GET", "/api/v1/namespaces").refusal == (403, "Forbidden")


@pytest.mark.parametrize(
    ("verb", "resource", "allowed", "method", "plural", "what"),
    [
        ("update", "virtualmachines/start", 202, "PUT", "virtualmachines", "start"),
        ("get", "virtualmachines/start", 403, "PUT", "virtualmachines", "start"),
        ("update", "virtualmachines/stop", 403, "PUT", "virtualmachines", "start"),
        ("update", "virtualmachineinstances/pause", 404, "PUT", "virtualmachineinstances", "pause"),
        ("get", "virtualmachineinstances/guestosinfo", 500, "GET", "virtualmachineinstances", "guestosinfo"),
        ("get", "virtualmachineinstances", 403, "GET", "virtualmachineinstances", "guestosinfo"),
    ],
)
def test_a_machines_actions_have_rights_of_their_own(
    space: Space, account: Space, verb: str, resource: str, allowed: int, method: str, plural: str, what: str
) -> None:
    space.make(vm(), role(rule(verb, resource, SUB)), binding(space.name))
    path = f"/apis/{SUB}/v1/namespaces/{space.name}/{plural}/web/{what}"
    until(lambda: account.cluster.ask(method, path).code in (allowed, 404 if allowed == 500 else allowed), 10)


@pytest.mark.parametrize(("granted", "code"), [("virtualmachineinstances/vnc", 404), ("virtualmachineinstances", 403)])
def test_a_stream_needs_its_right(space: Space, account: Space, granted: str, code: int) -> None:
    space.make(role(rule("get", granted, SUB), rule("get", "configmaps")), binding(space.name))
    until(lambda: account.get("configmaps", "nothing").code == 404, 10)
    with pytest.raises(InvalidStatus) as refused:
        account.cluster.stream(space.name, "nobody", "vnc")
    assert refused.value.response.status_code == code


@pytest.mark.parametrize(("name", "code"), [("kubevirt.io:edit", 201), ("kubevirt.io:view", 403), ("view", 403)])
def test_kubevirts_own_roles_are_there(space: Space, account: Space, name: str, code: int) -> None:
    space.make(binding(space.name, "ClusterRole", name))
    until(lambda: account.get("virtualmachines").code == 200, 10)
    assert account.post(vm()).code == code


def test_nobody_gives_what_he_has_not_got(space: Space, account: Space) -> None:
    allow(space, account, account.path("secrets"), rule("list", "secrets"), rule("create", "roles rolebindings", RBAC))
    greedy = role(rule("*", "*", "*")) | {"metadata": {"name": "greedy"}}
    assert account.post(greedy).refusal == (403, "Forbidden")
    modest = role(rule("list", "secrets")) | {"metadata": {"name": "modest"}}
    assert account.post(modest).code == 201


def test_a_binding_taken_away_takes_the_right_away(space: Space, account: Space) -> None:
    allow(space, account, account.path("secrets"), rule("list", "secrets"))
    space.delete("rolebindings", "b")
    until(lambda: account.get("secrets").code == 403, 10)


def test_kubectl_asks_what_it_may(space: Space, account: Space) -> None:
    allow(space, account, account.path("secrets"), rule("get list", "secrets"))
    assert account.kubectl("auth", "can-i", "list", "secrets") == "yes\n"
    assert account.kubectl("auth", "can-i", "delete", "secrets", check=False).startswith("no")
    vnc = ("auth", "can-i", "get", f"virtualmachineinstances.{SUB}/web", "--subresource=vnc")
    asked = [who.cluster.run_kubectl(*vnc, "-n", space.name).stdout for who in (space, account)]
    assert asked == ["yes\n", "no\n"]
    assert "secrets" in account.kubectl("auth", "can-i", "--list")


def test_kubectl_says_who_one_is(account: Space) -> None:
    found = json.loads(account.kubectl("auth", "whoami", "-o", "json"))["status"]["userInfo"]
    assert found["username"] == f"system:serviceaccount:{account.name}:sa"
    assert {"system:serviceaccounts", f"system:serviceaccounts:{account.name}", "system:authenticated"} <= set(
        found["groups"]
    )


def test_a_review_answers_for_the_one_who_asks(account: Space) -> None:
    wanted = {"namespace": account.name, "verb": "list", "resource": "secrets"}
    review = {"kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": wanted}}
    review["apiVersion"] = "authorization.k8s.io/v1"
    answer = account.cluster.ask("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    assert (answer.code, answer.document["status"]["allowed"]) == (201, False)


def test_a_token_has_an_end_and_dies_with_its_account(space: Space, account: Space, cluster: Cluster) -> None:
    path = f"/api/v1/namespaces/{space.name}/serviceaccounts/sa/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}
    answer = cluster.ask("POST", path, request)
    assert (answer.code, answer.document["status"]["token"].count(".")) == (201, 2)
    assert answer.document["status"]["expirationTimestamp"].endswith("Z")
    space.delete("serviceaccounts", "sa")
    until(lambda: account.get("secrets").code == 401, 30)


def test_a_token_cannot_be_had_for_nobody(space: Space) -> None:
    assert "(NotFound)" in space.kubectl("create", "token", "nobody", check=False) or "not found" in space.kubectl(
        "create", "token", "nobody", check=False
    )


def test_a_binding_cannot_be_turned_to_another_role(space: Space) -> None:
    space.make(role(rule("list", "secrets")), binding(space.name))
    changed = space.patch("rolebindings", "b", {"roleRef": {"name": "other"}})
    assert changed.refusal == (422, "Invalid")
