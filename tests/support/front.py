"""One TLS port in front of a service, as a proxy of an operator's would stand there.

It speaks no HTTP but the head of each request: then bytes go both ways until one side ends, so that WebSockets pass.
"""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key


@dataclass
class Front:
    """A running front of the service at the port `to`."""

    to: int
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, which carries one request."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            if not any(line.lower().startswith("upgrade:") for line in lines):
                lines = [line for line in lines if not line.lower().startswith("connection:")]
                lines.insert(1, "Connection: close")
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.to)
            inner_writer.write("\r\n".join(lines).encode("latin-1"))
            both = [_copy(reader, inner_writer), _copy(inner_reader, writer)]
            await asyncio.wait([asyncio.ensure_future(one) for one in both], return_when=asyncio.FIRST_COMPLETED)
            inner_writer.close()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()


@contextmanager
def running_front(folder: Path, to: int) -> Iterator[Front]:
    """A front with a certificate that nobody has signed but itself: `tls.pem` in the folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(folder))
    front, ready, loop = Front(to), threading.Event(), asyncio.new_event_loop()
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
    hosts = [x509.DNSName(host) for host in ("moodle.test", "localhost")]
    names = x509.SubjectAlternativeName([*hosts, x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    built = built.serial_number(1).not_valid_before(now - day).not_valid_after(now + day).add_extension(names, False)
    signed = built.sign(key, hashes.SHA256())
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "tls.pem").write_bytes(pem + signed.public_bytes(serialization.Encoding.PEM))
    return folder / "tls.pem"
