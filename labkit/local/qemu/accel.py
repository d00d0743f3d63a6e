"""KVM or TCG? Decided by timing a small loop, never by whether /dev/kvm opens.

A hypervisor can offer /dev/kvm without the processor's help behind it. QEMU starts there without an error and a
guest runs a thousand times slower than under TCG, QEMU's own emulation.
Run as `python -m labkit.local.qemu.accel` this module does the measuring and prints instructions per second.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from labkit.local.qemu import kvm_loop

# TCG does several hundred million a second on one core; interpreted KVM was seen to do a quarter of one.
NEEDED_RATE = 20e6
PROBE_TIMEOUT = 2.0
KVM = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Acceleration:
    """What QEMU runs guests with; `reason` is one sentence, `rate` the instructions per second measured under KVM."""

    name: Literal["kvm", "tcg"]
    reason: str
    rate: float | None = None


def choose(cache: Path, override: str | None = None) -> Acceleration:
    """KVM where it has shown to be fast on this boot, else TCG; the verdict is kept in the file `cache`.

    `override` ("kvm", "tcg") wins unseen; any other word but None and "" raises ValueError.
    """
    if override:
        return _overridden(override)
    boot = BOOT_ID.read_text().strip() if BOOT_ID.exists() else ""
    known = _remembered(cache, boot)
    if known:
        return known
    verdict = _probe()
    if boot:
        cache.parent.mkdir(parents=True, exist_ok=True)
        fresh = cache.with_name(f"{cache.name}.{os.getpid()}")
        fresh.write_text(json.dumps({"boot": boot, **asdict(verdict)}))
        fresh.replace(cache)
    return verdict


def judge(rate: float) -> Acceleration:
    """The verdict on a measured rate, in instructions per second."""
    speed = f"{rate / 1e6:,.2f} million instructions a second"
    if rate > NEEDED_RATE:
        return Acceleration("kvm", f"KVM does {speed}.", rate)
    return Acceleration("tcg", f"/dev/kvm opens, but a guest does only {speed}: there is no hardware behind it.", rate)


def _overridden(word: str) -> Acceleration:
    if word == "kvm":
        return Acceleration("kvm", "KVM was asked for.")
    if word == "tcg":
        return Acceleration("tcg", "TCG was asked for.")
    raise ValueError(f'The acceleration "{word}" is unknown: choose "kvm" or "tcg".')


def _remembered(cache: Path, boot: str) -> Acceleration | None:
    """The verdict in the file, if it is of this boot; a damaged file counts as none."""
    try:
        data = json.loads(cache.read_text())
        return Acceleration(data["name"], data["reason"], data["rate"]) if data["boot"] == boot else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _probe() -> Acceleration:
    if platform.machine() not in ("x86_64", "AMD64"):
        return Acceleration("tcg", f"The processor is {platform.machine()}; the images are for x86-64.")
    if not KVM.exists():
        return Acceleration("tcg", "There is no /dev/kvm.")
    if not os.access(KVM, os.R_OK | os.W_OK):
        return Acceleration("tcg", "/dev/kvm may not be opened by this user: join the group kvm to use it.")
    # A process of its own: a KVM that hangs is ended with it.
    command = [sys.executable, "-m", "labkit.local.qemu.accel"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return Acceleration("tcg", f"/dev/kvm opens, but a small loop did not end within {PROBE_TIMEOUT:.0f} s.")
    if done.returncode != 0:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        return Acceleration("tcg", f"/dev/kvm does not work: {last}")
    return judge(float(done.stdout))


def main() -> int:
    """Measure and print; 1 with the fault on standard error where KVM does not work."""
    try:
        print(kvm_loop.measure())
    except OSError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
