"""A service's gateway asked from another computer: what is made of refusals, redirections and faults on this side. The
gateway is any HTTP server here, and there are no machines."""

from __future__ import annotations

import asyncio
import errno
import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import pytest

from labkit.errors import FileRefused, LabkitError, MachineUnreachable
from labkit.jupyter.machines import _from_gateway
from labkit.jupyter.widgets import LabView
from labkit.model import PaneLink
from labkit.orchestrator.labs import Labs
from labkit.remote.files import GatewayFiles
from tests.api.conftest import Site


class Refusing(BaseHTTPRequestHandler):
    """Refuses as the path that is asked for says, leads elsewhere from `screenshot`, and keeps what it hears."""

    heard: tuple[str, ...] = ()

    def do_GET(self) -> None:
        type(self).heard += (self.path,)
        elsewhere = self.path.endswith("screenshot")
        status, reason = (503, "unreachable") if "away" in self.path else (404, "missing")
        self.send_response(302 if elsewhere else status)
        if elsewhere:
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/elsewhere")
        self.end_headers()
        self.wfile.write(json.dumps({"reason": reason, "error": "Machine box does not answer."}).encode())

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))

    def log_message(self, *words: Any) -> None:
        """Say nothing."""


@pytest.fixture
def gateway() -> Iterator[str]:
    Refusing.heard = ()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
def files(site: Site, gateway: str) -> GatewayFiles:
    return GatewayFiles(gateway, cast(Labs, site.lab.labs), site.lab.principal, site.lab.id, "box")


def test_a_machine_that_cannot_be_reached_is_not_taken_for_one_that_refuses(files: GatewayFiles) -> None:
    with pytest.raises(MachineUnreachable, match="machine box does not answer"):
        asyncio.run(files.entries("/away", 10))
    with pytest.raises(FileRefused):
        asyncio.run(files.entries("/none", 10))


def test_a_file_that_cannot_be_read_here_is_no_fault_of_the_gateways(files: GatewayFiles) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise OSError(errno.EIO, "Input/output error", "a disk")

    with pytest.raises(OSError, match="Input/output error"):
        asyncio.run(files.write("/copy", pieces(), expected=6))


def test_a_redirection_does_not_get_the_ticket(gateway: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_URL", gateway)
    with pytest.raises(LabkitError, match="Machine box"):
        _from_gateway(PaneLink("panes/l/box/screen/", "ticket", 2e9), "screenshot")
    assert Refusing.heard == ("/panes/l/box/screen/screenshot",)


class Heard(LabView):
    """A lab view whose messages are kept."""

    def send(self, content: Any, buffers: Any = None) -> None:
        self.said = content


def test_where_a_notebook_has_no_panes_its_link_leads_to_the_service(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_URL", "http://service.example/")
    view = Heard(site.lab.view, site.lab.id, plain=str)
    view._answer(None, {"id": "1", "method": "pane_link", "params": {"machine": "box", "pane": "terminal"}}, [])
    assert view.said["result"]["direct"] == "http://service.example/"
