"""One running hello-lab, and requests to its machine's files through its gateway, as a script of our own page asks."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlencode, urlsplit

import psutil
import pytest

from labkit.app import Labs, local_principal, open_labs
from labkit.settings import load
from tests.support.containers import oci_layout
from tests.support.home import Home, new_home


@dataclass
class Machine:
    """The machine box of a hello-lab, at its gateway."""

    home: Home
    lab: str
    port: int
    ticket: str
    labs: Labs

    def head(self, method: str, what: str, size: str = "0", **query: str) -> bytes:
        """The head of a request by hand."""
        lines = [f"{method} /files/{self.lab}/box/{what}?{urlencode(query)} HTTP/1.1", f"Content-Length: {size}"]
        return "\r\n".join([*lines, *(f"{name}: {text}" for name, text in self.headers.items()), "", ""]).encode()

    @property
    def headers(self) -> dict[str, str]:
        host = f"127.0.0.1:{self.port}"
        return {"Host": host, "Origin": f"http://{host}", "Labkit-Request": "1", "Labkit-Ticket": self.ticket}

    def answer(self, method: str, what: str, body: Any = None, **query: str) -> tuple[int, Message, bytes]:
        """Status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request(method, f"/files/{self.lab}/box/{what}?{urlencode(query)}", body, self.headers)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def ask(self, method: str, what: str, body: Any = None, **query: str) -> tuple[int, Any]:
        """Status and body (JSON where it is)."""
        status, headers, data = self.answer(method, what, body, **query)
        return status, json.loads(data) if headers.get_content_type() == "application/json" else data

    def refused(self, method: str, what: str, body: Any = None, **query: str) -> tuple[int, str]:
        """Status and reason of a refusal, which is a sentence."""
        status, told = self.ask(method, what, body, **query)
        assert told["error"][0].isupper()
        assert told["error"].endswith(".")
        return status, told["reason"]

    def names(self, path: str = ".") -> set[str]:
        """What is in a folder."""
        return {entry["name"] for entry in self.ask("GET", "folder", path=path)[1]["entries"]}

    def parts(self, path: str = ".") -> set[str]:
        """The uploads that are not complete."""
        return {name for name in self.names(path) if name.endswith(".part")}

    def begin(self, path: str, data: bytes = b"x") -> socket.socket:
        """An upload of which only the beginning comes."""
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.sendall(self.head("PUT", "content", str(len(data) + 10**6), path=path) + data)
        return connection

    def gateway(self) -> psutil.Process:
        return next(found for found in self.home.processes("labkit.cli") if "gateway" in found.cmdline())

    def root(self, command: str) -> str:
        """What a command prints that root runs there."""
        return self.labs.execute(local_principal(), self.lab, "box", command, timeout=30).stdout


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    home = new_home(image=False)
    oci_layout(home.settings.images_dir / "box" / "1" / "oci")
    (home.settings.images_dir / "box" / "current").symlink_to("1")
    (home.settings.images_dir / "tiny").symlink_to(load().images_dir / "tiny")
    started = home.labkit("start", "hello-lab", LABKIT_GATEWAY_NAMESPACE="default")  # for the tests of rights
    assert started.returncode == 0, started.stderr
    link = urlsplit(home.json("open", "hello-lab", "box", "console", "--print")[0]["url"])
    assert link.port is not None
    yield Machine(
        home, link.path.split("/")[2], link.port, link.fragment.removeprefix("ticket="), open_labs(home.settings)
    )
    home.end()
