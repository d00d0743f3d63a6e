"""A real gateway process in front of a peer on the wire."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from gateway_peer import Peer, ttyd
from gateway_process import LAB, TERMINAL_KEY, Gateway, gateway_process

from labkit.manifests.names import terminal_secret


@pytest.fixture(scope="module")
def terminal_port() -> Iterator[int]:
    """A terminal server for the machine m of the lab, on a free port."""
    loop, started, stop, found = asyncio.new_event_loop(), threading.Event(), asyncio.Event(), []

    async def main() -> None:
        async with ttyd(terminal_secret(TERMINAL_KEY, LAB, "m")) as port:
            found.append(port)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    started.wait(10)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(10)
    loop.close()


@pytest.fixture(scope="module")
def running_peer() -> Iterator[Peer]:
    with Peer().running() as peer:
        yield peer


@pytest.fixture
def peer(running_peer: Peer, terminal_port: int) -> Peer:
    """The peer with one lab, `alab`, of one machine, `m`, as it was at the start of each test."""
    running_peer.namespaces.clear()
    running_peer.machines.clear()
    running_peer.add_lab(LAB)
    running_peer.add_machine(LAB, "m", port=terminal_port)
    return running_peer


@pytest.fixture(scope="module")
def gateway(running_peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateway_process(folder, running_peer.kubeconfig(folder / "kubeconfig")) as found:
        yield found
