"""The store: what is answered is on the disk, survives a kill, and damage costs no more than what is damaged."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from labkit.local.api.status import ApiError
from labkit.local.controllers.housekeeping import Garbage
from labkit.local.history import History
from labkit.local.store import Store
from labkit.local.table import KINDS
from tests.local.conftest import post
from tests.support.engine import EngineProcess, namespace, running_engine, seed, until


def using(folder: Path, work: Callable[[Store], Awaitable[Any]]) -> Any:
    """What ``work`` gives with a store on a folder, which is closed afterwards."""

    async def run() -> Any:
        store = Store(folder, KINDS)
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(run())


def secret(name: str, **meta: Any) -> dict[str, Any]:
    """A Secret in the namespace ``s``."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "s", **meta}}


async def fill(store: Store) -> int:
    """A namespace with the secrets a and b; the revision reached."""
    store.create("namespaces", namespace("s") | {"status": {}})
    for name in ("a", "b"):
        store.create("secrets", secret(name))
    await store.settled()
    return store.revision


async def names(store: Store) -> list[str]:
    """The names of all secrets."""
    return [obj["metadata"]["name"] for obj in store.all("secrets")]


def test_objects_and_revisions_go_on_where_they_stopped(tmp_path: Path) -> None:
    reached = using(tmp_path, fill)

    async def again(store: Store) -> tuple[list[str], int]:
        return await names(store), store.revision

    assert using(tmp_path, again) == (["a", "b"], reached)


def test_what_is_settled_is_on_disk(tmp_path: Path) -> None:
    async def work(store: Store) -> list[str]:
        await fill(store)
        return await asyncio.to_thread(using, shutil.copytree(tmp_path / "one", tmp_path / "two"), names)

    assert using(tmp_path / "one", work) == ["a", "b"]


def test_watches_are_told_of_what_is_on_disk_only(tmp_path: Path) -> None:
    async def work(store: Store) -> list[int]:
        since = await fill(store)
        store.create("secrets", secret("c"))
        before = len(store.history.since("secrets", since))
        await store.settled()
        return [before, len(store.history.since("secrets", since))]

    assert using(tmp_path, work) == [0, 1]


def test_what_a_watch_asks_from_before_the_history_is_refused() -> None:
    history = History(5)
    assert history.since("secrets", 5) == []
    with pytest.raises(ApiError, match="too old resource version: 4"):
        history.since("secrets", 4)


def test_many_writes_share_one_trip_to_the_disk(tmp_path: Path) -> None:
    async def work(store: Store) -> int:
        await fill(store)
        woken = 0
        for number in range(200):
            store.create("secrets", secret(f"s{number}"))
        while store.durable < store.revision:
            await store.history.news("secrets")
            woken += 1
        return woken

    assert using(tmp_path, work) <= 3


@pytest.mark.parametrize("junk", [b"", b"no database at all, but long enough to be taken for one" * 99])
def test_a_foreign_file_in_the_place_of_the_database_is_set_aside(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "objects.db").write_bytes(junk)
    assert using(tmp_path, names) == []
    kept = [file.read_bytes() for file in (tmp_path / "set-aside").glob("*")] if junk else [junk]
    assert kept == [junk]


def test_of_a_truncated_database_what_can_be_read_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def many(store: Store) -> int:
        reached = await fill(store)
        for number in range(500):
            store.create("secrets", secret(f"s{number:03}", annotations={"x": "x" * 500}))
        return reached

    reached = using(tmp_path, many)
    file = tmp_path / "objects.db"
    os.truncate(file, file.stat().st_size // 2)

    async def after(store: Store) -> tuple[int, int]:
        return len(store.all("secrets")), store.revision

    found, revision = using(tmp_path, after)
    assert 0 <= found < 502
    assert revision > reached + 500
    assert "set aside" in caplog.text


def test_a_row_that_is_no_object_is_named_and_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    using(tmp_path, fill)
    with sqlite3.connect(tmp_path / "objects.db") as database:
        database.execute("UPDATE objects SET body = '{\"half\":' WHERE name = 'a'")
    database.close()
    assert using(tmp_path, names) == ["b"]
    assert "('secrets', 's', 'a')" in caplog.text


def test_garbage_is_found_by_owner_in_the_right_namespace_only(tmp_path: Path) -> None:
    async def work(store: Store) -> list[str]:
        await fill(store)
        garbage = Garbage(store)
        owner = store.require("secrets", "s", "a")["metadata"]["uid"]
        reference = {"apiVersion": "v1", "kind": "Secret", "name": "a", "uid": owner}
        unserved = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x", "uid": "x"}
        store.create("secrets", secret("owned", ownerReferences=[reference]))
        store.create("secrets", secret("shared", ownerReferences=[reference, unserved]))
        store.delete("secrets", "s", "a")
        async with asyncio.timeout(5):
            while store.get("secrets", "s", "owned"):
                await store.history.news("secrets")
        await garbage.queue.close()
        return await names(store)

    assert using(tmp_path, work) == ["b", "shared"]


def test_a_full_disk_refuses_writes_and_is_got_over(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        await fill(store)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "objects.db-wal").stat().st_size, limits[1]))
        try:
            store.create("secrets", secret("c", annotations={"x": "x" * 9000}))
            with pytest.raises(ApiError, match="cannot be stored"):
                await store.settled(writing=True)
            await store.settled()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        async with asyncio.timeout(10):
            while store.durable < store.revision:
                await store.history.news("secrets")
        store.create("secrets", secret("d"))

    using(tmp_path, work)
    assert using(tmp_path, names) == ["a", "b", "c", "d"]


@pytest.fixture
def own_engine() -> Iterator[EngineProcess]:
    """An engine to kill."""
    with running_engine() as found:
        yield found


def test_nothing_that_was_answered_is_lost_by_a_kill_and_no_revision_comes_twice(own_engine: EngineProcess) -> None:
    engine, answered = own_engine, []
    post_namespace = engine.request("POST", "/api/v1/namespaces", namespace("s"))
    assert post_namespace[0] == 201

    def write() -> None:
        for number in range(10_000):
            try:
                code, body = engine.request("POST", "/api/v1/namespaces/s/secrets", secret(f"s{number}"))
            except Exception:  # the engine is gone
                return
            assert code == 201
            answered.append(json.loads(body)["metadata"])

    writer = threading.Thread(target=write)
    writer.start()
    until(lambda: len(answered) > 50)
    engine.kill()
    writer.join()
    engine.start()
    post(engine, "s", seed("s"))
    items = json.loads(engine.request("GET", "/api/v1/namespaces/s/secrets")[1])["items"]
    found = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in items}
    assert {meta["name"]: meta["resourceVersion"] for meta in answered}.items() <= found.items()
    assert len(set(found.values())) == len(found)
