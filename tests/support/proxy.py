"""A proxy on a socket between labkit and an engine: it counts requests, and does to them what a test wants.

Each connection carries one request, so that a rule decides on requests, not on connections. Rules are called with the
number of the request (from 1), its method and its path, and answer with a fault, or None to let it pass.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.engine import EngineProcess


@dataclass(frozen=True)
class Fault:
    """What becomes of a request: an answer of `status`, no answer at all, or a connection that is reset.

    `after`: only when the engine has done it. `call` is called first of all (say, to kill somebody).
    """

    status: int = 0
    headers: tuple[str, ...] = ()
    reason: str = ""
    silent: bool = False
    reset: bool = False
    after: bool = False
    call: Callable[[], object] = lambda: None


Rule = Callable[[int, str, str], Fault | None]


@dataclass
class Proxy:
    """Serves on loopback in front of an engine. `seen` is every request as (method, path)."""

    engine: EngineProcess
    folder: Path
    rule: Rule = lambda number, method, path: None
    seen: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        server = json.loads(self.engine.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
        host, port = server.removeprefix("https://").split(":")
        self._engine = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._ended = threading.Event()
        self.kubeconfig = self.folder / "proxied.json"
        config = json.loads(self.engine.kubeconfig.read_text())
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{self._listener.getsockname()[1]}"}
        self.kubeconfig.write_text(json.dumps(config))
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more connections, and end those that there are."""
        self._ended.set()
        self._listener.close()
        self.drop()

    def drop(self, watches: bool = True) -> None:
        """Cut every connection."""
        with self._lock:
            found = list(self._open)
        for connection in found:
            _cut(connection)

    def requests(self, *methods: str) -> int:
        """How many requests there were, of these methods or of all."""
        return sum(not methods or method in methods for method, _ in self.seen)

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(connection,), daemon=True).start()

    def _carry(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        try:
            self._answer(connection)
        except OSError:
            pass  # either side has gone: so has the other, now
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _answer(self, connection: socket.socket) -> None:
        request, method, path = _request(connection)
        if not request:
            return
        with self._lock:
            self.seen.append((method, path))
            number = len(self.seen)
        fault = self.rule(number, method, path)
        if fault is None or fault.after:
            upstream = self._connect()
            try:
                upstream.sendall(request)
                if fault is None:
                    _splice(connection, upstream)
                    return
                upstream.recv(2**16)
            finally:
                upstream.close()
        fault.call()
        self._spoil(connection, fault)

    def _spoil(self, connection: socket.socket, fault: Fault) -> None:
        if fault.silent:
            self._ended.wait()
        elif fault.status:
            status = {"kind": "Status", "message": f"the proxy says {fault.status}", "reason": fault.reason}
            body = json.dumps({**status, "code": fault.status}).encode()
            head = [f"HTTP/1.1 {fault.status} Spoilt", f"Content-Length: {len(body)}", "Connection: close"]
            connection.sendall("\r\n".join([*head, *fault.headers, "", ""]).encode() + body)
        elif fault.reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _connect(self) -> ssl.SSLSocket:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(socket.create_connection(self._engine, timeout=30))


def _request(connection: socket.socket) -> tuple[bytes, str, str]:
    """A whole request, made to be the last of its connection, its method and its path; nothing where none came."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(2**16)
        if not more:
            return b"", "", ""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    while len(body) < int(fields.get("content-length", 0)):
        body += connection.recv(2**16)
    if "upgrade" not in fields:
        lines = [line for line in lines if not line.lower().startswith("connection:")] + ["Connection: close"]
    method, path, _ = lines[0].split(" ", 2)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body, method, path


def _splice(one: socket.socket, other: ssl.SSLSocket) -> None:
    """Carry bytes both ways until the engine has said its last."""
    other.settimeout(None)
    threading.Thread(target=_pump, args=(one, other), daemon=True).start()
    _pump(other, one)


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(2**16):
            target.sendall(data)
    except (OSError, ValueError):
        return
    finally:
        _cut(target)


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # it is cut already
