"""What this machine has and lacks for the engine: each look is a row with a remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labkit.local.network.filter import compile_filter
from labkit.local.network.names import Member
from labkit.local.pods import runtime, sandbox
from labkit.local.qemu import accel, argv, images


@dataclass(frozen=True)
class Finding:
    """One row: what was looked at, whether it will do, what was found, and what to do about it (or '')."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


def examine(images_dir: Path, acceleration: str | None) -> list[dict[str, Any]]:
    """All rows, as plain data."""
    looks: tuple[Callable[[], Finding], ...] = (
        lambda: _binary("QEMU", argv.BINARY, "qemu-system-x86"),
        lambda: _binary("qemu-img", images.QEMU_IMG, "qemu-utils"),
        lambda: _binary("skopeo", "skopeo", "skopeo"),
        lambda: _binary("kubectl exec", sandbox.BINARY, sandbox.PACKAGE),
        _containers,
        lambda: _acceleration(acceleration),
        _network,
        _way_out,
        lambda: _tiny(images_dir),
    )
    return [asdict(look()) for look in looks]


def _binary(name: str, binary: str, package: str) -> Finding:
    if shutil.which(binary) is None:
        return Finding(name, False, f"{binary} is not installed", f"apt-get install {package}")
    done = subprocess.run([binary, "--version"], capture_output=True, text=True)
    return Finding(name, done.returncode == 0, (done.stdout or done.stderr).splitlines()[0])


def _containers() -> Finding:
    lacking = runtime.missing()
    remedy = f"apt-get install {' '.join(runtime.PROGRAMS)}"
    if lacking:
        return Finding("containers", False, f"{', '.join(lacking)} not installed: only machines run", remedy)
    lost = "" if os.getuid() == 0 else "; as an ordinary user with one id, and without control groups"
    return Finding("containers", True, f"runc can run them{lost}")


def _acceleration(override: str | None) -> Finding:
    with tempfile.TemporaryDirectory() as folder:
        found = accel.choose(Path(folder) / "accel.json", override)
    remedy = "" if found.name == "kvm" else "machines run, slowly; use a computer with usable KVM for speed"
    return Finding("acceleration", True, f"{found.name}: {found.reason}", remedy)


def private_network() -> tuple[str, str]:
    """What keeps this computer from making private networks, and the remedy; both empty where nothing does."""
    for tool, package in (
        ("ip", "iproute2"), ("dnsmasq", "dnsmasq-base"), ("nft", "nftables"),
        ("unshare", "util-linux"), ("nsenter", "util-linux"), ("setpriv", "util-linux"),
    ):  # fmt: skip
        if shutil.which(tool) is None:
            return f"{tool} is not installed", f"apt-get install {package}"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be opened", "chmod 0666 /dev/net/tun (as root)"
    own = [] if os.getuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    probe = "ip link add br0 type bridge && ip tuntap add t0 mode tap && nft -f -"
    rules = compile_filter("10.77.0.1", {}, [Member("t0", "02:00:00:00:00:01", "10.77.0.10")], [], []).text
    line = ["unshare", *own, "--net", "--", "sh", "-c", probe]
    done = subprocess.run(line, input=rules, capture_output=True, text=True)
    if not done.returncode:
        return "", ""
    said = done.stderr.strip().splitlines()
    remedy = "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1) or run as root"
    if "nft" in done.stderr or "rule" in done.stderr:
        remedy = "a kernel with nftables for ip and bridge, and connection tracking (modprobe as root)"
    return f"no private network can be made: {said[0] if said else 'no reason'}", remedy


def _network() -> Finding:
    fault, remedy = private_network()
    if fault:
        lost = "labs of one machine run; no second machine, no container, no names, and nothing outside is reached"
        return Finding("network", True, f"{fault}: {lost}", remedy)
    return Finding("network", True, "private networks can be made, and policies be enforced")


def _way_out() -> Finding:
    if shutil.which("slirp4netns") is None:
        lost = "slirp4netns is not installed: labs reach nothing outside, whatever their policies allow"
        return Finding("way out", True, lost, "apt-get install slirp4netns")
    return Finding("way out", True, "labs reach outside where their policies let them")


def _tiny(folder: Path) -> Finding:
    try:
        disk = images.resolve("localhost/labkit/tiny", folder)
    except images.ImageError as error:
        return Finding("image tiny", False, str(error), "labkit images build tiny")
    return Finding("image tiny", True, f"{disk} ({disk.stat().st_size // 2**20} MiB)")
