"""Real networks of namespaces without machines that boot: a machine here is a network namespace on the bridge's port.

Everything else is the real thing: the holder, its bridge, dnsmasq, nftables, slirp4netns. Root alone can build it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.local.network.filter import compile_filter
from labkit.local.network.names import Member, mac_of
from labkit.local.network.segments import Segments
from labkit.local.paths import EnginePaths

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


def run(*line: str, pid: int | None = None) -> str:
    """A command's output, run in the network of a process."""
    entry = [] if pid is None else ["nsenter", f"--net=/proc/{pid}/ns/net"]
    return subprocess.run([*entry, *line], check=True, capture_output=True, text=True, timeout=20).stdout


@contextlib.contextmanager
def inside(pid: int | str) -> Iterator[None]:
    """This thread in the network of a process: a socket made here stays there."""
    with (
        open("/proc/thread-self/ns/net") as before,
        open(f"/proc/{pid}/ns/net") as wanted,
    ):
        assert _LIBC.setns(wanted.fileno(), _CLONE_NEWNET) == 0
        try:
            yield
        finally:
            assert _LIBC.setns(before.fileno(), _CLONE_NEWNET) == 0


@contextlib.contextmanager
def sleeper() -> Iterator[int]:
    """A process in a network of its own."""
    with subprocess.Popen(["unshare", "--net", "sleep", "infinity"]) as process:
        own = os.readlink("/proc/thread-self/ns/net")
        while os.readlink(f"/proc/{process.pid}/ns/net") == own:
            assert process.poll() is None
        try:
            run("ip", "link", "set", "lo", "up", pid=process.pid)
            yield process.pid
        finally:
            process.kill()


def listen(pid: int, *ports: int, kind: socket.SocketKind = socket.SOCK_STREAM) -> list[socket.socket]:
    """Sockets at these ports, on all addresses of that network; one of UDP answers when `reaches` asks it."""
    found = []
    with inside(pid):
        for port in ports:
            one = socket.socket(socket.AF_INET, kind)
            one.bind(("0.0.0.0", port))  # noqa: S104 - of a network that nobody else is in
            if kind == socket.SOCK_STREAM:
                one.listen(64)
            found.append(one)
    return found


def reaches(pid: int, address: str, port: int, *, source: str = "") -> bool:
    """Whether a TCP connection from there can be made, within a second."""
    with inside(pid):
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with one:
        one.settimeout(1)
        try:
            one.bind((source, 0))
            one.connect((address, port))
        except OSError:
            return False
    return True


def hears(pid: int, address: str, listener: socket.socket) -> bool:
    """Whether a datagram from there arrives at a listener's port."""
    with inside(pid):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with one, contextlib.suppress(OSError):
        listener.settimeout(0.3)
        one.sendto(b"x", (address, listener.getsockname()[1]))
        return listener.recvfrom(10)[0] == b"x"
    return False


def resolves(pid: int, server: str, name: str) -> list[str]:
    """The addresses that a name server gives for a name."""
    line = ["python3", "-c", _ASK, server, name]
    return run(*line, pid=pid).split()


_ASK = """
import socket, struct, sys
server, name = sys.argv[1:]
coded = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.settimeout(3)
one.sendto(struct.pack(">6H", 1, 256, 1, 0, 0, 0) + coded + b"\\0\\0\\1\\0\\1", (server, 53))
answer = one.recv(4096)
at, count = 12 + len(coded) + 5, struct.unpack(">H", answer[6:8])[0]
for _ in range(count):
    length = struct.unpack(">H", answer[at + 10:at + 12])[0]
    print(socket.inet_ntoa(answer[at + 12:at + 16]))
    at += 12 + length
"""


@dataclass
class Plugged:
    """A machine: the process in its network, and what it was given."""

    pid: int
    address: str
    gateway: str
    member: Member


@dataclass
class Lab:
    """One network with its machines, by name; the label ``app`` of each is its name."""

    world: World
    name: str
    machines: dict[str, Plugged] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    named_ports: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)

    def apply(self, *specs: dict[str, Any]) -> None:
        """Exactly these policies."""
        labels = {"kubernetes.io/metadata.name": self.name}
        members = [one.member for one in self.machines.values()]
        self.world.wait(
            self.world.segments.configure(
                self.name,
                self.name,
                members,
                self.names,
                lambda gateway: compile_filter(gateway, labels, members, list(specs), self.world.own_addresses),
            )
        )

    def plug(self, name: str, **named_ports: int) -> Plugged:
        """One more machine. It has its address at once; `apply` lets it hear something."""
        world, uid = self.world, f"{self.name}-{name}"
        world.wait(world.segments.attach(self.name, uid))
        address = world.segments.address(self.name, uid)
        assert address
        ports = {(port, "TCP"): number for port, number in named_ports.items()}
        member = Member(world.segments.port(uid), mac_of(uid), address, {"app": name}, ports)
        pid = world.stack.enter_context(sleeper())
        gateway = address.rsplit(".", 1)[0] + ".1"
        self.machines[name] = Plugged(pid, address, gateway, member)
        self.apply()
        entry = world.wait(world.segments.entry(self.name))
        peer = ["type", "veth", "peer", "name", "eth0", "netns", str(pid)]
        run(*entry, "ip", "link", "add", member.port, *peer)
        run(*entry, "ip", "link", "set", member.port, "master", "br0")
        run(*entry, "ip", "link", "set", member.port, "type", "bridge_slave", "isolated", "on")
        run(*entry, "ip", "link", "set", member.port, "up")
        run("ip", "link", "set", "eth0", "address", member.mac, "up", pid=pid)
        run("ip", "addr", "add", f"{address}/24", "dev", "eth0", pid=pid)
        run("ip", "route", "add", "default", "via", gateway, pid=pid)
        return self.machines[name]


@dataclass
class World:
    """A computer's network of its own (this thread is in it), and an internet beside it."""

    segments: Segments
    paths: EnginePaths
    runner: asyncio.Runner
    stack: contextlib.ExitStack
    internet: int
    own_addresses: tuple[str, ...] = ("127.0.0.1", "192.0.2.10")
    gone: list[Segments] = field(default_factory=list)

    def wait(self, coroutine: Any) -> Any:
        """The result of one of the engine's coroutines."""
        return self.runner.run(coroutine)

    def restart(self) -> None:
        """Another engine's view of the same networks."""
        self.gone.append(self.segments)
        self.segments = Segments(self.paths)

    async def end(self) -> None:
        """End all networks and see every process of theirs end."""
        await self.segments.sweep(set(), set())
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    def lab(self, name: str, *machines: str) -> Lab:
        """A network with machines."""
        found = Lab(self, name)
        for machine in machines:
            found.plug(machine)
        return found


def name_server() -> str:
    """Where this computer asks for names."""
    lines = [line.split() for line in Path("/etc/resolv.conf").read_text().splitlines()]
    return next((line[1] for line in lines if line[:1] == ["nameserver"]), "127.0.0.1")


OUTSIDE = ("198.51.100.7", "203.0.113.7", "10.9.9.9", "169.254.169.254")
"""Addresses of the internet here: two public ones, a private one, a cloud's metadata."""


@contextlib.contextmanager
def world() -> Iterator[World]:
    """A computer at 192.0.2.10 behind 192.0.2.1, which has all of `OUTSIDE` and the name server."""
    folder = Path(tempfile.mkdtemp(prefix="lk", dir="/tmp"))
    paths = EnginePaths(folder / "s", folder / "r", folder / "i")
    paths.networks.mkdir(parents=True)
    paths.runtime.mkdir()
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        home = stack.enter_context(sleeper())
        internet = stack.enter_context(sleeper())
        stack.enter_context(inside(home))
        run("ip", "link", "add", "w0", "type", "veth", "peer", "name", "i0", "netns", str(internet))
        run("ip", "addr", "add", "192.0.2.10/24", "dev", "w0")
        run("ip", "link", "set", "w0", "up")
        run("ip", "addr", "add", "192.0.2.1/24", "dev", "i0", pid=internet)
        run("ip", "link", "set", "i0", "up", pid=internet)
        run("ip", "route", "add", "default", "via", "192.0.2.1")
        for address in {*OUTSIDE, name_server()} - {"127.0.0.1"}:
            run("ip", "addr", "add", f"{address}/32", "dev", "lo", pid=internet)
        server = home if name_server().startswith("127.") else internet
        line = ["dnsmasq", "-k", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file", "--user=root"]
        answering = subprocess.Popen(
            ["nsenter", f"--net=/proc/{server}/ns/net", *line, "--address=/example.test/198.51.100.7"]
        )
        stack.callback(answering.wait)
        stack.callback(answering.kill)
        runner = stack.enter_context(asyncio.Runner())

        found = World(Segments(paths), paths, runner, stack, internet)
        stack.callback(lambda: found.wait(found.end()))
        yield found
