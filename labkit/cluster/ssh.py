"""SSH to a machine through the engine's portforward. With `sftp`, the only user of asyncssh.

Nothing of the user's own is used: no ~/.ssh, no key agent. The machine's host key is known from the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator

import asyncssh

from labkit.cluster.joining import join, reach
from labkit.cluster.streams import StreamTarget
from labkit.errors import MachineUnreachable
from labkit.manifests import names
from labkit.model import Login

logging.getLogger("asyncssh").setLevel(logging.WARNING)  # else it writes several lines for each session

OPEN_SECONDS = 15.0
"""For signing in: emulated machines take seconds to compute their part."""


@contextlib.asynccontextmanager
async def connected(target: StreamTarget, login: Login, machine: str) -> AsyncIterator[asyncssh.SSHClientConnection]:
    """A connection to the SSH server at `target`, signed in; closed at the end.

    Raises MachineUnreachable, whose sentence names `machine`.
    """
    stream = await reach(target, machine, names.SSH_PORT)
    ours, theirs = socket.socketpair()
    try:
        joined = asyncio.create_task(join(stream, *await asyncio.open_connection(sock=theirs)))
    except BaseException:
        stream.transport.abort()
        ours.close()
        raise
    connection = None
    try:
        connection = await _signed_in(ours, login, machine)
        yield connection
    finally:
        if connection is not None:
            connection.abort()
            await connection.wait_closed()  # until then the descriptor is its: the next connection must not get it
        ours.close()
        joined.cancel()
        await asyncio.gather(joined, return_exceptions=True)


async def _signed_in(ours: socket.socket, login: Login, machine: str) -> asyncssh.SSHClientConnection:
    key, host_key = asyncssh.import_private_key(login.key), asyncssh.import_public_key(login.host_key)
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            return await asyncssh.connect(
                machine,
                sock=ours,
                username=login.user,
                client_keys=[key],
                known_hosts=([host_key], [], []),
                server_host_key_algs=[host_key.get_algorithm()],
                config=None,
                agent_path=None,
                preferred_auth="publickey",
            )
    except asyncssh.HostKeyNotVerifiable as error:
        raise MachineUnreachable(
            f"machine {machine} shows another host key than the one it was given: reset it, unless you changed the key"
        ) from error
    except asyncssh.PermissionDenied as error:
        raise MachineUnreachable(
            f"machine {machine} does not let labkit in as {login.user}: its key is gone from "
            "~/.ssh/authorized_keys, or the machine was made by an older labkit; a reset brings it back"
        ) from error
    except (asyncssh.Error, OSError) as error:  # TimeoutError is an OSError
        raise MachineUnreachable(f"no SSH server answers on port {names.SSH_PORT} of machine {machine}") from error
