"""Lists and watches: what is selected, in which pieces, and what a watcher hears of it."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from kubernetes import client, watch

from tests.conformance.conftest import Space, note, vm

Event = tuple[str, str]


def watched(space: Space, query: str, plural: str = "secrets") -> list[dict[str, Any]]:
    """Everything that a watch tells in a second."""
    answer = space.cluster.ask("GET", space.path(plural, query=f"watch=1&timeoutSeconds=1&{query}"))
    assert answer.code == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


def short(events: list[dict[str, Any]]) -> list[Event]:
    """Type and name."""
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


def version(space: Space, plural: str = "secrets") -> str:
    """The resource version of a list."""
    return str(space.get(plural).document["metadata"]["resourceVersion"])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("labelSelector=app%3Dweb", ["a"]),
        ("labelSelector=app%3D%3Dweb", ["a"]),
        ("labelSelector=app%21%3Dweb", ["b", "c"]),
        ("labelSelector=app+in+%28web,db%29", ["a", "b"]),
        ("labelSelector=app+notin+%28web%29", ["b", "c"]),
        ("labelSelector=app", ["a", "b"]),
        ("labelSelector=%21app", ["c"]),
        ("labelSelector=app,app%21%3Ddb", ["a"]),
        ("fieldSelector=metadata.name%3Db", ["b"]),
        ("fieldSelector=metadata.name%21%3Db", ["a", "c"]),
        ("labelSelector=app%3Dweb&fieldSelector=metadata.name%3Db", []),
    ],
)
def test_a_list_is_what_is_selected(space: Space, query: str, names: list[str]) -> None:
    space.make(note("a", labels={"app": "web"}), note("b", labels={"app": "db"}), note("c"))
    assert space.names("secrets", query) == names


@pytest.mark.parametrize("query", ["labelSelector=%3D%3D%3D", "fieldSelector=spec.nothing%3D1", "limit=x"])
def test_a_selector_that_means_nothing_is_refused(space: Space, query: str) -> None:
    assert space.get("secrets", query=query).refusal == (400, "BadRequest")


def test_a_list_that_may_come_in_pieces_is_whole_in_the_end(space: Space) -> None:
    space.make(*(note(f"n{n}") for n in range(5)))
    names, more = [], "first"
    while more:
        more = more.removeprefix("first")
        page = space.get("secrets", query=f"limit=2&continue={more}&fieldSelector=type%3DOpaque").document
        names += [item["metadata"]["name"] for item in page["items"]]
        more = page["metadata"].get("continue", "")
    assert names == [f"n{n}" for n in range(5)]


def test_a_list_of_all_namespaces_holds_ours(space: Space) -> None:
    space.make(note("a"))
    listed = space.cluster.ask("GET", "/api/v1/secrets?fieldSelector=metadata.name%3Da").document
    assert (listed["kind"], listed["apiVersion"]) == ("SecretList", "v1")
    assert space.name in [item["metadata"]["namespace"] for item in listed["items"]]


def test_a_table_is_answered_where_one_is_asked_for(space: Space) -> None:
    space.make(vm())
    wish = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    table = space.cluster.ask("GET", space.path("virtualmachines"), Accept=wish).document
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Age", "Status", "Ready"]
    assert table["rows"][0]["cells"][0] == "web"
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_a_watch_from_a_list_tells_every_change_after_it(space: Space) -> None:
    since = version(space)
    space.make(note("a"))
    space.patch("secrets", "a", {"metadata": {"labels": {"x": "y"}}})
    space.delete("secrets", "a")
    assert short(watched(space, f"resourceVersion={since}")) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_watch_from_nowhere_begins_with_what_there_is(space: Space) -> None:
    space.make(note("a"))
    assert ("ADDED", "a") in short(watched(space, ""))
    assert ("ADDED", "a") in short(watched(space, "resourceVersion=0"))


def test_what_comes_to_match_is_added_and_what_ceases_to_is_deleted(space: Space) -> None:
    space.make(note("a"))
    since = version(space)
    for value in ("yes", "no"):
        space.patch("secrets", "a", {"metadata": {"labels": {"x": value}}})
    events = watched(space, f"resourceVersion={since}&labelSelector=x%3Dyes")
    assert short(events) == [("ADDED", "a"), ("DELETED", "a")]


def test_a_watch_of_one_object_hears_of_no_other(space: Space) -> None:
    since = version(space)
    space.make(note("a"), note("b"))
    assert short(watched(space, f"resourceVersion={since}&fieldSelector=metadata.name%3Db")) == [("ADDED", "b")]


def test_versions_of_a_watch_increase(space: Space) -> None:
    since = version(space)
    space.make(*(note(f"n{n}") for n in range(5)))
    space.delete("secrets")
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in watched(space, f"resourceVersion={since}")]
    assert len(versions) == len(set(versions)) >= 10
    assert versions == sorted(versions)


def test_initial_events_end_with_a_bookmark(space: Space) -> None:
    space.make(note("a"))
    wish = "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    events = watched(space, f"{wish}&fieldSelector=metadata.name%3Da")
    assert [event["type"] for event in events[:2]] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_initial_events_need_their_options(space: Space) -> None:
    answer = space.get("secrets", query="watch=1&sendInitialEvents=true&timeoutSeconds=1")
    assert answer.refusal == (422, "Invalid")


def test_a_watch_from_long_ago_is_gone_or_tells_everything_since(space: Space) -> None:
    space.make(note("a"))
    answer = space.get("secrets", query="watch=1&resourceVersion=1&timeoutSeconds=1")
    if answer.code != 200:
        assert answer.refusal == (410, "Expired")
        return
    event = json.loads(answer.body.splitlines()[0])
    told = (event["object"].get("code"), event["object"].get("reason"))
    assert (event["type"], told) == ("ERROR", (410, "Expired")) or short([event]) == [("ADDED", "a")]


def test_a_version_that_is_none_is_a_bad_request(space: Space) -> None:
    assert space.get("secrets", query="watch=1&resourceVersion=x").code == 400


def test_a_watch_ends_when_its_time_is_over(space: Space) -> None:
    assert watched(space, f"resourceVersion={version(space)}") == []


def test_a_watch_can_carry_tables(space: Space) -> None:
    since = version(space, "virtualmachines")
    space.make(vm())
    path = space.path("virtualmachines", query=f"watch=1&timeoutSeconds=1&resourceVersion={since}")
    answer = space.cluster.ask("GET", path, Accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    first = json.loads(answer.body.splitlines()[0])
    assert (first["type"], first["object"]["kind"]) == ("ADDED", "Table")
    assert first["object"]["rows"][0]["cells"][0] == "web"


def test_the_python_clients_watch_hears_at_once(space: Space) -> None:
    timer = threading.Timer(0.3, space.make, (note("late"),))
    timer.start()
    with space.cluster.api() as api:
        watcher = watch.Watch()
        stream = watcher.stream(
            client.CoreV1Api(api).list_namespaced_secret, space.name, field_selector="metadata.name=late",
            timeout_seconds=20,
        )  # fmt: skip
        for event in stream:
            assert (event["type"], event["object"].metadata.name) == ("ADDED", "late")
            watcher.stop()
    timer.join()
