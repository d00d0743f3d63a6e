"""How long from `start()` to the first byte of a terminal, against the same image started by a bare QEMU command line.

Both in one run, taking turns, on this machine, with the engine's own acceleration; cold starts both (nothing is warm).
The peer is QEMU alone: a slirp network with one forwarded port, the same memory and CPU model, a seed disk with such
user data, and a client that asks ttyd until it answers. labkit's figure ends when the first byte of the terminal's
stream has come through the gateway, as a browser would get it.

Run: .venv/bin/python benchmarks/start.py [rounds]. Exit status 1 where the goal is missed.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pycdlib
from websockets.sync.client import unix_connect

from labkit import app, images, launcher
from labkit.errors import LabkitError
from labkit.local.qemu.accel import choose
from labkit.model import OperationState
from labkit.settings import Settings, load
from labkit.tickets import SUBPROTOCOL_PREFIX

GOAL = 1.25
"""labkit's median may be this much of bare QEMU's: namespace, seed, readiness, gateway and all."""


def bare_qemu(settings: Settings, folder: Path) -> float:
    """Seconds from the start of the process to ttyd's first answer."""
    disk = images.find("tiny", settings.images_dir)
    assert disk is not None, "build the image first: labkit images build tiny"
    overlay, seed, port = folder / "overlay.qcow2", folder / "seed.iso", free_port()
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(disk.disk.resolve()), str(overlay)],
        check=True,
    )
    write_seed(seed)
    accel = choose(folder / "accel.json").name
    command = ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-machine", "q35", "-m", "256", "-smp", "1"]
    command += [
        "-accel",
        accel + (",tb-size=64" if accel == "tcg" else ""),
        "-device",
        "VGA",
        "-device",
        "virtio-rng-pci",
    ]
    command += [
        "-drive",
        f"file={overlay},if=virtio,cache=unsafe",
        "-drive",
        f"file={seed},if=virtio,format=raw,readonly=on",
    ]
    command += [
        "-netdev",
        f"user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:7681",
        "-device",
        "virtio-net-pci,netdev=n",
    ]
    begun = time.monotonic()
    process = subprocess.Popen(command)
    try:
        while not answers(port):
            time.sleep(0.02)
        return time.monotonic() - begun
    finally:
        process.kill()
        process.wait()


def write_seed(path: Path) -> None:
    """A NoCloud seed with one user, like the lab's."""
    body = {"hostname": "bare", "users": [{"name": "student", "plain_text_passwd": "x", "lock_passwd": False}]}
    iso = pycdlib.PyCdlib()
    iso.new(vol_ident="cidata", joliet=3, rock_ridge="1.09")
    for name, text in (("user-data", "#cloud-config\n" + json.dumps(body)), ("meta-data", "instance-id: bare\n")):
        data = text.encode()
        short = "/" + name.replace("-", "").upper()[:8] + ".;1"
        iso.add_fp(io.BytesIO(data), len(data), short, rr_name=name, joliet_path=f"/{name}")
    iso.write(str(path))
    iso.close()


def answers(port: int) -> bool:
    """Whether ttyd answers at a forwarded port. Asked again soon: slirp accepts, and loses, what comes too early."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.2)
    try:
        connection.request("GET", "/token")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def through_labkit(settings: Settings, labs: app.Labs) -> float:
    """Seconds from `start()` to the first byte of the terminal, through the gateway."""
    principal = app.local_principal()
    begun = time.monotonic()
    operation = labs.start(principal, "hello-lab")
    for _event in app.follow(labs, principal, operation, settings):
        pass
    done = labs.operation(principal, operation.id)
    if done.state is not OperationState.DONE:
        raise LabkitError(done.error)
    link = labs.pane_link(principal, operation.lab, "box", "terminal")
    with unix_connect(
        str(settings.gateway_socket),
        f"ws://localhost/{link.path}stream",
        origin="http://localhost",  # type: ignore[arg-type]
        subprotocols=["tty", SUBPROTOCOL_PREFIX + link.ticket],  # type: ignore[list-item]
        compression=None,
    ) as stream:
        stream.send(b'{"AuthToken":"","columns":80,"rows":24}')
        stream.recv(timeout=30)
        taken = time.monotonic() - begun
    for _event in app.follow(labs, principal, labs.stop(principal, operation.lab), settings):
        pass
    return taken


def main(rounds: int) -> int:
    """Measure, print, and say whether the goal was met."""
    folder = Path(tempfile.mkdtemp(prefix="labkit-benchmark-"))
    # An installation of its own without warm starts: another's engine would have the machine waiting.
    own = {"LABKIT_STATE_DIR": str(folder / "state"), "LABKIT_WARM": "off"}
    settings = load({**os.environ, "LABKIT_IMAGES_DIR": str(load().images_dir), **own})
    ours, theirs = [], []
    try:
        labs = app.open_labs(settings)
        for number in range(rounds):
            theirs.append(bare_qemu(settings, Path(tempfile.mkdtemp(dir=folder))))
            ours.append(through_labkit(settings, labs))
            print(f"round {number + 1}: bare QEMU {theirs[-1]:.2f} s, labkit {ours[-1]:.2f} s", flush=True)
        accel = choose(folder / "accel.json")
    finally:
        launcher.stop(settings)
        shutil.rmtree(folder)
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(f"engine: embedded, acceleration: {accel.name} ({accel.reason}), image: tiny, cold starts, {rounds} rounds")
    print(f"start() to the terminal's first byte: median {statistics.median(ours):.2f} s")
    print(f"bare QEMU to ttyd's first answer:     median {statistics.median(theirs):.2f} s")
    print(f"ratio {ratio:.2f}, goal at most {GOAL}: {'met' if ratio <= GOAL else 'MISSED'}")
    return 0 if ratio <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
