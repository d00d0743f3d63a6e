"""What `gateway.py` measures with: a machine's end (plain or TLS), the proxies, and a client that costs little.

The machine's end is an engine as far as the gateway asks it: a namespace, a machine, streams. On the path of a screen
(`…/vnc`, `/flood`) it sends as many bytes as the client's first message says, on every other path it sends back what it
gets. Run as a program it serves: `gateway_peers.py source PORT [CERTIFICATE]` or `gateway_peers.py relay PORT URL`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import hashlib
import json
import os
import signal
import socket
import ssl
import struct
import sys
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
LAB, MACHINE = "bench", "m"
CHUNK = 32 * 1024


def frame(data: bytes, *, masked: bool = False) -> bytes:
    """One binary WebSocket frame. A mask of zeros is a mask."""
    bit, size = (0x80 if masked else 0), len(data)
    head = struct.pack("!BB", 0x82, bit | size) if size < 126 else struct.pack("!BBH", 0x82, bit | 126, size)
    if size > 65535:
        head = struct.pack("!BBQ", 0x82, bit | 127, size)
    return head + (b"\0\0\0\0" if masked else b"") + data


class Frames:
    """Reads frames' payloads from a socket."""

    def __init__(self, sock: socket.socket, early: bytes = b"") -> None:
        self.sock, self.buffer = sock, bytearray(early)

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        while len(self.buffer) < size:
            data = self.sock.recv(256 * 1024)
            if not data:
                raise ConnectionError("closed")
            self.buffer += data
        found = bytes(self.buffer[:size])
        del self.buffer[:size]
        return found

    def payload(self) -> bytes:
        """The next frame's payload. Pongs are passed over."""
        head = self.take(2)
        while head[0] & 0x0F == 10:
            self.take((head[1] & 0x7F) + (4 if head[1] & 0x80 else 0))
            head = self.take(2)
        size = head[1] & 0x7F
        if size > 125:
            size = int.from_bytes(self.take(2 if size == 126 else 8), "big")
        mask = self.take(4) if head[1] & 0x80 else b""
        data = self.take(size)
        return bytes(byte ^ mask[at % 4] for at, byte in enumerate(data)) if mask else data


def head_of(sock: socket.socket) -> tuple[bytes, bytes]:
    """A request's or an answer's head, and what came with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionError("closed")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def opened(address: tuple[str, int] | str, path: str, *, origin: str, protocols: str, buffer: int = 0) -> Frames:
    """A WebSocket as a client opens it. `buffer` is the socket's own, in bytes, for a client that is to be slow."""
    sock = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.settimeout(60)
    sock.connect(address)
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    offer = f"Sec-WebSocket-Protocol: {protocols}\r\n" if protocols else ""
    request = f"GET {path} HTTP/1.1\r\nHost: {origin}\r\nOrigin: http://{origin}\r\nUpgrade: websocket\r\n"
    request += f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n{offer}\r\n"
    sock.sendall(request.encode())
    head, rest = head_of(sock)
    if b" 101 " not in head.partition(b"\r\n")[0]:
        raise ConnectionError((head + rest).decode(errors="replace"))
    return Frames(sock, rest)


def certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1, signed by itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "certificate.pem"
    path.write_bytes(private + made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


class Source:
    """The machine's end, a thread for each connection."""

    def __init__(self, port: int, certificate: str | None) -> None:
        self.context = None
        if certificate:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(certificate)
        self.listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        panes = [{"name": kind, "type": kind, "title": kind} for kind in ("vnc", "console")]
        status = {"phase": "Running", "interfaces": [{"ipAddress": "127.0.0.1"}]}
        self.objects = {
            "namespaces": {"kind": "Namespace", "metadata": {"labels": {"labkit/lab": LAB}}},
            "virtualmachineinstances": {
                "kind": "VirtualMachineInstance",
                "metadata": {"annotations": {"labkit/panes": json.dumps(panes)}},
                "status": status,
            },
        }

    def serve(self) -> None:
        """Until it is killed. A flood gets a process of its own: its thread would hold up the other panes' ends."""
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            sock, _ = self.listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._connection, args=(sock,), daemon=True).start()

    def _connection(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError, ConnectionError, ssl.SSLError):
            sock = self.context.wrap_socket(plain, server_side=True) if self.context else plain
            while True:
                head, rest = head_of(sock)
                path = head.split(b" ", 2)[1].decode()
                if b"\nupgrade: websocket" in head.lower():
                    self._stream(sock, head, rest, path)
                    return
                kind = path.split("/")[-2]
                body = json.dumps(self.objects.get(kind, {})).encode()
                lines = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                sock.sendall(lines.encode() + body)

    def _stream(self, sock: socket.socket, head: bytes, rest: bytes, path: str) -> None:
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        lower = {name.lower(): value for name, value in fields.items()}
        accept = base64.b64encode(hashlib.sha1(lower[b"sec-websocket-key"] + GUID).digest())  # noqa: S324
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        answer += b"Sec-WebSocket-Accept: " + accept + b"\r\n"
        if b"sec-websocket-protocol" in lower:
            answer += b"Sec-WebSocket-Protocol: " + lower[b"sec-websocket-protocol"].split(b",")[0] + b"\r\n"
        sock.sendall(answer + b"\r\n")
        flood = path.endswith(("/vnc", "/flood"))
        if flood and os.fork():
            return
        try:
            self.talk(Frames(sock, rest), flood=flood)
        finally:
            if flood:
                os._exit(0)

    def talk(self, frames: Frames, *, flood: bool) -> None:
        """Send what is asked for, or what comes."""
        ready = frame(bytes(CHUNK))
        while True:
            said = frames.payload()
            if not flood:
                frames.sock.sendall(frame(said))
                continue
            for _ in range(int(said) // CHUNK):
                frames.sock.sendall(ready)


class Raw(Source):
    """The same behind websockify, which takes the frames off: a size as text asks for bytes, or all is sent back."""

    def _connection(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            sock = self.context.wrap_socket(plain, server_side=True) if self.context else plain
            while data := sock.recv(65536):
                if data[:1] != b"#":
                    sock.sendall(data)
                    continue
                for _ in range(int(data[1:]) // CHUNK):
                    sock.sendall(bytes(CHUNK))


async def relay(port: int, url: str) -> None:
    """The relay that one writes first: two connections of the library `websockets`, and two loops."""
    from websockets.asyncio.client import connect
    from websockets.asyncio.server import ServerConnection, serve

    context = ssl._create_unverified_context() if url.startswith("wss") else None  # noqa: S323

    async def joined(browser: ServerConnection) -> None:
        options = {"compression": None, "max_size": None, "proxy": None, "ssl": context}
        async with connect(url + browser.request.path, **options) as machine:  # type: ignore[union-attr, arg-type]

            async def copy(source: object, sink: object) -> None:
                async for message in source:  # type: ignore[attr-defined]
                    await sink.send(message)  # type: ignore[attr-defined]

            await asyncio.wait(
                [asyncio.ensure_future(copy(browser, machine)), asyncio.ensure_future(copy(machine, browser))],
                return_when=asyncio.FIRST_COMPLETED,
            )

    async with serve(joined, "127.0.0.1", port, compression=None, max_size=None):
        await asyncio.Future()


NGINX = """daemon off; worker_processes 1; error_log {folder}/nginx.log; pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{ access_log off; proxy_temp_path {folder}/p; client_body_temp_path {folder}/b; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {url}; proxy_http_version 1.1; proxy_ssl_verify off;
    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; proxy_read_timeout 900s; }} }} }}
"""


def nginx_config(folder: Path, port: int, url: str) -> Path:
    """A configuration that passes WebSockets on, as it is usually written."""
    path = folder / f"nginx-{port}.conf"
    path.write_text(NGINX.format(folder=folder, port=port, url=url))
    return path


if __name__ == "__main__":
    role, own_port, *more = sys.argv[1:]
    if role == "relay":
        asyncio.run(relay(int(own_port), more[0]))
    else:
        {"source": Source, "raw": Raw}[role](int(own_port), more[0] if more else None).serve()
