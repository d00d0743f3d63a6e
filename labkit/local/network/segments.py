"""The networks of all namespaces: made when a machine needs one, gone when the last machine is."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from labkit.local import processes
from labkit.local.files import make_private, remove_tree, write_atomically
from labkit.local.network import dnsmasq
from labkit.local.network.filter import PROBE_MARK, Filter
from labkit.local.network.names import Member, SegmentRecord, free_network, gateway, search_domains
from labkit.local.paths import EnginePaths, SegmentPaths

_START_SECONDS = 10.0
_ANSWER_SECONDS = 30.0
_READ_LIMIT = 262_144
_REMEDY = "'labkit doctor' says what is missing"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class NetworkError(Exception):
    """A network, or a connection in it, that cannot be had: one sentence."""


class UplinkError(NetworkError):
    """A network stands but is closed, where policies would let something out: one sentence."""


class Segments:
    """All networks of this engine. Methods are safe to call at the same time for different namespaces."""

    def __init__(self, paths: EnginePaths) -> None:
        self._paths = paths
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._records: dict[str, SegmentRecord] = {}
        self._told: dict[str, dict[str, Any]] = {}
        self._watched: dict[str, processes.Detached] = {}
        self._waiting: set[asyncio.Task[None]] = set()
        self.lost: Callable[[], None] = lambda: None
        """Called when a process of a network ended; ``configure`` brings it back."""
        self.rebuilt: Callable[[str], None] = lambda namespace: None
        """Called with a namespace's name when its network was made (again): what was plugged in has to be once more."""
        for file in paths.networks.glob("n*.json"):
            self._records[file.stem] = SegmentRecord(**json.loads(file.read_text()))

    def addresses(self, namespace_uid: str) -> Mapping[str, str]:
        """The addresses of a network's machines, by their uids."""
        record = self._records.get(self._segment(namespace_uid).record.stem)
        return record.addresses if record else {}

    def address(self, namespace_uid: str, machine_uid: str) -> str | None:
        """The address that a machine has, or None."""
        return self.addresses(namespace_uid).get(machine_uid)

    async def attach(self, namespace_uid: str, machine_uid: str, wanted: str = "") -> None:
        """Give a machine its address: the one that it had before, if that is free. Raises NetworkFull."""
        segment = self._segment(namespace_uid)
        async with self._locks[namespace_uid]:
            record = self._records.get(segment.record.stem)
            record = record or SegmentRecord(free_network((found.network for found in self._records.values()), wanted))
            self._save(segment, record.with_machine(machine_uid, wanted))

    async def detach(self, namespace_uid: str, machine_uid: str) -> None:
        """Take a machine's address back; the last one takes the network with it."""
        segment = self._segment(namespace_uid)
        async with self._locks[namespace_uid]:
            record = self._records.get(segment.record.stem)
            if record is None:
                return
            record = record.without_machine(machine_uid)
            if record.addresses:
                self._save(segment, record)
            else:
                await self._end(segment)

    def adopt(self, namespace_uid: str, other_uid: str) -> None:
        """Let a namespace that has no network have another one, with the machines on it."""
        old, new = self._paths.segment(other_uid).record, self._paths.segment(namespace_uid)
        self._save(new, replace(self._records.pop(old.stem), folder=old.stem))
        old.unlink()

    def has_network(self, namespace_uid: str) -> bool:
        """Whether some machine of a namespace has an address."""
        return self._paths.segment(namespace_uid).record.stem in self._records

    def port(self, machine_uid: str) -> str:
        """The name of a machine's port."""
        return self._paths.machine(machine_uid).runtime.name

    async def configure(
        self,
        namespace_uid: str,
        namespace: str,
        members: Sequence[Member],
        names: Mapping[str, Sequence[str]],
        rules: Callable[[str], Filter],
    ) -> None:
        """Make a network that has machines, and tell it those, its names and its filter (of the gateway's address).

        Raises NetworkError.
        """
        segment = self._segment(namespace_uid)
        async with self._locks[namespace_uid]:
            record = self._records.get(segment.record.stem)
            if record is None:
                return
            holder = self._process(self._mark(segment))
            if made := holder is None or not segment.control.exists():
                self._told.pop(namespace_uid, None)
                holder = await self._start(segment, record)
            found = rules(gateway(record.network))
            files = {"hosts": dnsmasq.hosts_file(members), "names": dnsmasq.names_file(names)}
            files["options"] = dnsmasq.options_file(search_domains(namespace))
            request = {"op": "configure", "rules": found.text, **files}
            if self._told.get(namespace_uid) != request:
                await self._ask(segment, request)
                if not found.uplink:
                    await processes.end_all(self._uplink_mark(segment))
                self._told[namespace_uid] = request
            if made:
                self.rebuilt(namespace)
            if found.uplink and not self._process(self._uplink_mark(segment)):
                await self._let_out(segment, holder.pid)

    async def tap(self, namespace_uid: str, machine_uid: str) -> int | None:
        """A machine's port as an open file, which the caller closes; None: a net of QEMU's own. Raises NetworkError."""
        request = {"op": "tap", "name": self.port(machine_uid)}
        return (await self._ask(self._segment(namespace_uid), request, files=1))[0]

    async def plug(self, namespace_uid: str, uid: str, pid: int, mac: str, *, fresh: bool) -> None:
        """Give a process's network namespace a card with the address; one that is there stays, unless ``fresh``.

        Raises NetworkError.
        """
        request = {"op": "plug", "name": self.port(uid), "pid": pid, "mac": mac, "fresh": fresh}
        await self._ask(self._segment(namespace_uid), request | {"address": self.address(namespace_uid, uid)})

    async def dial(self, namespace_uid: str, host: str | None, port: int, *, probe: bool = False) -> Streams:
        """A TCP connection to an address, made inside its network. Raises NetworkError or OSError.

        Policies see it as coming from virt-api's pod; those of a ``probe``, which a kubelet makes, are not asked.
        """
        if not host:
            raise NetworkError("it has no address")
        connection = await self._connect(namespace_uid, host, port, probe)
        return await asyncio.open_connection(sock=connection, limit=_READ_LIMIT)

    async def _connect(self, namespace_uid: str, host: str, port: int, probe: bool) -> socket.socket:
        request = {"op": "dial", "host": host, "port": port, "mark": PROBE_MARK if probe else 0}
        return socket.socket(fileno=(await self._ask(self._segment(namespace_uid), request, files=1))[0])

    async def rights(self, namespace_uid: str) -> list[str]:
        """The start of a command line that runs the rest with rights over the network. Raises NetworkError."""
        words = await self.entry(namespace_uid) if os.getuid() else []
        return [word for word in words if not word.startswith("--net=")]

    async def entry(self, namespace_uid: str) -> list[str]:
        """The start of a command line that runs the rest inside the network. Raises NetworkError."""
        holder = self._process(self._mark(self._segment(namespace_uid)))
        if holder is None:
            raise NetworkError("the network of this namespace is gone")
        user = [] if os.getuid() == 0 else [f"--user=/proc/{holder.pid}/ns/user", "--preserve-credentials"]
        return ["nsenter", *user, f"--net=/proc/{holder.pid}/ns/net", "--"]

    async def sweep(self, namespaces: set[str], machines: set[str]) -> None:
        """Remove the networks of namespaces that are gone, and addresses of machines that are (uids)."""
        known = {self._paths.segment(uid).record.stem: uid for uid in namespaces}
        adopted = {record.folder for record in self._records.values()}
        for stem in {*self._records, *(path.name for path in self._paths.runtime.glob("n*"))} - adopted:
            record = self._records.get(stem)
            folder = record.folder if record and record.folder else stem
            segment = SegmentPaths(self._paths.runtime / folder, self._paths.networks / f"{stem}.json")
            if stem not in known or record is None:
                await self._end(segment)
                continue
            for gone in set(record.addresses) - machines:
                await self.detach(known[stem], gone)

    # Inside

    def _segment(self, uid: str) -> SegmentPaths:
        own = self._paths.segment(uid)
        record = self._records.get(own.record.stem)
        return SegmentPaths(self._paths.runtime / record.folder, own.record) if record and record.folder else own

    def _save(self, segment: SegmentPaths, record: SegmentRecord) -> None:
        if record != self._records.get(segment.record.stem):
            write_atomically(segment.record, json.dumps(asdict(record)).encode())
            self._records[segment.record.stem] = record

    @staticmethod
    def _mark(segment: SegmentPaths) -> str:
        return f"--holder-dir={segment.runtime}\0"

    @staticmethod
    def _uplink_mark(segment: SegmentPaths) -> str:
        return f"\0{segment.namespace}\0"

    def _process(self, mark: str) -> processes.Detached | None:
        """A running process of a network; ``lost`` is called when it ends."""
        found = self._watched.get(mark)
        if found is None or not found.running:
            found = processes.adopt(mark)
            if found is None:
                return None
            self._watch(mark, found)
        return found

    def _watch(self, mark: str, process: processes.Detached) -> None:
        async def wait() -> None:
            await process.wait()
            self.lost()

        self._watched[mark] = process
        self._waiting.add(task := asyncio.create_task(wait()))
        task.add_done_callback(self._waiting.discard)

    async def _start(self, segment: SegmentPaths, record: SegmentRecord) -> processes.Detached:
        """Start a holder. Where machines live on in the network of a killed one, not in ours, it takes that over."""
        await self._clear(segment)
        make_private(segment.runtime)
        found = [pid for uid in record.addresses for pid in processes.find(f"path={self._paths.machine(uid).qmp},")]
        living = [pid for pid in found if not Path(f"/proc/{pid}/ns/net").samefile("/proc/self/ns/net")]
        own = [] if os.getuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
        command = [
            *([] if living else ["unshare", *own, "--net", "--"]),
            sys.executable, "-m", "labkit.local.network.holder",
            f"--holder-dir={segment.runtime}",
            f"--address={gateway(record.network)}",
            *([f"--join={living[0]}"] if living else []),
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
        self._watch(self._mark(segment), process)
        return process

    async def _let_out(self, segment: SegmentPaths, holder: int) -> None:
        """Start the way out: a process of the computer's own network with a card in this one. Raises UplinkError."""
        segment.namespace.unlink(missing_ok=True)
        segment.namespace.symlink_to(f"/proc/{holder}/ns/net")
        ready, told = os.pipe()
        # Its sandbox needs a root, whom an ordinary user's namespace has not.
        own = ["--enable-sandbox"] if os.getuid() == 0 else [f"--userns-path=/proc/{holder}/ns/user"]
        command = [
            "slirp4netns", "--configure", "--disable-host-loopback", "--enable-seccomp", *own,
            f"--cidr={dnsmasq.UPLINK_NETWORK}", f"--ready-fd={told}",
            "--netns-type=path", str(segment.namespace), dnsmasq.UPLINK,
        ]  # fmt: skip
        log = segment.runtime / "uplink.log"
        with open(ready, "rb") as said:
            try:
                process = processes.start(command, log, pass_fds=[told])
            except FileNotFoundError as error:
                raise UplinkError("there is no way out of the network: 'slirp4netns' is not installed") from error
            finally:
                os.close(told)
            if not await asyncio.to_thread(said.read, 1):
                raise UplinkError(f"no way out of the network could be made: {_last_line(log)}; {_REMEDY}")
        self._watch(self._uplink_mark(segment), process)

    async def _end(self, segment: SegmentPaths) -> None:
        await self._clear(segment)
        segment.record.unlink(missing_ok=True)
        self._records.pop(segment.record.stem, None)

    async def _clear(self, segment: SegmentPaths) -> None:
        await processes.end_all(self._mark(segment))
        await processes.end_all(f"\0--addn-hosts={segment.runtime}/names\0")
        await processes.end_all(self._uplink_mark(segment))
        remove_tree(segment.runtime)

    async def _ask(self, segment: SegmentPaths, request: dict[str, Any], *, files: int = 0) -> list[int]:
        """Send one request; the files handed over with the answer, of which there must be so many."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.setblocking(False)
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await loop.sock_connect(connection, str(segment.control))
                    await loop.sock_sendall(connection, json.dumps(request).encode() + b"\n")
                    await _readable(connection)
                reply, found, _, _ = socket.recv_fds(connection, 65536, 1)
            except OSError as error:
                why = str(error) or "it is silent"
                raise NetworkError(f"the network of this namespace does not answer: {why}") from error
        answer = json.loads(reply or b'{"error": "its process ended"}')
        if "error" in answer:
            raise NetworkError(str(answer["error"]))
        if len(found) < files:
            raise NetworkError("the network of this namespace handed nothing over")
        return list(found)


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
