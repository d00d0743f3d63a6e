"""The networks of all namespaces: made when a machine needs one, gone when the last machine is."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from labkit.local import processes
from labkit.local.files import make_private, remove_tree, write_atomically
from labkit.local.network import dnsmasq
from labkit.local.network.names import SegmentRecord, free_network, gateway, search_domains
from labkit.local.paths import EnginePaths, SegmentPaths

_START_SECONDS = 10.0
_REMEDY = "'labkit doctor' says what is missing"


class NetworkError(Exception):
    """A network, or a connection in it, that cannot be had: one sentence."""


class Segments:
    """All networks of this engine. Methods are safe to call at the same time for different namespaces."""

    def __init__(self, paths: EnginePaths) -> None:
        self._paths = paths
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._records: dict[str, SegmentRecord] = {}
        self._told: dict[str, dict[str, Any]] = {}
        for file in paths.networks.glob("n*.json"):
            self._records[file.stem] = SegmentRecord(**json.loads(file.read_text()))

    def address(self, namespace_uid: str, machine_uid: str) -> str | None:
        """The address that a machine has, or None."""
        record = self._records.get(self._paths.segment(namespace_uid).record.stem)
        return record.addresses.get(machine_uid) if record else None

    async def attach(self, namespace_uid: str, namespace: str, machine_uid: str) -> str:
        """Make the namespace's network if need be and give a machine its address. Raises NetworkError, NetworkFull."""
        segment = self._paths.segment(namespace_uid)
        async with self._locks[namespace_uid]:
            record = self._records.get(segment.record.stem)
            record = record or SegmentRecord(free_network(found.network for found in self._records.values()))
            record = record.with_machine(machine_uid)
            self._save(segment, record)
            if await self._holder(segment) is None:
                self._told.pop(namespace_uid, None)
                await self._start(segment, record, namespace)
            return record.addresses[machine_uid]

    async def detach(self, namespace_uid: str, machine_uid: str) -> None:
        """Take a machine's address back; the last one takes the network with it."""
        segment = self._paths.segment(namespace_uid)
        async with self._locks[namespace_uid]:
            record = self._records.get(segment.record.stem)
            if record is None:
                return
            record = record.without_machine(machine_uid)
            if record.addresses:
                self._save(segment, record)
            else:
                await self._end(segment)

    async def configure(
        self, namespace_uid: str, hosts: Mapping[str, str], names: Mapping[str, Sequence[str]], isolated: bool
    ) -> None:
        """Tell a network its machines (MAC to address), its names, and whether machines may hear one another."""
        segment = self._paths.segment(namespace_uid)
        files = {"hosts": dnsmasq.hosts_file(hosts), "names": dnsmasq.names_file(names)}
        request = {"op": "configure", "isolated": isolated, **files}
        if segment.control.exists() and self._told.get(namespace_uid) != request:
            await self._ask(segment, request)
            self._told[namespace_uid] = request

    async def ended(self, namespace_uid: str) -> None:
        """Wait for the end of a network, however it comes about."""
        holder = processes.adopt(self._mark(self._paths.segment(namespace_uid)))
        if holder is not None:
            try:
                await holder.wait()
            finally:
                holder.forget()

    async def tap(self, namespace_uid: str, name: str) -> int:
        """A new port of the network as an open file, which the caller closes. Raises NetworkError."""
        return await self._ask_for_file(self._paths.segment(namespace_uid), {"op": "tap", "name": name})

    async def dial(self, namespace_uid: str, host: str, port: int) -> socket.socket:
        """A TCP connection to a machine, made inside its network. Raises NetworkError."""
        request = {"op": "dial", "host": host, "port": port}
        return socket.socket(fileno=await self._ask_for_file(self._paths.segment(namespace_uid), request))

    async def entry(self, namespace_uid: str) -> list[str]:
        """The start of a command line that runs the rest inside the network. Raises NetworkError."""
        pid = await self._holder(self._paths.segment(namespace_uid))
        if pid is None:
            raise NetworkError("the network of this namespace is gone")
        user = [] if os.getuid() == 0 else [f"--user=/proc/{pid}/ns/user", "--preserve-credentials"]
        return ["nsenter", *user, f"--net=/proc/{pid}/ns/net", "--"]

    async def sweep(self, namespaces: set[str], machines: set[str]) -> None:
        """Remove the networks of namespaces that are gone, and addresses of machines that are (uids)."""
        known = {self._paths.segment(uid).record.stem: uid for uid in namespaces}
        for stem in {*self._records, *(path.name for path in self._paths.runtime.glob("n*"))}:
            segment = SegmentPaths(self._paths.runtime / stem, self._paths.networks / f"{stem}.json")
            record = self._records.get(stem)
            if stem not in known or record is None:
                await self._end(segment)
                continue
            for gone in set(record.addresses) - machines:
                await self.detach(known[stem], gone)

    # Inside

    def _save(self, segment: SegmentPaths, record: SegmentRecord) -> None:
        if record != self._records.get(segment.record.stem):
            write_atomically(segment.record, json.dumps(asdict(record)).encode())
            self._records[segment.record.stem] = record

    @staticmethod
    def _mark(segment: SegmentPaths) -> str:
        return f"--holder-dir={segment.runtime}\0"

    async def _holder(self, segment: SegmentPaths) -> int | None:
        """The pid of the running holder."""
        found = processes.adopt(self._mark(segment)) if segment.control.exists() else None
        if found is None:
            return None
        found.forget()
        return found.pid

    async def _start(self, segment: SegmentPaths, record: SegmentRecord, namespace: str) -> None:
        await self._clear(segment)
        make_private(segment.runtime)
        own = [] if os.getuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
        command = [
            "unshare", *own, "--net", "--",
            sys.executable, "-m", "labkit.local.network.holder",
            f"--holder-dir={segment.runtime}",
            f"--address={gateway(record.network)}",
            f"--search={','.join(search_domains(namespace))}",
        ]  # fmt: skip
        log = segment.runtime / "holder.log"
        try:
            process = processes.start(command, log)
        except FileNotFoundError as error:
            raise NetworkError(
                f"the private network needs '{error.filename}', which is not installed: {_REMEDY}"
            ) from error
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while not segment.control.exists():
            if not process.running or asyncio.get_running_loop().time() > deadline:
                await process.stop(1)
                raise NetworkError(f"the private network could not be made: {_last_line(log)}; {_REMEDY}")
            await asyncio.sleep(0.01)

    async def _end(self, segment: SegmentPaths) -> None:
        await self._clear(segment)
        segment.record.unlink(missing_ok=True)
        self._records.pop(segment.record.stem, None)

    async def _clear(self, segment: SegmentPaths) -> None:
        await processes.end_all(self._mark(segment))
        await processes.end_all(f"--dhcp-leasefile={segment.runtime}/leases\0")
        remove_tree(segment.runtime)

    async def _ask(self, segment: SegmentPaths, request: dict[str, Any]) -> list[int]:
        """Send one request; the files handed over with the answer."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            try:
                await loop.sock_connect(connection, str(segment.control))
                await loop.sock_sendall(connection, json.dumps(request).encode() + b"\n")
                await _readable(connection)
                reply, files, _, _ = socket.recv_fds(connection, 65536, 1)
            except OSError as error:
                raise NetworkError(f"the network of this namespace does not answer: {error}") from error
        answer = json.loads(reply or b'{"error": "its process ended"}')
        if "error" in answer:
            raise NetworkError(str(answer["error"]))
        return list(files)

    async def _ask_for_file(self, segment: SegmentPaths, request: dict[str, Any]) -> int:
        files = await self._ask(segment, request)
        if not files:
            raise NetworkError("the network of this namespace handed nothing over")
        return files[0]


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(connection)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1] if lines else "it said nothing"
