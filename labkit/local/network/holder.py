"""The process that is a namespace's network: started inside a new network namespace, it lives as long as the network.

``python -m labkit.local.network.holder --holder-dir=DIR --address=10.77.3.1 --search=DOMAIN,…`` makes a bridge, runs
dnsmasq on it and listens on ``DIR/control.sock``. Each connection sends one line of JSON and gets one back:

* ``{"op": "dial", "host", "port"}``: a TCP connection made in here, handed over as an open file;
* ``{"op": "tap", "name"}``: a new tap on the bridge, handed over as an open file; it vanishes with its last holder;
* ``{"op": "configure", "hosts", "names", "isolated"}``: dnsmasq's files, and whether machines may hear one another.

An answer is ``{"ok": true}`` or ``{"error": sentence}``. The process ends on SIGTERM, and its
network with it.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from labkit.local.network.dnsmasq import BRIDGE, command

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x2, 0x1000, 0x4000
_DIAL_SECONDS = 10.0
_START_SECONDS = 5.0
_LONGEST_REQUEST = 2**20


class Holder:
    """The network's state: the bridge's ports and dnsmasq."""

    def __init__(self, directory: Path, address: str, search: list[str]) -> None:
        self._directory = directory
        self._address = address
        self._search = search
        self._isolated = False
        self._dnsmasq: subprocess.Popen[bytes] | None = None

    def build(self) -> None:
        """Bridge, address, dnsmasq. Raises OSError or CalledProcessError with what ``ip`` said."""
        _ip("link", "set", "lo", "up")
        _ip("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        _ip("addr", "add", f"{self._address}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        # A guest must find DHCP, DNS and other machines here, never a way through this namespace.
        Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
        for file in ("hosts", "names"):
            (self._directory / file).touch(mode=0o600)
        line = command(self._directory, address=self._address, search=self._search, root=os.getuid() == 0)
        self._dnsmasq = subprocess.Popen(line, stdin=subprocess.DEVNULL)
        # Before its pid file is there, the SIGHUP that tells it of a change would kill it.
        deadline = time.monotonic() + _START_SECONDS
        while not (self._directory / "dnsmasq.pid").exists():
            self._check_dnsmasq()
            if time.monotonic() > deadline:
                raise OSError("dnsmasq did not start in time")
            time.sleep(0.005)

    def _check_dnsmasq(self) -> None:
        if self._dnsmasq and self._dnsmasq.poll() is not None:
            raise OSError(
                f"dnsmasq, which gives machines their addresses, ended with status {self._dnsmasq.returncode}"
            )

    def close(self) -> None:
        """End dnsmasq."""
        if self._dnsmasq:
            self._dnsmasq.terminate()
            self._dnsmasq.wait()

    async def answer(self, request: dict[str, Any]) -> int | None:
        """Carry out one request; an open file to hand over, or None. Raises OSError, ValueError, CalledProcessError."""
        operation = request["op"]
        if operation == "dial":
            return await _dial(str(request["host"]), int(request["port"]))
        if operation == "tap":
            return self._tap(str(request["name"]))
        if operation == "configure":
            self._configure(request["hosts"], request["names"], bool(request["isolated"]))
            return None
        raise ValueError(f"'{operation}' is not an operation")

    def _tap(self, name: str) -> int:
        descriptor = os.open("/dev/net/tun", os.O_RDWR)
        try:
            fcntl.ioctl(
                descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR)
            )
            _ip("link", "set", name, "master", BRIDGE, "up")
            self._isolate(name)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _configure(self, hosts: str, names: str, isolated: bool) -> None:
        self._check_dnsmasq()
        (self._directory / "hosts").write_text(hosts)
        (self._directory / "names").write_text(names)
        if isolated != self._isolated:
            self._isolated = isolated
            # Not from /sys, which shows the network namespace of whoever mounted it.
            ports = json.loads(_run("ip", "-json", "link", "show", "master", BRIDGE) or "[]")
            for port in ports:
                self._isolate(port["ifname"])
        if self._dnsmasq:
            self._dnsmasq.send_signal(signal.SIGHUP)

    def _isolate(self, port: str) -> None:
        state = "on" if self._isolated else "off"
        _run("bridge", "link", "set", "dev", port, "isolated", state)


async def _dial(host: str, port: int) -> int:
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        async with asyncio.timeout(_DIAL_SECONDS):
            await asyncio.get_running_loop().sock_connect(connection, (host, port))
    except TimeoutError as error:
        connection.close()
        raise OSError(f"connection to {host}:{port} timed out") from error
    except BaseException:
        connection.close()
        raise
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection.detach()


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*line: str) -> str:
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"'{' '.join(line)}' failed: {done.stderr.strip()}")
    return done.stdout


async def _serve_one(holder: Holder, connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with connection:
        request = b""
        while not request.endswith(b"\n"):
            piece = await loop.sock_recv(connection, 65536)
            if not piece or len(request) > _LONGEST_REQUEST:
                return
            request += piece
        try:
            descriptor = await holder.answer(json.loads(request))
        except (OSError, ValueError, KeyError) as error:
            await loop.sock_sendall(connection, json.dumps({"error": str(error)}).encode() + b"\n")
            return
        reply = b'{"ok": true}\n'
        if descriptor is None:
            await loop.sock_sendall(connection, reply)
            return
        try:
            # One short message on a socket with an empty buffer: it cannot block.
            socket.send_fds(connection, [reply], [descriptor])
        finally:
            os.close(descriptor)


async def _serve(holder: Holder, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    running: set[asyncio.Task[None]] = set()

    async def accept() -> None:
        while True:
            connection, _ = await loop.sock_accept(listener)
            connection.setblocking(False)
            task = asyncio.create_task(_serve_one(holder, connection))
            running.add(task)
            task.add_done_callback(running.discard)

    accepting = asyncio.create_task(accept())
    await stop.wait()
    accepting.cancel()


def main() -> int:
    """Build the network, serve until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--holder-dir", type=Path, required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--search", required=True)
    options = parser.parse_args()
    os.umask(0o077)
    holder = Holder(options.holder_dir, options.address, options.search.split(","))
    try:
        holder.build()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Bound under another name first: once the socket can be seen, it answers.
        hidden = options.holder_dir / ".control"
        hidden.unlink(missing_ok=True)
        listener.bind(str(hidden))
        listener.listen(64)
        listener.setblocking(False)
        hidden.rename(options.holder_dir / "control.sock")
        asyncio.run(_serve(holder, listener))
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        holder.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
