"""One TLS port in front of several sites, as a proxy of an operator's would stand there: by name and by path.

It speaks no HTTP but the head of each request: then bytes go both ways until one side ends, so that WebSockets pass.
"""

from __future__ import annotations

import asyncio
import datetime
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

Place = Path | int
"""A unix socket, or a port of this machine."""
Route = Callable[[str, str], Place]
"""From a request's host and path to who answers it."""


@dataclass
class Front:
    """A running front; `route` may be set later."""

    route: Route | None = None
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, which carries one request."""
        assert self.route is not None
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines[1:]}
            place = self.route(headers["host"].split(":")[0], lines[0].split()[1])
            if "upgrade" not in headers:
                lines = [line for line in lines if not line.lower().startswith("connection:")]
                lines.insert(1, "Connection: close")
            opened = asyncio.open_unix_connection(place) if isinstance(place, Path) else _local(place)
            inner_reader, inner_writer = await opened
            inner_writer.write("\r\n".join(lines).encode("latin-1"))
            both = [_copy(reader, inner_writer), _copy(inner_reader, writer)]
            await asyncio.wait([asyncio.ensure_future(one) for one in both], return_when=asyncio.FIRST_COMPLETED)
            inner_writer.close()
        writer.close()


async def _local(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()


@contextmanager
def running_front(folder: Path) -> Iterator[Front]:
    """A front with a certificate that nobody has signed but itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(folder))
    front, ready, loop = Front(), threading.Event(), asyncio.new_event_loop()
    servers: list[asyncio.Server] = []

    async def listen() -> None:
        server = await asyncio.start_server(front.serve, "127.0.0.1", 0, ssl=context)
        servers.append(server)
        front.port = server.sockets[0].getsockname()[1]
        ready.set()

    def run() -> None:
        asyncio.set_event_loop(loop)
        listening = loop.create_task(listen())
        loop.run_forever()
        servers[0].close()
        left = asyncio.all_tasks(loop) | {listening}
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    yield front
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


def certificate(folder: Path) -> Path:
    """A file with a key and its own certificate."""
    key = generate_private_key(public_exponent=65537, key_size=2048)
    name, now = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "labkit test")]),
        datetime.datetime.now(datetime.UTC),
    )
    day = datetime.timedelta(days=1)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    names = x509.SubjectAlternativeName([x509.DNSName("moodle.test"), x509.DNSName("tool.example")])
    built = built.serial_number(1).not_valid_before(now - day).not_valid_after(now + day).add_extension(names, False)
    signed = built.sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "tls.pem").write_bytes(pem + signed.public_bytes(serialization.Encoding.PEM))
    return folder / "tls.pem"
