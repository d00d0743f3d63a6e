"""What it costs that labkit runs a check: 50 checks on 10 machines, against the same scripts sent by plain `ssh`.

Ten labs of one machine each, since a lab runs one check at a time. labkit's figure goes from the first check that is
asked for to the last result that is kept. The peer's are the same scripts into `ssh root@machine sh -s`, with labkit's
own key, from within each lab's network, as many at once as labkit has workers. In turns, in one run, by the clock.

Run by `benchmarks/instructions.py`; needs root (the peer enters the labs' networks) and Debian's openssh-client.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from labkit.manifests import names
from labkit.model import OperationState, Principal
from labkit.orchestrator.access import Access
from labkit.orchestrator.worker import WORKERS
from tests.support.engine import EngineProcess, running_engine
from tests.support.service import OPERATOR, Service

CHECKS, GOAL = 5, 1.5
LAB = """\
apiVersion: labkit/v1
kind: Lab
name: many
title: Many
machines: [{name: box, type: vm, image: {bundled: tiny}, memory: 256Mi, users: [{name: student}], panes: [terminal]}]
"""
SCRIPT = "#!/bin/sh\ntest -e /etc/hostname && echo There it is.\n"
STEPS = [f"step-{number}" for number in range(CHECKS)]


@dataclass(frozen=True)
class Peer:
    """How plain ssh reaches one machine: the command, but for what it is to run there."""

    command: tuple[str, ...]

    def check(self) -> None:
        """Run the script as often as labkit does."""
        for _ in STEPS:
            done = subprocess.run([*self.command, "sh -s"], input=SCRIPT, capture_output=True, text=True, check=False)
            assert done.stdout == "There it is.\n", done.stderr


def template(folder: Path) -> Path:
    """A lab with as many checks."""
    files = {f"checks/{step}/check-box": SCRIPT for step in STEPS}
    files |= {"lab.yaml": LAB, "instructions/1.md": "# P\n" + "".join(f"## {step} {{#{step}}}\n" for step in STEPS)}
    for name, text in files.items():
        (folder / "many" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "many" / name).write_text(text)
    return folder / "many"


def peer(service: Service, engine: EngineProcess, lab: str, folder: Path) -> Peer:
    """The way into the machine of `lab`; its key is in a file of root's alone."""
    space = names.namespace_of(lab)
    key = folder / lab
    key.touch(mode=0o600)
    key.write_text(Access.from_secret(lab, service.around.cluster.get("Secret", space, names.ACCESS_SECRET)).check_key)
    address = engine.vmi(space, "box")["status"]["interfaces"][0]["ipAddress"]
    process = next(
        found
        for found in psutil.process_iter(["cmdline"])
        if (line := " ".join(found.info["cmdline"] or ())) and "qemu-system" in line.split()[0] and space in line
    )
    options = ("-F", "none", "-i", str(key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null")
    within = ("nsenter", f"--net=/proc/{process.pid}/ns/net")
    return Peer((*within, "ssh", *options, "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", f"root@{address}"))


def by_labkit(service: Service, labs: list[tuple[Principal, str]]) -> float:
    """Seconds from the first check to the last result."""
    begun = time.monotonic()
    operations = [service.labs.check(who, lab, step) for step in STEPS for who, lab in labs]
    for operation in operations:
        found = service.ended(operation, 600)
        assert found.state is OperationState.DONE, found.error
        assert found.result
        assert found.result["verdict"] == "passed", found.result
    return time.monotonic() - begun


def by_ssh(peers: list[Peer]) -> float:
    """Seconds for the same scripts."""
    begun = time.monotonic()
    with ThreadPoolExecutor(WORKERS) as pool:
        for done in [pool.submit(each.check) for each in peers]:
            done.result()
    return time.monotonic() - begun


def main(machines: int, rounds: int) -> int:
    """Measure and print; 1 where the goal is missed."""
    with tempfile.TemporaryDirectory(prefix="lkb") as where, running_engine() as engine:
        folder = Path(where)
        service = Service(folder, engine.kubeconfig, start_timeout="600", labs_per_learner="0")
        lesson = str(template(folder))
        with service.at_work():
            labs = []
            for number in range(machines):
                who = Principal("local", f"learner-{number}", name=f"Learner {number}")
                operation = service.labs.start(who, lesson)
                assert service.ended(operation, 600).state is OperationState.DONE
                labs.append((who, operation.lab))
                print(f"machine {number + 1} of {machines} runs", file=sys.stderr, flush=True)
            peers = [peer(service, engine, lab, folder) for _, lab in labs]
            acceleration = service.labs.status(OPERATOR, labs[0][1]).machines[0].acceleration
            by_ssh(peers[:1])
            by_labkit(service, labs[:1])
            theirs, ours = [], []
            for _ in range(rounds):
                theirs.append(by_ssh(peers))
                ours.append(by_labkit(service, labs))
                print(f"labkit {ours[-1]:.1f} s, ssh {theirs[-1]:.1f} s", file=sys.stderr, flush=True)
        service.store.close()  # type: ignore[attr-defined]
    one, other, count = statistics.median(ours), statistics.median(theirs), machines * CHECKS
    print(f"{count} checks on {machines} machines ({acceleration}), {WORKERS} at once, median of {rounds} rounds")
    print(f"labkit      {one:7.2f} s  ({one / count * 1000:.0f} ms a check)")
    print(f"plain ssh   {other:7.2f} s  ({other / count * 1000:.0f} ms a check)")
    print(f"ratio {one / other:.2f}, goal {GOAL}: {'met' if one / other <= GOAL else 'MISSED'}")
    return 0 if one / other <= GOAL else 1
