"""Events: the same thing said again is counted, and each goes an hour after it was last said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from labkit.local.controllers.events import Recorder
from labkit.local.objects import timestamp
from labkit.local.store import Store
from tests.local.test_store import fill, using

AN_HOUR_AGO = timestamp(datetime.now(UTC) - timedelta(minutes=61))


def event(name: str, last: str) -> dict[str, Any]:
    """An Event in the namespace ``s`` as an engine of before left it."""
    metadata = {"name": name, "namespace": "s"}
    return {"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": {}, "lastTimestamp": last}


async def aged(store: Store) -> None:
    """Two events that were made more than an hour ago, of which one was said again since."""
    await fill(store)
    for name, last in (("old", AN_HOUR_AGO), ("again", timestamp())):
        made = store.create("events", event(name, last))
        made["metadata"]["creationTimestamp"] = AN_HOUR_AGO
        store.update("events", "s", name, lambda obj: obj.update(note="x"))
    await store.settled()


def test_an_event_goes_an_hour_after_it_was_last_said(tmp_path: Path) -> None:
    async def work(store: Store) -> list[str]:
        recorder = Recorder(store)
        recorder.start()
        while len(store.all("events")) == 2:
            await store.history.news("events")
        await recorder.queue.close()
        return [obj["metadata"]["name"] for obj in store.all("events")]

    using(tmp_path, aged)
    assert using(tmp_path, work) == ["again"]


def test_what_is_said_again_is_counted(tmp_path: Path) -> None:
    async def work(store: Store) -> list[tuple[str, int]]:
        await fill(store)
        about, recorder = store.require("secrets", "s", "a"), Recorder(store)
        for reason in ("Seen", "Seen", "Lost", "Seen"):
            recorder.record(about, reason, "it is there")
        await recorder.queue.close()
        return sorted((obj["reason"], obj["count"]) for obj in store.all("events"))

    assert using(tmp_path, work) == [("Lost", 1), ("Seen", 3)]


def test_an_event_that_somebody_deleted_is_made_again(tmp_path: Path) -> None:
    async def work(store: Store) -> int:
        await fill(store)
        about, recorder = store.require("secrets", "s", "a"), Recorder(store)
        recorder.record(about, "Seen", "it is there")
        store.delete("events", "s", store.all("events")[0]["metadata"]["name"])
        recorder.record(about, "Seen", "it is there")
        await recorder.queue.close()
        return int(store.all("events")[0]["count"])

    assert using(tmp_path, work) == 1
