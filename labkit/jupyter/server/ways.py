"""The two ways to a gateway: this user's own takes a connection over whole, a service's is joined with it."""

from __future__ import annotations

import socket
from typing import Protocol

from labkit.gateway import handover
from labkit.jupyter.server.joining import End, beside, connected, drop, join
from labkit.settings import Settings


class Way(Protocol):
    """To one gateway, for one connection."""

    async def take(self, client: socket.socket, beginning: bytes) -> None:
        """Give the gateway a client's connection, of which `beginning` was read before.

        Raises OSError where it does not take it; the connection is still open then.
        """

    async def drop(self) -> None:
        """Give it none."""


async def way(settings: Settings) -> Way:
    """A way to this user's gateway, or to the service's where labs are those of one. Raises OSError."""
    if settings.url:
        return _Joined(await beside(connected(settings.url)))
    own = socket.socket(socket.AF_UNIX)
    own.setblocking(False)
    try:
        own.connect(str(handover.beside(settings.gateway_socket)))  # at once, or not at all
    except OSError:
        own.close()
        raise
    return _HandedOver(own)


class _HandedOver:
    def __init__(self, gateway: socket.socket) -> None:
        self._gateway = gateway

    async def take(self, client: socket.socket, beginning: bytes) -> None:
        client.setblocking(False)
        await handover.hand_over(self._gateway, client, beginning)

    async def drop(self) -> None:
        self._gateway.close()


class _Joined:
    def __init__(self, gateway: End) -> None:
        self._gateway = gateway

    async def take(self, client: socket.socket, beginning: bytes) -> None:
        await beside(join(client, self._gateway, beginning))

    async def drop(self) -> None:
        await beside(drop(self._gateway))
