"""The process that is a namespace's network: started inside a new network namespace, it lives as long as the network.

``python -m labkit.local.network.holder --holder-dir=DIR --address=10.77.3.1`` makes a bridge, runs
dnsmasq on it and listens on ``DIR/control.sock``. With ``--join=PID`` it takes over the network of that process, whose
holder was killed. Each connection sends one line of JSON and gets one back:

* ``{"op": "configure", "hosts", "names", "options", "rules"}``: dnsmasq's files, and the filter as ``nft`` reads it;
* ``{"op": "tap", "name"}``: a new tap on the bridge, handed over as an open file; it vanishes with its last holder.
  There is none before the first filter;
* ``{"op": "plug", "name", "pid", "mac", "address", "fresh"}``: a port whose other end is ``eth0`` in the network
  namespace of a process, with that address. One that is there is kept, unless it is to be ``fresh``;
* ``{"op": "dial", "host", "port", "mark"}``: a TCP connection made in here, handed over as an open file.

An answer is ``{"ok": true}`` or ``{"error": sentence}``. The process ends on SIGTERM, and its
network with it.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import json
import os
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from labkit.local.network.dnsmasq import BRIDGE, UPLINK_DNS, command, with_former

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x2, 0x1000, 0x4000
_CAPABILITY_VERSION, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 0x20080522, 47, 2
_SETTINGS = {
    f"ipv4/conf/{BRIDGE}/proxy_arp_pvlan": "1",
    f"ipv4/conf/{BRIDGE}/send_redirects": "0",
    "ipv4/conf/all/send_redirects": "0",
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv4/icmp_ratelimit": "0",  # so that who is refused learns it at once
    "ipv4/ip_forward": "1",
}
_FILES = ("hosts", "names", "options")
_DIAL_SECONDS = 10.0
_START_SECONDS = 5.0
_LONGEST_REQUEST = 2**24


class Holder:
    """The network's state: the bridge's ports and dnsmasq."""

    def __init__(self, directory: Path, address: str) -> None:
        self._directory = directory
        self._address = address
        self._filtered = False
        self._lock = threading.Lock()
        self._dnsmasq: dict[str, subprocess.Popen[bytes]] = {}

    def build(self) -> None:
        """Bridge, address, dnsmasq. Raises OSError with what ``ip`` said."""
        _ip("link", "set", "lo", "up")
        if BRIDGE not in (name for _, name in socket.if_nameindex()):
            _ip("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        _ip("addr", "replace", f"{self._address}/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        # Machines hear one another through here only: all their frames come to us, and the filter decides.
        _ip("ntable", "change", "name", "arp_cache", "dev", BRIDGE, "proxy_delay", "0")
        for key, value in _SETTINGS.items():
            Path("/proc/sys/net", key).write_text(value)
        for file in _FILES:
            (self._directory / file).touch(mode=0o600)
        # From this thread: a process that dies with its parent dies with the thread that started it.
        for name, upstream in (("dnsmasq", ""), ("forward", UPLINK_DNS)):
            root = os.getuid() == 0
            line = command(self._directory, address=self._address, root=root, upstream=upstream)
            self._dnsmasq[name] = subprocess.Popen(line, stdin=subprocess.DEVNULL)
        # Before its pid file is there, the SIGHUP that tells it of a change would kill it.
        deadline = time.monotonic() + _START_SECONDS
        while not all((self._directory / f"{name}.pid").exists() for name in self._dnsmasq):
            self.check_dnsmasq()
            if time.monotonic() > deadline:
                raise OSError("dnsmasq did not start in time")
            time.sleep(0.005)

    def check_dnsmasq(self) -> None:
        """End where a dnsmasq has ended: the next holder starts both again."""
        for process in self._dnsmasq.values():
            if process.poll() is not None:
                sys.exit(f"dnsmasq, which answers machines, ended with status {process.returncode}")

    def close(self) -> None:
        """End dnsmasq."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for process in self._dnsmasq.values():
            process.terminate()
            process.wait()

    def answer(self, request: dict[str, Any]) -> int | None:
        """Carry out one request; an open file to hand over, or None. Raises OSError, ValueError."""
        operation = request["op"]
        if operation == "dial":
            return _dial(str(request["host"]), int(request["port"]), int(request["mark"]))
        with self._lock:
            if operation == "tap":
                return self._tap(str(request["name"]))
            if operation == "plug":
                self._plug(
                    str(request["name"]), int(request["pid"]), request["mac"], request["address"], request["fresh"]
                )
                return None
            if operation == "configure":
                self._configure(request["rules"], {file: request[file] for file in _FILES})
                return None
        raise ValueError(f"'{operation}' is not an operation")

    def _tap(self, name: str) -> int:
        if not self._filtered:
            raise ValueError("there is no filter yet")
        descriptor = os.open("/dev/net/tun", os.O_RDWR)
        try:
            fcntl.ioctl(
                descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR)
            )
            _connect(name)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _plug(self, name: str, pid: int, mac: str, address: str, fresh: bool) -> None:
        if not self._filtered:
            raise ValueError("there is no filter yet")
        if name in (found for _, found in socket.if_nameindex()):
            if not fresh:
                return
            _ip("link", "delete", name)
        _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", str(pid))
        try:
            for words in (
                "link set lo up", f"addr add {address}/24 dev eth0", "link set eth0 up",
                f"route add default via {self._address}",
            ):  # fmt: skip
                _run("nsenter", f"--net=/proc/{pid}/ns/net", "--", "ip", *words.split())
            _connect(name)
        except BaseException:
            _ip("link", "delete", name)
            raise

    def _configure(self, rules: str, files: dict[str, str]) -> None:
        _run("nft", "-f", "-", text=rules)
        self._filtered = True
        leases = self._directory / "leases"
        former = leases.read_text() if leases.exists() else ""
        for name, text in files.items():
            (self._directory / name).write_text(with_former(text, former) if name == "hosts" else text)
        for process in self._dnsmasq.values():
            process.send_signal(signal.SIGHUP)


def _connect(port: str) -> None:
    _ip("link", "set", port, "master", BRIDGE)
    _ip("link", "set", port, "type", "bridge_slave", "isolated", "on")
    _ip("link", "set", port, "up")


def _dial(host: str, port: int, mark: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        connection.settimeout(_DIAL_SECONDS)
        connection.connect((host, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection.detach()


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*line: str, text: str = "") -> None:
    try:
        done = subprocess.run(line, input=text, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise OSError(f"'{line[0]}' is not installed") from error
    if done.returncode:
        raise OSError(f"'{' '.join(line)}' failed: {done.stderr.strip()}")


def _join(pid: int) -> None:
    """Enter the network of a process and keep what may be done there, as ``unshare --keep-caps`` does."""
    if os.path.samefile(f"/proc/{pid}/ns/net", "/proc/self/ns/net"):
        raise OSError(f"process {pid} is in the computer's own network, where nothing may be changed")
    libc = ctypes.CDLL(None, use_errno=True)
    for kind in ("net",) if os.getuid() == 0 else ("user", "net"):
        descriptor = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
        if libc.setns(descriptor, 0):
            raise OSError(ctypes.get_errno(), f"cannot enter the network of process {pid}")
        os.close(descriptor)
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    held = ctypes.create_string_buffer(24)
    libc.capget(header, held)
    effective, permitted, _, more_effective, more_permitted, _ = struct.unpack("6I", held.raw)
    libc.capset(
        header, struct.pack("6I", effective, permitted, permitted, more_effective, more_permitted, more_permitted)
    )
    for capability in range(64):
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0)


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: str, holder: Holder) -> None:
        super().__init__(address, _Request)
        self.holder = holder


class _Request(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        reply, files = b'{"ok": true}\n', []
        try:
            descriptor = self.server.holder.answer(json.loads(self.rfile.readline(_LONGEST_REQUEST)))
            files = [] if descriptor is None else [descriptor]
        except (OSError, ValueError, KeyError) as error:
            reply = json.dumps({"error": str(error)}).encode() + b"\n"
        try:
            socket.send_fds(self.connection, [reply], files)
        finally:
            for descriptor in files:
                os.close(descriptor)


def main() -> int:
    """Build the network, serve until told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--holder-dir", type=Path, required=True)
    parser.add_argument("--address", required=True)
    parser.add_argument("--join", type=int)
    options = parser.parse_args()
    os.umask(0o077)
    holder = Holder(options.holder_dir, options.address)
    try:
        if options.join:
            _join(options.join)
        holder.build()
        # Bound under another name first: once the socket can be seen, it answers.
        hidden = options.holder_dir / ".control"
        hidden.unlink(missing_ok=True)
        server = _Server(str(hidden), holder)
        hidden.rename(options.holder_dir / "control.sock")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.signal(signal.SIGCHLD, lambda *_: holder.check_dnsmasq())
        holder.check_dnsmasq()
        server.serve_forever()
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        holder.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
