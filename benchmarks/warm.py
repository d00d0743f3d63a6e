"""Warm starts against cold ones: the same machine, one engine, one run, taking turns.

Four figures, never mixed, each with engine and acceleration:

* *screen*: from the VM's creation to keys that are seen on the screen, at a prompt that names this machine.
* *terminal*: from the VM's creation to ttyd's answer below its own secret, by a machine with its own MAC, address, host
  name, machine-id, host keys, reseeded random numbers and the learner's part.
* *claim*: the same, by a spare that was woken with an identity of its own before and parked.
* *lab*: the same for the last of three machines that are created together, from a parked set of three.

Then starts one after another, memory of each (private and proportional), and the processor's time at rest.

Run: .venv/bin/python benchmarks/warm.py [rounds [machines]]. Exit status 1 where a goal is missed.
"""

from __future__ import annotations

import json
import statistics
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil

from tests.support.engine import EngineProcess, machine, namespace, running_engine, seed

GOALS = {"screen, clone": 0.10, "terminal, clone": 0.35, "terminal, spare": 0.10, "lab of three, spares": 0.10}
"""Medians may be so much of the cold median of the same figure (a lab of three: of one machine's cold start)."""
PRIVATE_GOAL = 45
"""MiB of private memory of a clone."""
SECRET = "ab" * 16
MACHINE = "machine"
TYPED_PIXELS = 200


@dataclass
class Bench:
    """An engine, and what was measured on it: seconds by figure."""

    engine: EngineProcess
    seconds: dict[str, list[float]] = field(default_factory=dict)
    number: int = 0

    def post(self, path: str, body: object, wanted: int = 201) -> bytes:
        """Send an object. The benchmark ends where it is refused."""
        code, answer = self.engine.request("POST", path, body)
        assert code == wanted, answer
        return answer

    def space(self) -> str:
        """A new namespace, with user data for its machines."""
        self.number += 1
        space = f"b{self.number}"
        self.post("/api/v1/namespaces", namespace(space))
        files = [{"path": "/etc/labkit/ttyd.secret", "content": SECRET, "permissions": "0600"}]
        user = {"name": "student", "plain_text_passwd": "x", "lock_passwd": False}
        self.post(f"/api/v1/namespaces/{space}/secrets", seed(space, hostname=space, users=[user], write_files=files))
        return space

    def create(self, space: str, names: list[str]) -> float:
        """Ask for machines; when that was."""
        begun = time.monotonic()
        for name in names:
            self.post(f"/apis/kubevirt.io/v1/namespaces/{space}/virtualmachines", machine(name, space))
        return begun

    def measure(self, figure: str, mode: str, done: Callable[[str, str], bool], names: list[str] | None = None) -> str:
        """Create machines in a new namespace and note the seconds until all are there. They must have started so."""
        space, names = self.space(), names or [MACHINE]
        begun = self.create(space, names)
        while not all(done(space, name) for name in names):
            time.sleep(0.01)
        taken = time.monotonic() - begun
        for name in names:
            seen = self.engine.vmi(space, name)["metadata"]["annotations"]["labkit/start-mode"]
            assert seen == mode, f"{figure}: started {seen}, not {mode}"
        self.seconds.setdefault(figure, []).append(taken)
        return space

    def end(self, space: str) -> None:
        """Remove a namespace and wait until its machines are gone."""
        self.engine.request("DELETE", f"/api/v1/namespaces/{space}")
        while self.engine.request("GET", f"/api/v1/namespaces/{space}")[0] != 404:
            time.sleep(0.05)

    def terminal(self, space: str, name: str) -> bool:
        """Whether ttyd answers below its secret."""
        if self.engine.phase(space, name) != "Running":
            return False
        try:
            with self.engine.stream(space, name, "portforward/7681") as stream:
                stream.send(f"GET /{SECRET}/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in stream.recv(5)
        except Exception:  # not listening yet, in any of the ways in which that shows
            return False

    def screen(self, space: str, name: str) -> bool:
        """Whether the prompt names the machine, and keys typed at the screen are seen on it."""
        if self.engine.phase(space, name) != "Running":
            return False
        with self.engine.stream(space, name, "console") as console:
            # Prompts come on both lines at once; on this one they can be read.
            said = b""
            while f"{space} login:".encode() not in said:
                try:
                    said += console.recv(0.1)
                except TimeoutError:
                    console.send(b"\n")
        with self.engine.stream(space, name, "vnc") as vnc:
            screen = Screen(vnc)
            before = screen.lit()
            screen.type("xxxxxxxx")
            while screen.lit() < before + TYPED_PIXELS:
                time.sleep(0.01)
        return True


class Screen:
    """As much of a VNC viewer (RFC 6143) as it takes to type and to see that something was typed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._bytes = b""
        self._read(12)
        for answer, wanted in ((b"RFB 003.008\n", 2), (b"\x01", 4)):
            stream.send(answer)
            self._read(wanted)
        stream.send(b"\x01")
        self._read(20)
        self._read(struct.unpack(">I", self._read(4))[0])
        stream.send(struct.pack(">BxHi", 2, 1, 0))  # raw pixels only

    def type(self, text: str) -> None:
        """Press and let go of keys."""
        for letter in text:
            self._stream.send(struct.pack(">BBxxIBBxxI", 4, 1, ord(letter), 4, 0, ord(letter)))

    def lit(self) -> int:
        """How much of the screen is not black, in bytes; a blinking cursor is a few."""
        self._stream.send(struct.pack(">BBHHHH", 3, 0, 0, 0, 65535, 65535))
        found = 0
        for _ in range(struct.unpack(">xxH", self._read(4))[0]):
            width, height = struct.unpack(">4xHH4x", self._read(12))
            pixels = self._read(width * height * 4)
            found += len(pixels) - pixels.count(0)
        return found

    def _read(self, size: int) -> bytes:
        while len(self._bytes) < size:
            self._bytes += self._stream.recv(30)
        found, self._bytes = self._bytes[:size], self._bytes[size:]
        return found


def prepare(bench: Bench, spares: int, machines: int = 1) -> dict[str, object]:
    """Have the template and sets of spares, and wait for them."""
    spec = machine(MACHINE, "any")["spec"]["template"]["spec"]
    body = {"name": "bench", "machines": {f"{MACHINE}{n}": spec for n in range(machines)}, "spares": spares}
    while True:
        found = json.loads(bench.post("/labkit/warm", body, 200))
        states = {each["state"] for each in found["machines"].values()}
        assert "unfit" not in states, found
        parked = [each for each in found["spares"] if not each["taken"] and each["machines"] == machines]
        if states == {"ready"} and len(parked) >= spares:
            return dict(found)
        time.sleep(0.1)


def memory(bench: Bench) -> list[tuple[float, float]]:
    """MiB of each machine's QEMU: private, proportional."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if str(bench.engine.runtime) in line and "-incoming" in line:
            info = process.memory_full_info()
            found.append((info.uss / 2**20, info.pss / 2**20))
    return found


def at_rest(bench: Bench, machines: int, seconds: float = 10.0) -> float:
    """Per cent of a processor that a machine with nothing to do takes."""

    def used() -> float:
        lines = [p for p in psutil.process_iter(["cmdline"]) if "-incoming" in (p.info["cmdline"] or [])]
        own = [p for p in lines if str(bench.engine.runtime) in " ".join(p.info["cmdline"])]
        return sum(sum(p.cpu_times()[:2]) for p in own)

    before = used()
    time.sleep(seconds)
    return 100 * (used() - before) / seconds / machines


def run(cold: Bench, warm: Bench, rounds: int, machines: int) -> None:
    """All figures."""
    prepare(warm, 0)
    for turn in range(rounds):
        for figure in ("screen", "terminal"):
            for bench, mode, name in ((cold, "cold", f"{figure}, cold"), (warm, "warm", f"{figure}, clone")):
                bench.end(bench.measure(name, mode, getattr(bench, figure)))
        prepare(warm, 1)
        space = warm.measure("terminal, spare", "spare", warm.terminal)
        prepare(warm, 0)
        warm.end(space)
        prepare(warm, 1, machines=3)
        space = warm.measure("lab of three, spares", "spare", warm.terminal, [f"{MACHINE}{n}" for n in range(3)])
        prepare(warm, 0)
        warm.end(space)
        print(f"round {turn + 1}: " + ", ".join(f"{k} {v[-1]:.2f}" for b in (cold, warm) for k, v in b.seconds.items()))
    for _ in range(machines):
        warm.measure("one after another", "warm", warm.terminal)


def report(cold: Bench, warm: Bench) -> bool:
    """Print everything; whether all goals were met."""
    bases = {figure: statistics.median(cold.seconds[f"{figure}, cold"]) for figure in ("screen", "terminal")}
    print(f"\n{'figure':24}{'median s':>10}{'slowest':>10}{'of cold':>10}{'goal':>8}")
    met = True
    for name, taken in {**cold.seconds, **warm.seconds}.items():
        base = bases["screen" if name.startswith("screen") else "terminal"]
        ratio, goal = statistics.median(taken) / base, GOALS.get(name)
        word = "" if goal is None else f"{goal:8.2f}  {'met' if ratio <= goal else 'MISSED'}"
        met = met and (goal is None or ratio <= goal)
        print(f"{name:24}{statistics.median(taken):>10.2f}{max(taken):>10.2f}{ratio:>10.2f}{word}")
    found = memory(warm)
    private = statistics.median(each[0] for each in found)
    rest = at_rest(warm, len(found))
    met = met and private <= PRIVATE_GOAL
    word = "met" if private <= PRIVATE_GOAL else "MISSED"
    print(f"memory of each of {len(found)} clones: {private:.0f} MiB private (goal {PRIVATE_GOAL}: {word}),", end=" ")
    print(f"{statistics.median(each[1] for each in found):.0f} MiB proportional; {rest:.2f} % of a processor at rest")
    return met


def main(rounds: int, machines: int) -> int:
    """Measure, print, and say whether the goals were met."""
    with running_engine() as first, running_engine(warm="8") as second:
        cold, warm = Bench(first), Bench(second)
        about = json.loads(second.request("GET", "/labkit/warm")[1])
        load = psutil.getloadavg()[0]
        run(cold, warm, rounds, machines)
        print(f"\nengine: embedded, acceleration: {about['acceleration']}, image: tiny, 256 MiB, {rounds} rounds, "
              f"{psutil.cpu_count()} processors, load at the beginning {load:.1f}")  # fmt: skip
        return 0 if report(cold, warm) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, int(sys.argv[2]) if len(sys.argv) > 2 else 40))
