"""A peer on the wire: the two kinds of `get` and the streams that the gateway asks an engine for, over real HTTP.

Not an engine: its objects are what a test puts there. Its terminal speaks ttyd's protocol on a real pseudo-terminal.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import os
import pty
import struct
import termios
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from fcntl import ioctl
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

TOKEN = "peer-token"
PICTURE = b"\x89PNG peer"


class Peer:
    """Runs in a thread of its own. `namespaces`, `machines` and `streams` are changed by tests at will."""

    def __init__(self) -> None:
        self.namespaces: dict[str, dict[str, Any]] = {}
        self.machines: dict[tuple[str, str], dict[str, Any]] = {}
        self.pods: dict[tuple[str, str], dict[str, Any]] = {}
        self.streams: dict[str, Callable[[ServerConnection], Any]] = {"console": echo, "exec": container}
        self.open: list[ServerConnection] = []
        self.port = 0
        self.asked_streams = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._dialled: dict[ServerConnection, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    def add_lab(self, lab: str, *machines: str, epoch: int = 0) -> None:
        """A lab with running machines that have a console, a vnc and a terminal pane."""
        metadata = {"labels": {"labkit/lab": lab}, "annotations": {"labkit/ticket-epoch": str(epoch)}}
        self.namespaces[f"labkit-{lab}"] = {"kind": "Namespace", "metadata": metadata}
        for machine in machines:
            self.add_machine(lab, machine)

    def add_machine(self, lab: str, machine: str, phase: str = "Running", port: int = 7681, site: int = 1) -> None:
        """A machine in the phase `phase`; its terminal is on the port `port` of this host, its page on `site`."""
        panes = [
            {"name": "terminal", "type": "terminal", "title": "Terminal", "port": port},
            {"name": "console", "type": "console", "title": "Console"},
            {"name": "vnc", "type": "vnc", "title": "Screen"},
            {"name": "site", "type": "http", "title": "Site", "port": site, "path": "/start"},
        ]
        status = {"phase": phase, "interfaces": [{"ipAddress": "127.0.0.1"}]}
        body = {"metadata": {"annotations": {"labkit/panes": json.dumps(panes)}}, "status": status}
        self.machines[f"labkit-{lab}", machine] = body

    def add_container(self, lab: str, machine: str) -> None:
        """A running container with a shell pane."""
        panes = [{"name": "shell", "type": "exec", "title": "Shell"}]
        metadata = {"annotations": {"labkit/panes": json.dumps(panes)}}
        status = {"phase": "Running", "podIP": "127.0.0.1"}
        self.pods[f"labkit-{lab}", machine] = {"kind": "Pod", "metadata": metadata, "status": status}

    def kubeconfig(self, path: Path) -> Path:
        """A kubeconfig that leads here."""
        named = {"name": "peer"}
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "peer",
            "clusters": [{**named, "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{**named, "user": {"token": TOKEN}}],
            "contexts": [{**named, "context": {"cluster": "peer", "user": "peer"}}],
        }
        path.write_text(json.dumps(body))
        return path

    @contextlib.contextmanager
    def running(self) -> Iterator[Peer]:
        """Listen on a free port of loopback while the context lasts."""
        started, loop = threading.Event(), asyncio.new_event_loop()
        stop, self._loop = asyncio.Event(), loop

        async def main() -> None:
            options = {"process_request": self._request, "compression": None, "ping_interval": None, "max_size": None}
            async with serve(
                self._stream, "127.0.0.1", 0, select_subprotocol=plain, close_timeout=0.2, **options
            ) as on:
                self.port = on.sockets[0].getsockname()[1]
                started.set()
                await stop.wait()

        thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
        thread.start()
        started.wait(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(10)
            loop.close()

    def ping(self, connection: ServerConnection, seconds: float) -> bool:
        """Ping the other end of a stream; True when it answers. Raises TimeoutError."""

        async def answered() -> bool:
            return await (await connection.ping()) >= 0

        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(answered(), self._loop).result(seconds)

    def cut(self, connection: ServerConnection) -> None:
        """End a stream as a stopped machine does."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(connection.transport.abort)

    async def _request(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return refusal(401, "Unauthorized")
        match request.path.strip("/").split("/"):
            case ["version"]:
                return answer(200, {"gitVersion": "peer"})
            case ["api", "v1", "namespaces", name]:
                return found(self.namespaces.get(name))
            case ["api", "v1", "namespaces", namespace, "pods", name]:
                return found(self.pods.get((namespace, name)))
            case ["api", "v1", "namespaces", namespace, "pods", name, path] if path.startswith("exec?"):
                self.asked_streams += 1
                return None if (namespace, name) in self.pods else refusal(404, "no such pod")
            case ["apis", "kubevirt.io", "v1", "namespaces", namespace, "virtualmachineinstances", name]:
                return found(self.machines.get((namespace, name)))
            case ["apis", "subresources.kubevirt.io", "v1", "namespaces", namespace, _, name, *rest]:
                if rest == ["vnc", "screenshot"]:
                    self.asked_streams += 1
                    return answer(200, PICTURE, "image/png")
                return await self._before_stream(connection, namespace, name, rest)
        return refusal(404, f"nothing at {request.path}")

    async def _before_stream(
        self, connection: ServerConnection, namespace: str, name: str, rest: list[str]
    ) -> Response | None:
        if (namespace, name) not in self.machines:
            return refusal(404, "no such machine")
        self.asked_streams += 1
        if rest[0] == "portforward":
            try:
                self._dialled[connection] = await asyncio.open_connection("127.0.0.1", int(rest[1]))
            except OSError as error:
                return refusal(500, f"dialing VM: {error}")
        elif rest[0] not in self.streams:
            return refusal(400, "VMI is not running")
        return None

    async def _stream(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        parts = connection.request.path.rstrip("/").split("/")
        kind = "exec" if "/exec?" in connection.request.path else parts[8]
        self.open.append(connection)
        with contextlib.suppress(ConnectionClosed, ConnectionError):
            if connection in self._dialled:
                await relay(connection, *self._dialled.pop(connection))
            else:
                await self.streams[kind](connection)
        connection.transport.abort()  # without a close frame, as KubeVirt does


def plain(connection: ServerConnection, offered: Any) -> Any:
    return next((name for name in ("plain.kubevirt.io", "v5.channel.k8s.io") if name in offered), None)


def answer(status: int, body: object, kind: str = "application/json") -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = Headers({"Content-Type": kind, "Content-Length": str(len(data)), "Connection": "close"})
    return Response(status, http.HTTPStatus(status).phrase, headers, data)


def refusal(status: int, message: str) -> Response:
    return answer(status, {"kind": "Status", "message": message, "reason": http.HTTPStatus(status).phrase})


def found(body: dict[str, Any] | None) -> Response:
    return refusal(404, "not found") if body is None else answer(200, body)


async def echo(connection: ServerConnection) -> None:
    """A console that says what it was told."""
    await connection.send(b"peer console\r\n")
    async for message in connection:
        if isinstance(message, bytes):
            await connection.send(message)


async def container(connection: ServerConnection) -> None:
    """A shell in a container, as far as its channels go: it says its size, and echoes until it is told to end."""
    async for message in connection:
        assert isinstance(message, bytes)
        if message[0] == 4:
            size = json.loads(message[1:])
            await connection.send(b"\x01" + f"{size['Height']} {size['Width']}\r\n".encode())
        elif message == b"\0exit\n":
            await connection.send(b"\x03" + json.dumps({"status": "Success"}).encode())
            return
        else:
            await connection.send(b"\x01" + message[1:])


async def relay(connection: ServerConnection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Bytes to and from a socket; the first end to close ends both."""

    async def down() -> None:
        while data := await reader.read(65536):
            await connection.send(data)

    async def up() -> None:
        async for message in connection:
            if isinstance(message, bytes):
                writer.write(message)
                await writer.drain()

    pumps = [asyncio.ensure_future(down()), asyncio.ensure_future(up())]
    await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    for pump in pumps:
        pump.cancel()
    await asyncio.gather(*pumps, return_exceptions=True)
    writer.close()


@contextlib.asynccontextmanager
async def ttyd(secret: str) -> AsyncIterator[int]:
    """A terminal server below /<secret>, speaking ttyd's protocol: its port."""

    async def request(connection: ServerConnection, request: Request) -> Response | None:
        return None if request.path == f"/{secret}/ws" else refusal(404, "no")

    options = {"process_request": request, "compression": None, "ping_interval": None}
    async with serve(shell, "127.0.0.1", 0, subprotocols=["tty"], close_timeout=0.2, **options) as server:  # type: ignore[list-item]
        yield server.sockets[0].getsockname()[1]


async def shell(connection: ServerConnection) -> None:
    """One shell on a pseudo-terminal for one connection."""
    hello = json.loads(await connection.recv())
    terminal, inner = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        "sh", "-i", stdin=inner, stdout=inner, stderr=inner, start_new_session=True, env={**os.environ, "PS1": "peer$ "}
    )
    os.close(inner)
    resize(terminal, hello)
    output: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    loop.add_reader(terminal, lambda: output.put_nowait(read(terminal)))
    await connection.send(b"1peer")
    await connection.send(b"2{}")

    async def down() -> None:
        while data := await output.get():
            await connection.send(b"0" + data)

    pump = asyncio.ensure_future(down())
    try:
        async for message in connection:
            data = message if isinstance(message, bytes) else message.encode()
            if data[:1] == b"0":
                os.write(terminal, data[1:])
            elif data[:1] == b"1":
                resize(terminal, json.loads(data[1:]))
    finally:
        pump.cancel()
        loop.remove_reader(terminal)
        os.close(terminal)
        process.kill()
        await process.wait()


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def resize(terminal: int, size: dict[str, int]) -> None:
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", size["rows"], size["columns"], 0, 0))
