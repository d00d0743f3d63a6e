"""What a watcher sees while several clients work and the engine is killed: every object comes and goes, in order."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3
from kubernetes import client, watch

from tests.support.engine import EngineProcess, namespace, running_engine, until

CLIENTS, OBJECTS = 3, 100
NAMES = {f"c{one}-{n}" for one in range(CLIENTS) for n in range(OBJECTS)}
CUT = (urllib3.exceptions.HTTPError, OSError)


@pytest.fixture
def engine() -> Iterator[EngineProcess]:
    """An engine that may be killed, with the namespace ``lab``."""
    with running_engine() as found:
        found.request("POST", "/api/v1/namespaces", namespace("lab"))
        yield found


def insist(what: Callable[[], Any], settled: int) -> None:
    """Ask again where the engine was killed; ``settled`` says that an earlier try had done it."""
    while True:
        try:
            what()
        except client.ApiException as error:
            if error.status != settled:
                raise
        except CUT:
            time.sleep(0.05)
            continue
        return


def work(engine: EngineProcess, one: int) -> None:
    """Create this client's objects, then delete them."""
    with engine.api() as api:
        core = client.CoreV1Api(api)
        names = [f"c{one}-{n}" for n in range(OBJECTS)]
        for name in names:
            insist(lambda name=name: core.create_namespaced_secret("lab", {"metadata": {"name": name}}), 409)
        for name in names:
            insist(lambda name=name: core.delete_namespaced_secret(name, "lab"), 404)


class Watcher(threading.Thread):
    """Lists, watches, reconnects from the last version, and lists again where that is gone: as every informer does."""

    def __init__(self, engine: EngineProcess) -> None:
        super().__init__()
        self._engine = engine
        self.history: dict[str, list[str]] = defaultdict(list)
        self.versions: list[int] = []
        self.listed = 0

    def run(self) -> None:
        known: set[str] = set()
        while set(self.history) != NAMES or known:
            try:
                with self._engine.api() as api:
                    self._follow(client.CoreV1Api(api), known)
            except CUT:
                time.sleep(0.05)
            except client.ApiException as error:
                if error.status != 410:
                    raise
                self.versions.clear()

    def _follow(self, core: client.CoreV1Api, known: set[str]) -> None:
        if not self.versions:
            self._list(core, known)
        events = watch.Watch().stream(
            core.list_namespaced_secret, "lab", resource_version=str(self.versions[-1]), timeout_seconds=2
        )
        for event in events:
            self._see(event["type"], event["object"].metadata.name, known)
            self.versions.append(int(event["object"].metadata.resource_version))

    def _list(self, core: client.CoreV1Api, known: set[str]) -> None:
        found = core.list_namespaced_secret("lab")
        self.versions.append(int(found.metadata.resource_version))
        self.listed += 1
        there = {item.metadata.name for item in found.items}
        for name in known - there:
            self._see("DELETED", name, known)
        for name in there - known:
            self._see("ADDED", name, known)

    def _see(self, kind: str, name: str, known: set[str]) -> None:
        if name in NAMES:
            self.history[name].append(kind)
            (known.add if kind == "ADDED" else known.discard)(name)
            assert self.versions == sorted(set(self.versions))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # connections that the kill cuts
@pytest.mark.parametrize("kills", [0, 1])
def test_a_watcher_sees_every_object_come_and_go_once(engine: EngineProcess, kills: int) -> None:
    watcher = Watcher(engine)
    workers = [threading.Thread(target=work, args=(engine, one)) for one in range(CLIENTS)]
    for thread in [watcher, *workers]:
        thread.start()
    for _ in range(kills):
        until(lambda: len(watcher.history) > len(NAMES) / 3, 30)
        engine.kill()
        engine.start()
    for thread in [*workers, watcher]:
        thread.join(60)
        assert not thread.is_alive()
    assert set(watcher.history) == NAMES
    assert [events for events in watcher.history.values() if events != ["ADDED", "DELETED"]] == []
    assert watcher.listed <= 1 + kills
