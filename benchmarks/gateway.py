"""The gateway against nginx, websockify, a relay on `websockets` and jupyter-server-proxy, interleaved in one run.

Each proxy passes the same bytes between the same client and the same machine's end, once plain, once with TLS towards
the machine: CPU seconds of the proxy's processes for each GB downwards, and the time of a round trip of 32 bytes. Then,
for the gateway alone: a viewer that stops reading while 200 MiB are sent, 1,000 idle panes, how many panes are opened a
second (ticket checked), and another pane's round trips while one floods. Medians; exit status 1 where a goal is missed.

Run: .venv/bin/python benchmarks/gateway.py [--rounds N] [--soak]. `--soak` holds 200 panes for ten minutes instead.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent))

from gateway_peers import LAB, MACHINE, Frames, certificate, frame, nginx_config, opened

from labkit import tickets

MIB = 2**20
PEERS = Path(__file__).with_name("gateway_peers.py")
GOALS = {"nginx": 1.2, "websockify": 0.65, "relay": 0.3}
"""The gateway's CPU seconds for each GB may be this much of theirs."""
ROUND_TRIP, STALLED_MIB, IDLE_KIB, OTHERS_P99_MS = 1.25, 5.0, 40.0, 10.0


@dataclass
class Proxy:
    """One proxy that runs: how to open a stream through it, and what a client says to have bytes sent."""

    name: str
    process: psutil.Process
    open: Callable[[str], Frames]
    ask: Callable[[int], bytes] = lambda size: str(size).encode()

    def cpu(self) -> float:
        """CPU seconds of its processes so far."""
        family = [self.process, *self.process.children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in family)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Bench:
    """Everything that runs, ended with `stack`."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.stack = stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lkgw")))
        self.certificate = certificate(self.folder)
        self.key = tickets.SigningKey.generate()

    def run(self, *command: object, port: int | None = None, environ: dict[str, str] | None = None) -> psutil.Process:
        """A process that lasts as long as this run; waits until it listens on `port`."""
        words, surroundings = [str(word) for word in command], {**os.environ, **(environ or {})}
        log = self.stack.enter_context((self.folder / "log").open("ab"))
        process = subprocess.Popen(words, env=surroundings, stdout=log, stderr=log, stdin=subprocess.PIPE)
        self.stack.callback(process.wait)
        self.stack.callback(process.terminate)
        deadline = time.monotonic() + 60
        while port is not None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.05)
        return psutil.Process(process.pid)

    def source(self, role: str, *, tls: bool) -> int:
        """A machine's end; its port."""
        port = free_port()
        self.run(sys.executable, PEERS, role, port, *([self.certificate] if tls else []), port=port)
        return port

    def gateway(self, source: int, *, tls: bool) -> Proxy:
        """labkit's gateway, limits off."""
        folder = self.folder / f"gateway-{tls}"
        (folder / "keys").mkdir(parents=True)
        (folder / "keys" / "tickets.jwks.json").write_text(json.dumps(tickets.jwks([self.key])))
        cluster = {"server": f"http{'s' if tls else ''}://127.0.0.1:{source}", "insecure-skip-tls-verify": True}
        named = {"name": "x", "cluster": cluster, "user": {"token": "x"}, "context": {"cluster": "x", "user": "x"}}
        parts = {f"{key}s": [{"name": "x", key: named[key]}] for key in ("cluster", "user", "context")}
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "x", **parts}
        (folder / "kubeconfig").write_text(json.dumps(config))
        port, limits = free_port(), {"GATEWAY_STREAMS": "5000", "GATEWAY_MIB_PER_SECOND": "0"}
        paths = {"STATE_DIR": folder, "KUBECONFIG": folder / "kubeconfig", "RUNTIME_ROOT": folder / "run"}
        environ = {f"LABKIT_{name}": str(value) for name, value in (limits | paths).items()}
        command = (sys.executable, "-m", "labkit.cli", "gateway", "--socket", folder / "run" / "g", "--port", port)
        process = self.run(*command, port=port, environ=environ)

        def stream(pane: str, buffer: int = 0) -> Frames:
            ticket = tickets.sign(tickets.Ticket(LAB, "bench", time.time() + 300), self.key)
            path = f"/panes/{LAB}/{MACHINE}/{'vnc' if pane == 'flood' else 'console'}/stream"
            protocols = f"plain.kubevirt.io, labkit.ticket.{ticket}"
            return opened(("127.0.0.1", port), path, origin=f"127.0.0.1:{port}", protocols=protocols, buffer=buffer)

        return Proxy("gateway", process, stream)

    def other(self, name: str, port: int, process: psutil.Process, prefix: str = "") -> Proxy:
        """Another proxy, with no ticket to check."""
        protocols = "binary" if name == "websockify" else ""

        def stream(pane: str) -> Frames:
            address = ("127.0.0.1", port)
            return opened(address, f"{prefix}/{pane}", origin=f"127.0.0.1:{port}", protocols=protocols)

        mark = b"#" if name == "websockify" else b""
        return Proxy(name, process, stream, lambda size: mark + str(size).encode())

    def proxies(self, *, tls: bool) -> list[Proxy]:
        """All of them in front of one machine's end; with TLS those that can have it there."""
        source, letter = self.source("source", tls=tls), "s" if tls else ""
        found = [self.gateway(source, tls=tls)]
        port = free_port()
        config = nginx_config(self.folder, port, f"http{letter}://127.0.0.1:{source}")
        found.append(self.other("nginx", port, self.run("nginx", "-c", config, port=port)))
        port = free_port()
        command = (sys.executable, PEERS, "relay", port, f"ws{letter}://127.0.0.1:{source}")
        found.append(self.other("relay", port, self.run(*command, port=port)))
        if not tls:
            port, raw = free_port(), self.source("raw", tls=False)
            command = (sys.executable, "-m", "websockify", f"127.0.0.1:{port}", f"127.0.0.1:{raw}")
            found += [self.other("websockify", port, self.run(*command, port=port)), self.jupyter(source)]
        return found

    def jupyter(self, source: int) -> Proxy:
        """jupyter-server-proxy in a Jupyter server without a login."""
        port, config = free_port(), self.folder / "jupyter.py"
        config.write_text(
            f"c.ServerApp.port = {port}\nc.IdentityProvider.token = ''\nc.ServerApp.open_browser = False\n"
            "c.ServerApp.allow_root = True\nc.ServerApp.jpserver_extensions = {'jupyter_server_proxy': True}\n"
        )
        names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "HOME")
        environ = dict.fromkeys(names, str(self.folder))
        process = self.run(sys.executable, "-m", "jupyter_server", f"--config={config}", port=port, environ=environ)
        return self.other("jupyter-server-proxy", port, process, f"/proxy/{source}")


def per_gb(proxy: Proxy, size: int) -> float:
    """The proxy's CPU seconds for each GB downwards."""
    frames = proxy.open("flood")
    before = proxy.cpu()
    frames.sock.sendall(frame(proxy.ask(size), masked=True))
    got, view = len(frames.buffer), bytearray(MIB)
    while got < size:
        got += frames.sock.recv_into(view)
    spent = proxy.cpu() - before
    frames.sock.close()
    return spent / (size / 1e9)


def round_trips(frames: Frames, count: int, pause: float = 0.0) -> list[float]:
    """Milliseconds of round trips of 32 bytes, one after another."""
    message, found = frame(bytes(32), masked=True), []
    for _ in range(count):
        began = time.perf_counter()
        frames.sock.sendall(message)
        frames.payload()
        found.append((time.perf_counter() - began) * 1000)
        time.sleep(pause)
    return found


class Report:
    """Prints figures, and remembers whether a goal was missed."""

    def __init__(self) -> None:
        self.missed = 0

    def say(self, what: str, value: float, unit: str, goal: float | None = None, *, least: bool = False) -> None:
        """One figure; `goal` is the most it may be."""
        good = goal is None or (value >= goal if least else value <= goal)
        self.missed += not good
        told = "" if goal is None else f"   goal {goal:g}: {'met' if good else 'MISSED'}"
        print(f"{what:58} {value:9.3f} {unit}{told}", flush=True)


def compare(proxies: list[Proxy], rounds: int, label: str, report: Report) -> None:
    """CPU and round trips of all, in turns."""
    cpu: dict[str, list[float]] = {proxy.name: [] for proxy in proxies}
    trip: dict[str, list[float]] = {proxy.name: [] for proxy in proxies}
    for number in range(rounds):
        for proxy in proxies[number % len(proxies) :] + proxies[: number % len(proxies)]:
            slow = proxy.name in ("relay", "jupyter-server-proxy")
            cpu[proxy.name].append(per_gb(proxy, (128 if slow else 512) * MIB))
            frames = proxy.open("echo")
            round_trips(frames, 100)
            trip[proxy.name].append(statistics.median(round_trips(frames, 1000)))
            frames.sock.close()
    for proxy in proxies:
        report.say(f"{label}: {proxy.name}, CPU", statistics.median(cpu[proxy.name]), "s/GB")
        report.say(f"{label}: {proxy.name}, round trip", statistics.median(trip[proxy.name]), "ms")
    own, ours = statistics.median(cpu["gateway"]), statistics.median(trip["gateway"])
    for name in GOALS.keys() & cpu.keys():
        report.say(f"{label}: CPU, gateway : {name}", own / statistics.median(cpu[name]), "", GOALS[name])
    report.say(f"{label}: round trip, gateway : nginx", ours / statistics.median(trip["nginx"]), "", ROUND_TRIP)


def alone(gateway: Proxy, label: str, report: Report) -> None:
    """What the gateway promises by itself."""
    memory = gateway.process.memory_info
    before = memory().rss
    stalled = gateway.open("flood")
    stalled.sock.sendall(frame(gateway.ask(200 * MIB), masked=True))
    time.sleep(4)
    report.say(f"{label}: a viewer that stops reading, growth", (memory().rss - before) / MIB, "MiB", STALLED_MIB)
    stalled.sock.close()
    began, count = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < 4:
        gateway.open("echo").sock.close()
        count += 1
    report.say(f"{label}: panes opened one after another", count / spent, "1/s")
    before = memory().rss
    idle = [gateway.open("echo") for _ in range(1000)]
    report.say(f"{label}: 1,000 idle panes, each", (memory().rss - before) / 1024 / 1000, "KiB", IDLE_KIB)
    for frames in idle:
        frames.sock.close()
    with flooding(gateway):
        times = sorted(round_trips(gateway.open("echo"), 2000, 0.001))
    report.say(f"{label}: another pane while one floods, p99", times[int(len(times) * 0.99)], "ms", OTHERS_P99_MS)


@contextlib.contextmanager
def flooding(gateway: Proxy) -> Iterator[None]:
    """One pane takes as much as it gets meanwhile."""
    frames, view = gateway.open("flood"), bytearray(MIB)
    frames.sock.sendall(frame(gateway.ask(10**12), masked=True))

    def take() -> None:
        with contextlib.suppress(OSError):
            while frames.sock.recv_into(view):
                pass

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield
    finally:
        frames.sock.shutdown(socket.SHUT_RDWR)
        thread.join()


def soak(gateway: Proxy, report: Report, seconds: float = 600.0, panes: int = 200) -> None:
    """Many panes, each spoken to once a second, for long."""
    opened_panes = [gateway.open("echo") for _ in range(panes)]
    round_trips(opened_panes[0], 10)
    before, times = gateway.process.memory_info().rss, []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for frames in opened_panes:
            times += round_trips(frames, 1, 1 / panes)
    times.sort()
    report.say(f"soak: {panes} panes, {seconds:g} s, p50 of {len(times)} round trips", times[len(times) // 2], "ms")
    report.say("soak: p99", times[int(len(times) * 0.99)], "ms", OTHERS_P99_MS)
    report.say("soak: growth", (gateway.process.memory_info().rss - before) / MIB, "MiB", STALLED_MIB)


def main() -> int:
    """Everything, in one run; 1 where a goal was missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--soak", action="store_true")
    options, report = parser.parse_args(), Report()
    with contextlib.ExitStack() as stack:
        bench = Bench(stack)
        if options.soak:
            soak(bench.gateway(bench.source("source", tls=False), tls=False), report)
        for tls, label in () if options.soak else ((False, "plain"), (True, "TLS")):
            proxies = bench.proxies(tls=tls)
            compare(proxies, options.rounds, label, report)
            alone(proxies[0], label, report)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, {report.missed} goals missed")
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
