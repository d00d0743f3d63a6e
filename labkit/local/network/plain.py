"""Machines without private networks, where this computer can make none: each alone on a closed network of its QEMU's.

QEMU's built-in network stack (slirp, ``restrict=on``) gives the machine its address and passes nothing on. So a
namespace has one machine, without names and without a way out; what needs more fails with the reason. Connections in
are made through QEMU: it listens, only while one is made, at a loopback address drawn by lot.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence

from labkit.local.network.filter import Filter
from labkit.local.network.names import Member, gateway
from labkit.local.network.segments import NetworkError, Segments, UplinkError
from labkit.local.paths import EnginePaths

_WHY = "this computer can make no private network ('labkit doctor' says why)"
_CLOSED = f"{_WHY}: nothing outside is reached, though policies allow it"
_DIAL_SECONDS = 10.0
_POLL_SECONDS = 0.02


class PlainSegments(Segments):
    """The same questions as of private networks, answered for machines that are alone."""

    def __init__(self, paths: EnginePaths, command: Callable[[str, str], Awaitable[str]]) -> None:
        """``command`` has the QEMU of a machine (uid) carry out a line of its human monitor, and tells the answer."""
        super().__init__(paths)
        self._command = command
        self._filters: dict[str, Filter] = {}

    async def attach(self, namespace_uid: str, machine_uid: str) -> None:
        """Give a machine its address. Raises NetworkError where the namespace has another machine."""
        if self.addresses(namespace_uid).keys() - {machine_uid}:
            raise NetworkError(f"{_WHY}: a namespace can have one machine, and has another already")
        await super().attach(namespace_uid, machine_uid)

    async def configure(
        self,
        namespace_uid: str,
        namespace: str,
        members: Sequence[Member],
        names: Mapping[str, Sequence[str]],
        rules: Callable[[str], Filter],
    ) -> None:
        """Keep what the policies say. Raises UplinkError where something would be let out: nothing gets out here."""
        if not (taken := self.addresses(namespace_uid)):
            self._filters.pop(namespace_uid, None)
            return
        found = self._filters[namespace_uid] = rules(gateway(f"{next(iter(taken.values())).rpartition('.')[0]}.0/24"))
        if found.uplink:
            raise UplinkError(_CLOSED)

    async def tap(self, namespace_uid: str, machine_uid: str) -> None:
        """None: the machine has no port."""

    async def entry(self, namespace_uid: str) -> list[str]:
        """Nothing: there is no network to run in. Raises NetworkError where a policy lets the machine out."""
        found = self._filters[namespace_uid]
        if found.uplink and any(found.policies.selecting(member, "Egress") for member in found.policies.members):
            raise NetworkError(_CLOSED)
        return []

    async def rights(self, namespace_uid: str) -> list[str]:
        """Refuse a container, for which QEMU does nothing."""
        raise NetworkError(f"{_WHY}: containers cannot be run")

    async def _connect(self, namespace_uid: str, host: str, port: int, probe: bool) -> socket.socket:
        """Through the machine's QEMU."""
        found = self._filters.get(namespace_uid)
        if found is None or not (probe or found.policies.admits(host, port)):
            raise NetworkError("No route to host: no NetworkPolicy lets portforward in")
        uid = next(uid for uid, address in self.addresses(namespace_uid).items() if address == host)
        near = "127." + ".".join(str(1 + secrets.randbelow(254)) for _ in range(3)), 1024 + secrets.randbelow(60000)
        rule = f"tcp:{near[0]}:{near[1]}"
        if said := await self._command(uid, f"hostfwd_add net0 {rule}-{host}:{port}"):
            raise NetworkError(f"QEMU cannot connect to the machine: {said.strip()}")
        connection = socket.socket()
        try:
            connection.setblocking(False)
            async with asyncio.timeout(_DIAL_SECONDS):
                await asyncio.get_running_loop().sock_connect(connection, near)
                await self._established(uid, connection, near[0])
        except BaseException as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise NetworkError(f"the machine does not answer within {_DIAL_SECONDS:g} s") from error
            raise
        finally:
            await self._command(uid, f"hostfwd_remove net0 {rule}")
        return connection

    async def _established(self, uid: str, connection: socket.socket, near: str) -> None:
        """Wait until the machine has answered: QEMU accepts before. Raises OSError where the machine refuses."""
        while True:
            try:
                if not connection.recv(1, socket.MSG_PEEK):
                    raise ConnectionRefusedError("connection refused")
                return
            except BlockingIOError:
                lines = (await self._command(uid, "info usernet")).splitlines()
            if any("[ESTABLISHED]" in line and near in line.split() for line in lines):
                return
            await asyncio.sleep(_POLL_SECONDS)
