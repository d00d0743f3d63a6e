"""Lists and watches, as clients of a real API server expect them."""

from __future__ import annotations

import json
import socket
import ssl
import time
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from tests.local.conftest import post
from tests.support.engine import EngineProcess

Events = list[tuple[str, dict[str, Any]]]


def secret(name: str, **labels: str) -> dict[str, Any]:
    """A Secret."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}}


def path(space: str, name: str = "", **query: Any) -> str:
    """Of the Secrets of a namespace."""
    return f"/api/v1/namespaces/{space}/secrets{'/' + name if name else ''}?{urlencode(query)}"


def listed(engine: EngineProcess, space: str, **query: Any) -> dict[str, Any]:
    """A list document."""
    code, body = engine.request("GET", path(space, **query))
    assert code == 200, body
    return dict(json.loads(body))


def watched(engine: EngineProcess, space: str, name: str = "", **query: Any) -> Events:
    """All events of a watch of one second."""
    code, body = engine.request("GET", path(space, name, watch=1, **{"timeoutSeconds": 1} | query))
    assert code == 200, body
    return [(event["type"], event["object"]) for event in map(json.loads, body.splitlines())]


def shown(events: Events) -> list[tuple[str, str]]:
    """Types and names."""
    return [(kind, obj["metadata"].get("name", "")) for kind, obj in events]


@pytest.fixture
def five(engine: EngineProcess, space: str) -> str:
    """A namespace with the secrets a, b, c, d and e."""
    post(engine, space, *(secret(name, odd=str(name in "ace").lower()) for name in "abcde"))
    return space


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"resourceVersion": "999999999"}, 504),
        ({"resourceVersion": "1", "resourceVersionMatch": "Exact"}, 422),
        ({"resourceVersion": "x"}, 400),
        ({"limit": "-1"}, 400),
        ({"continue": "junk"}, 400),
        ({"fieldSelector": "data.x=y"}, 400),
        ({"fieldSelector": "metadata.name"}, 400),
        ({"labelSelector": "a in b"}, 400),
        ({"watch": "1", "sendInitialEvents": "true"}, 422),
        ({"watch": "1", "resourceVersionMatch": "Exact", "resourceVersion": "1"}, 422),
        ({"watch": "1", "timeoutSeconds": "x"}, 400),
        ({"watch": "1", "resourceVersion": "999999999"}, 504),
    ],
)
def test_a_list_or_watch_that_cannot_be_is_refused(
    engine: EngineProcess, five: str, query: dict[str, str], code: int
) -> None:
    assert engine.request("GET", path(five, **query))[0] == code


def test_field_selectors_are_those_of_the_kind(engine: EngineProcess, five: str) -> None:
    assert [item["metadata"]["name"] for item in listed(engine, five, fieldSelector="metadata.name!=a")["items"]] == [
        *"bcde"
    ]
    assert len(listed(engine, five, fieldSelector="type=Opaque,metadata.name=a")["items"]) == 1
    assert engine.request("GET", "/api/v1/namespaces?fieldSelector=status.phase%3DActive")[0] == 200
    assert engine.request("GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dx,status.phase!%3DRunning")[0] == 200
    assert engine.request("GET", "/api/v1/events?fieldSelector=involvedObject.kind%3DPod,reason%3Dx")[0] == 200
    assert engine.request("GET", "/api/v1/events?fieldSelector=spec.nodeName%3Dx")[0] == 400


def test_a_watch_of_one_object_is_one_of_the_collection_and_by_its_own_path_it_is_just_read(
    engine: EngineProcess, five: str
) -> None:
    assert json.loads(engine.request("GET", f"/api/v1/namespaces/{five}/secrets/b?watch=1")[1])["kind"] == "Secret"
    assert shown(watched(engine, five, fieldSelector="metadata.name=b")) == [("ADDED", "b")]


def test_a_watch_ends_with_a_bookmark_to_go_on_from(engine: EngineProcess, five: str) -> None:
    since = listed(engine, five)["metadata"]["resourceVersion"]
    post(engine, five, secret("f"))
    added, bookmark = watched(engine, five, resourceVersion=since, allowWatchBookmarks="true")
    assert (added[0], bookmark[0]) == ("ADDED", "BOOKMARK")
    assert bookmark[1]["kind"] == "Secret"
    assert int(bookmark[1]["metadata"]["resourceVersion"]) >= int(added[1]["metadata"]["resourceVersion"])
    assert watched(engine, five, resourceVersion=bookmark[1]["metadata"]["resourceVersion"]) == []


def test_what_stops_matching_is_deleted_to_that_watcher_as_it_last_was(engine: EngineProcess, five: str) -> None:
    since = listed(engine, five)["metadata"]["resourceVersion"]
    merge = {"Content-Type": "application/merge-patch+json"}
    for name, odd in (("a", "false"), ("b", "true")):
        engine.request("PATCH", path(five, name), {"metadata": {"labels": {"odd": odd}}}, **merge)
    events = watched(engine, five, resourceVersion=since, labelSelector="odd=true")
    assert shown(events) == [("DELETED", "a"), ("ADDED", "b")]
    assert events[0][1]["metadata"]["labels"]["odd"] == "true"
    assert int(events[0][1]["metadata"]["resourceVersion"]) > int(since)


def test_a_watcher_that_does_not_read_holds_up_nobody(engine: EngineProcess, space: str) -> None:
    server = json.loads(engine.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address = urlsplit(server).hostname, urlsplit(server).port
    with context.wrap_socket(socket.create_connection(address)) as deaf:
        request = f"GET {path(space, watch=1)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {engine.token}\r\n\r\n"
        deaf.sendall(request.encode())
        for n in range(20):
            post(engine, space, secret(f"s{n}") | {"stringData": {"x": "x" * 500_000}})
        begun = time.monotonic()
        post(engine, space, secret("last"))
        assert len(shown(watched(engine, space, fieldSelector="metadata.name=last"))) == 1
        assert time.monotonic() - begun < 3
