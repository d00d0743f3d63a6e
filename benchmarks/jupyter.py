"""A pane through labkit's Jupyter server extension against jupyter-server-proxy's relay of the same stream, in one run.

Two Jupyter servers stand before one gateway's unix socket. In turns: CPU seconds of the Jupyter server for each GB
downwards, and the time of a round trip of 32 bytes through everything. Then a viewer that stops reading while 200 MiB
are sent, for both: growth of Jupyter and the gateway together. Medians; exit status 1 where a goal is missed.

Run: .venv/bin/python benchmarks/jupyter.py [--rounds N]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from gateway import MIB, STALLED_MIB, Bench, Proxy, Report, free_port, per_gb, round_trips
from gateway_peers import LAB, MACHINE, Frames, frame, opened

from labkit import tickets
from labkit.gateway.handover import beside
from labkit.settings import load

CPU, ROUND_TRIP = 0.35, 0.5
"""What labkit's extension may take of what jupyter-server-proxy takes."""
OURS, PEER = "labkit", "jupyter-server-proxy"


def server(bench: Bench, name: str) -> Proxy:
    """A Jupyter server without a login, with one of the two ways to the gateway's socket."""
    folder, port, socket = bench.folder / name, free_port(), bench.folder / "gateway-False/run/g"
    folder.mkdir()
    prefix, extension = {OURS: ("labkit", "labkit.jupyter.server"), PEER: ("gate", "jupyter_server_proxy")}[name]
    entry = {"unix_socket": str(socket), "request_headers_override": {"Cookie": "", "Authorization": ""}}
    config = folder / "config.py"
    config.write_text(
        f"c.ServerApp.port = {port}\nc.IdentityProvider.token = ''\nc.ServerApp.open_browser = False\n"
        f"c.ServerApp.allow_root = True\nc.ServerApp.jpserver_extensions = {{{extension!r}: True}}\n"
        f"c.ServerProxy.servers = {{'gate': {entry}}}\n"
    )
    own = load({"HOME": str(folder), "LABKIT_STATE_DIR": str(folder), "LABKIT_RUNTIME_ROOT": str(folder / "run")})
    own.runtime_dir.mkdir(parents=True)
    for way in (Path, beside):
        way(own.gateway_socket).symlink_to(way(socket))
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "HOME")
    environ = {**own.environment(), **dict.fromkeys(names, str(folder))}
    process = bench.run(sys.executable, "-m", "jupyter_server", f"--config={config}", port=port, environ=environ)

    def stream(pane: str, buffer: int = 0) -> Frames:
        ticket = tickets.sign(tickets.Ticket(LAB, "bench", time.time() + 300), bench.key)
        path = f"/{prefix}/panes/{LAB}/{MACHINE}/{'vnc' if pane == 'flood' else 'console'}/stream"
        protocols = f"plain.kubevirt.io, labkit.ticket.{ticket}"
        return opened(("127.0.0.1", port), path, origin=f"127.0.0.1:{port}", protocols=protocols, buffer=buffer)

    return Proxy(name, process, stream)


def compare(ways: list[Proxy], gateway: Proxy, rounds: int, report: Report) -> None:
    """CPU and round trips, in turns; the gateway's own round trip, which is in both, beside them."""
    cpu: dict[str, list[float]] = {way.name: [] for way in ways}
    trip: dict[str, list[float]] = {way.name: [] for way in [gateway, *ways]}
    for number in range(rounds):
        for way in ways if number % 2 else ways[::-1]:
            cpu[way.name].append(per_gb(way, (512 if way.name == OURS else 128) * MIB))
        for name, found in trips([gateway, *ways]).items():
            trip[name] += found
    for way in ways:
        report.say(f"{way.name}, CPU", statistics.median(cpu[way.name]), "s/GB")
        report.say(f"{way.name}, round trip", statistics.median(trip[way.name]), "ms")
    report.say("the gateway alone, round trip", statistics.median(trip[gateway.name]), "ms")
    report.say("CPU, ours : theirs", statistics.median(cpu[OURS]) / statistics.median(cpu[PEER]), "", CPU)
    report.say(
        "round trip, ours : theirs", statistics.median(trip[OURS]) / statistics.median(trip[PEER]), "", ROUND_TRIP
    )


def trips(ways: list[Proxy]) -> dict[str, list[float]]:
    """Milliseconds of 1000 round trips by each way, in turns of 50: how long a computer takes to wake changes by the
    second, and is much of each."""
    streams = {way.name: way.open("echo") for way in ways}
    for frames in streams.values():
        round_trips(frames, 100)
    found: dict[str, list[float]] = {name: [] for name in streams}
    for turn in range(20):
        for name, frames in list(streams.items())[:: 1 if turn % 2 else -1]:
            found[name] += round_trips(frames, 50)
    for frames in streams.values():
        frames.sock.close()
    return found


def stalled(way: Proxy, gateway: Proxy, report: Report, goal: float | None = None) -> None:
    """How much a Jupyter server and the gateway grow together while a viewer takes nothing."""

    def memory() -> int:
        return sum(int(each.process.memory_info().rss) for each in (way, gateway))

    before = memory()
    frames = way.open("flood")
    frames.sock.sendall(frame(way.ask(200 * MIB), masked=True))
    time.sleep(4)
    report.say(f"{way.name}, a viewer that stops reading, growth", (memory() - before) / MIB, "MiB", goal)
    frames.sock.close()


def main() -> int:
    """Everything, in one run; 1 where a goal was missed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    options, report = parser.parse_args(), Report()
    with contextlib.ExitStack() as stack:
        bench = Bench(stack)
        gateway = bench.gateway(bench.source("source", tls=False), tls=False)
        ways = [server(bench, OURS), server(bench, PEER)]
        compare(ways, gateway, options.rounds, report)
        stalled(ways[0], gateway, report, STALLED_MIB)
        stalled(ways[1], gateway, report)
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors, {report.missed} goals missed")
    return 1 if report.missed else 0


if __name__ == "__main__":
    sys.exit(main())
