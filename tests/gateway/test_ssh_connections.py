"""SSH through a portforward: what a connection leaves behind when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import asyncssh
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from labkit.cluster.ssh import connected
from labkit.cluster.streams import PROTOCOL, StreamTarget
from labkit.model import Login


def _done(process: asyncssh.SSHServerProcess[str]) -> None:
    process.exit(0)


@contextlib.asynccontextmanager
async def machine() -> AsyncIterator[tuple[StreamTarget, Login]]:
    """A real SSH server behind a portforward such as KubeVirt's, and what signs in to it."""
    own, host = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    allowed = asyncssh.import_authorized_keys(own.export_public_key().decode())
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_host_keys=[host], authorized_client_keys=allowed, process_factory=_done
    )

    async def forward(there: ServerConnection) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.get_port())

        async def down() -> None:
            while data := await reader.read(65536):
                await there.send(data)

        answering = asyncio.create_task(down())
        try:
            with contextlib.suppress(ConnectionClosed):
                async for message in there:
                    writer.write(message if isinstance(message, bytes) else message.encode())
        finally:
            answering.cancel()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async with server, serve(forward, "127.0.0.1", 0, subprotocols=[Subprotocol(PROTOCOL)]) as engine:
        port = next(iter(engine.sockets)).getsockname()[1]
        key = own.export_private_key().decode()
        login = Login(user="root", key=key, host_key=host.export_public_key().decode())
        yield StreamTarget(f"ws://127.0.0.1:{port}/", None, {}), login


def test_the_descriptor_of_a_connection_that_ended_can_be_anothers_at_once() -> None:
    async def connect(port: int) -> None:
        with contextlib.ExitStack() as held:  # what is held keeps its number, so that the next gets one just let go
            while True:
                for _ in range(20):
                    sock = held.enter_context(socket.socket())
                    sock.setblocking(False)
                    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
                held.close()

    async def many() -> None:
        with socket.create_server(("127.0.0.1", 0), backlog=4096) as other:
            async with machine() as (target, login), asyncio.timeout(50):
                busy = [asyncio.create_task(connect(other.getsockname()[1])) for _ in range(8)]
                for _ in range(30):
                    async with connected(target, login, "box"):
                        pass
                assert [task.exception() for task in busy if task.done()] == []
                for task in busy:
                    task.cancel()

    asyncio.run(many())
