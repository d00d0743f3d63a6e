"""Which rights rules give, what a request needs, and whose token is good: the pure part of access control."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from labkit.local.access.guard import bearer
from labkit.local.access.requests import needed, refusal
from labkit.local.access.rules import Attributes, User, allowed, parts, shown
from labkit.local.api.paths import parse
from labkit.local.api.status import ApiError

SUB = "subresources.kubevirt.io"
VMIS = "virtualmachineinstances"


def rule(verbs: str, resources: str, group: str = "", **more: Any) -> dict[str, Any]:
    """A PolicyRule from words."""
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split(), **more}


PODS = rule("get list", "pods")
ONE = rule("get list create deletecollection", "pods", resourceNames=["a"])
PATHS = {"verbs": ["get"], "nonResourceURLs": ["/version", "/healthz/*"]}


@pytest.mark.parametrize(
    ("rules", "wanted", "answer"),
    [
        ([], Attributes("get", "", "pods"), False),
        ([PODS], Attributes("get", "", "pods", "x", "a"), True),
        ([PODS], Attributes("delete", "", "pods", "x", "a"), False),
        ([PODS], Attributes("get", "apps", "pods"), False),
        ([PODS], Attributes("get", "", "pods/log"), False),
        ([rule("get", "pods/log")], Attributes("get", "", "pods/log"), True),
        ([rule("get", "pods/log")], Attributes("get", "", "pods"), False),
        ([rule("get", "*/log")], Attributes("get", "", "pods/log"), True),
        ([rule("get", "*/log")], Attributes("get", "", "pods/exec"), False),
        ([rule("get", "pods/*")], Attributes("get", "", "pods/log"), False),
        ([rule("get", f"{VMIS}/vnc", SUB)], Attributes("get", SUB, f"{VMIS}/vnc/screenshot"), False),
        ([rule("*", "*", "*")], Attributes("escalate", "any.io", "things/part", "x", "y"), True),
        ([rule("*", "*", "*")], Attributes("get", path="/metrics"), False),
        ([ONE], Attributes("get", "", "pods", "x", "a"), True),
        ([ONE], Attributes("get", "", "pods", "x", "b"), False),
        ([ONE], Attributes("list", "", "pods", "x"), False),
        ([ONE], Attributes("list", "", "pods", "x", "a"), True),
        ([ONE], Attributes("create", "", "pods", "x"), False),
        ([ONE], Attributes("deletecollection", "", "pods", "x"), False),
        ([PATHS], Attributes("get", path="/version"), True),
        ([PATHS], Attributes("get", path="/healthz/etcd"), True),
        ([PATHS], Attributes("get", path="/healthz"), False),
        ([PATHS], Attributes("post", path="/version"), False),
    ],
)
def test_a_right_is_held_if_one_rule_gives_it(rules: list[Any], wanted: Attributes, answer: bool) -> None:
    assert allowed(rules, wanted) is answer


SPACE = "/api/v1/namespaces/x"
MACHINE = f"/apis/{SUB}/v1/namespaces/x/{VMIS}/web"


@pytest.mark.parametrize(
    ("method", "url", "query", "wanted"),
    [
        ("GET", f"{SPACE}/pods", {}, [Attributes("list", "", "pods", "x")]),
        ("GET", f"{SPACE}/pods", {"watch": "1"}, [Attributes("watch", "", "pods", "x")]),
        ("GET", f"{SPACE}/pods", {"fieldSelector": "metadata.name=a"}, [Attributes("list", "", "pods", "x", "a")]),
        ("GET", f"{SPACE}/pods", {"fieldSelector": "metadata.name!=a"}, [Attributes("list", "", "pods", "x")]),
        ("GET", f"{SPACE}/events", {"fieldSelector": "type notin (b,metadata.name=a,c)"},
         [Attributes("list", "", "events", "x")]),
        ("GET", "/api/v1/pods", {}, [Attributes("list", "", "pods")]),
        ("HEAD", f"{SPACE}/pods/a", {}, [Attributes("get", "", "pods", "x", "a")]),
        ("GET", f"{SPACE}/pods/a", {"watch": "1"}, [Attributes("get", "", "pods", "x", "a")]),
        ("POST", f"{SPACE}/pods", {}, [Attributes("create", "", "pods", "x")]),
        ("PATCH", f"{SPACE}/pods/a/status", {}, [Attributes("patch", "", "pods/status", "x", "a")]),
        ("DELETE", f"{SPACE}/pods", {"fieldSelector": "metadata.name=a"},
         [Attributes("deletecollection", "", "pods", "x")]),
        ("GET", SPACE, {}, [Attributes("get", "", "namespaces", "x", "x")]),
        ("GET", "/api/v1/namespaces", {}, [Attributes("list", "", "namespaces")]),
        ("GET", f"{SPACE}/pods/a/log", {}, [Attributes("get", "", "pods/log", "x", "a")]),
        ("GET", f"{SPACE}/pods/a/exec", {},
         [Attributes("get", "", "pods/exec", "x", "a"), Attributes("create", "", "pods/exec", "x", "a")]),
        ("POST", f"{SPACE}/serviceaccounts/a/token", {}, [Attributes("create", "", "serviceaccounts/token", "x", "a")]),
        ("GET", f"{MACHINE}/console", {}, [Attributes("get", SUB, f"{VMIS}/console", "x", "web")]),
        ("GET", f"{MACHINE}/portforward/22/tcp", {}, [Attributes("get", SUB, f"{VMIS}/portforward", "x", "web")]),
        ("GET", f"{MACHINE}/vnc/screenshot", {},
         [Attributes("get", SUB, f"{VMIS}/{name}", "x", "web") for name in ("vnc", "vnc/screenshot")]),
        ("PUT", f"{MACHINE}/pause", {}, [Attributes("update", SUB, f"{VMIS}/pause", "x", "web")]),
        ("GET", "/apis", {}, [Attributes("get", path="/apis")]),
        ("GET", "/apis/kubevirt.io/v1", {}, [Attributes("get", path="/apis/kubevirt.io/v1")]),
    ],
)  # fmt: skip
def test_what_a_request_needs_follows_from_method_path_and_query(
    method: str, url: str, query: dict[str, str], wanted: list[Attributes]
) -> None:
    assert list(needed(method, url, parse(url), query)) == wanted


def test_a_rule_is_taken_apart_into_single_rights_in_which_a_wildcard_stays_one() -> None:
    found = list(parts(rule("get *", "pods", resourceNames=["a"]) | {"nonResourceURLs": ["/x"]}, "s"))
    assert found == [
        Attributes("get", path="/x"),
        Attributes("get", "", "pods", "s", "a"),
        Attributes("*", path="/x"),
        Attributes("*", "", "pods", "s", "a"),
    ]
    assert not allowed([rule("get list watch", "pods")], Attributes("*", "", "pods", "s", "a"))


def test_a_rule_is_shown_in_the_words_of_kubernetes() -> None:
    assert shown(PODS) == '{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}'


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            Attributes("list", "", "pods", "x"),
            'pods is forbidden: User "u" cannot list resource "pods" in API group "" in the namespace "x"',
        ),
        (
            Attributes("get", SUB, f"{VMIS}/vnc", "x", "web"),
            f'{VMIS}.{SUB} "web" is forbidden: User "u" cannot get resource "{VMIS}/vnc" in API group "{SUB}" '
            'in the namespace "x"',
        ),
        (
            Attributes("list", "", "pods"),
            'pods is forbidden: User "u" cannot list resource "pods" in API group "" at the cluster scope',
        ),
        (Attributes("get", path="/metrics"), 'forbidden: User "u" cannot get path "/metrics"'),
    ],
)
def test_a_refusal_has_the_words_of_kubernetes(wanted: Attributes, message: str) -> None:
    assert refusal(User("u"), wanted).body() | {"details": {}} == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": "Forbidden", "details": {}, "code": 403,
    }  # fmt: skip


def headers(**given: str) -> CIMultiDictProxy[str]:
    """HTTP headers; ``_`` stands for ``-``."""
    return CIMultiDictProxy(CIMultiDict({name.replace("_", "-"): value for name, value in given.items()}))


CODED = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(b"secret?>").decode().rstrip("=")


@pytest.mark.parametrize(
    "given",
    [
        {"Authorization": "Bearer secret?>"},
        {"Authorization": "bearer  secret?>"},
        {"Sec_WebSocket_Protocol": f"{CODED}, plain.kubevirt.io"},
        {"Sec_WebSocket_Protocol": f"plain.kubevirt.io,{CODED}"},
    ],
)
def test_a_token_is_taken_from_the_header_or_from_a_subprotocol_beside_another(given: dict[str, str]) -> None:
    assert bearer(headers(**given)) == "secret?>"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"Authorization": "Basic secret"},
        {"Authorization": "Bearer "},
        {"Sec_WebSocket_Protocol": CODED},
        {"Sec_WebSocket_Protocol": f"{CODED}, {CODED}, plain.kubevirt.io"},
        {"Sec_WebSocket_Protocol": "base64url.bearer.authorization.k8s.io.ä, plain.kubevirt.io"},
        {"Sec_WebSocket_Protocol": "base64url.bearer.authorization.k8s.io._w, plain.kubevirt.io"},
    ],
)
def test_anything_else_is_no_token(given: dict[str, str]) -> None:
    with pytest.raises(ApiError) as refused:
        bearer(headers(**given))
    assert refused.value.code == 401
