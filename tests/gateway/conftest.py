"""A real gateway process in front of a peer on the wire."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from gateway_page import Open
from gateway_peer import Peer, ttyd
from gateway_screen import Screen
from playwright.sync_api import Browser, Page

from labkit.manifests.names import terminal_secret
from tests.support.gateway import LAB, TERMINAL_KEY, Gateway, gateway_process


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


@pytest.fixture
def open_pane(browser: Browser, gateway: Gateway, peer: Peer) -> Iterator[Open]:
    """Opens a pane's page; at the end, no page may have logged a fault of its own (a policy that was violated, a
    script that failed)."""
    faults: list[str] = []
    context = browser.new_context(viewport={"width": 900, "height": 600})

    def open_page(pane: str, ticket: str | None = "") -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if "Policy" in message.text else None)
        fragment = f"#ticket={gateway.ticket() if ticket == '' else ticket}" if ticket is not None else ""
        page.goto(f"http://127.0.0.1:{gateway.port}/panes/alab/m/{pane}/{fragment}")
        return page

    yield open_page
    context.close()
    assert faults == []


@pytest.fixture
def screen(peer: Peer) -> Screen:
    """The machine's screen."""
    found = Screen()
    peer.streams["vnc"] = found
    return found
