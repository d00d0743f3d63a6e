"""A real `labkit gateway` as a process of its own, the key that signs its tickets, and requests to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from labkit import tickets

TERMINAL_KEY = b"k" * 32
LAB = "alab"


def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """Wait until `condition()` is true, and return what it said; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"did not come true within {seconds} s")


@dataclass
class Gateway:
    """A running `labkit gateway` and the key that signs its tickets."""

    process: subprocess.Popen[bytes]
    folder: Path
    socket: Path
    port: int
    key: tickets.SigningKey = field(repr=False)

    def ticket(self, lab: str = LAB, *, seconds: float = 300, **claims: Any) -> str:
        return tickets.sign(tickets.Ticket(lab, "someone", time.time() + seconds, **claims), self.key)

    def get(
        self, path: str, ticket: str | None = None, *, method: str = "GET", body: bytes = b"", **headers: str
    ) -> tuple[int, Any, Any]:
        """Status, headers and body (JSON where it is)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(
                method, path, body=body or None, headers={**({"Labkit-Ticket": ticket} if ticket else {}), **headers}
            )
            answer = connection.getresponse()
            body = answer.read()
            is_json = answer.headers.get_content_type() == "application/json"
            return answer.status, answer.headers, json.loads(body) if is_json else body

    def post(self, path: str, ticket: str | None = None, body: bytes = b"", **headers: str) -> tuple[int, Any, Any]:
        """A request that changes something, as a script of our own page asks it."""
        own = {"Origin": f"http://127.0.0.1:{self.port}", "Labkit-Request": "1", "Labkit-Ticket": ticket or ""}
        return self.get(path, method="POST", body=body, **{key: text for key, text in (own | headers).items() if text})

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


@contextlib.contextmanager
def gateway_process(
    folder: Path,
    kubeconfig: Path,
    *options: str,
    key: tickets.SigningKey | None = None,
    terminal_key: bytes = TERMINAL_KEY,
    environ: dict[str, str] | None = None,
) -> Iterator[Gateway]:
    """`labkit gateway` with its state in `folder`; its keys are written first, as a lab's start does."""
    key = key or tickets.SigningKey.generate()
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    (keys / "tickets.jwks.json").write_text(json.dumps(tickets.jwks([key])))
    (keys / "terminal.key").write_bytes(terminal_key)
    names = {"LABKIT_STATE_DIR": folder, "LABKIT_KUBECONFIG": kubeconfig, "LABKIT_RUNTIME_ROOT": folder / "run"}
    environ = {**os.environ, **(environ or {}), **{name: str(value) for name, value in names.items()}}
    socket = folder / "run" / "g.sock"
    command = [sys.executable, "-m", "labkit.cli", "gateway", "--socket", str(socket), "--port", "0", *options]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=log, stderr=log)
    try:
        endpoint = folder / "gateway.json"
        eventually(lambda: endpoint.exists() or process.poll() is not None, 20)
        assert process.poll() is None, (folder / "log").read_text()
        yield Gateway(process, folder, socket, json.loads(endpoint.read_text())["port"], key)
    finally:
        process.terminate()
        process.wait(10)
        assert process.stdin is not None
        process.stdin.close()


def open_console(gateway: Gateway, ticket: str | None = "", origin: str | None = "") -> ClientConnection:
    """The console of the machine m as a browser opens it; "" is a good ticket, the gateway's own origin."""
    ticket = gateway.ticket() if ticket == "" else ticket
    offered = ["plain.kubevirt.io", *([f"labkit.ticket.{ticket}"] if ticket else [])]
    return connect(
        f"ws://127.0.0.1:{gateway.port}/panes/{LAB}/m/console/stream",
        origin=Origin(origin or f"http://127.0.0.1:{gateway.port}") if origin is not None else None,
        subprotocols=[Subprotocol(name) for name in offered],
        proxy=None,
    ).__enter__()  # entered here, so that a test may also end it by itself
