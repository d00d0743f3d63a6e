"""Running the programs that a build needs, and naming the Debian package of one that is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from labkit.images.errors import ToolFailed, ToolMissing

PACKAGE_OF = {
    "apt-get": "apt",
    "apt-cache": "apt",
    "debugfs": "e2fsprogs",
    "depmod": "kmod",
    "dpkg-deb": "dpkg",
    "lz4": "lz4",
    "mcopy": "mtools",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "qemu-img": "qemu-utils",
    "syslinux": "syslinux",
}
FILES = {
    Path("/usr/lib/syslinux/mbr/mbr.bin"): "syslinux-common",
    Path("/usr/lib/apt/apt-helper"): "apt",
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"): "debian-archive-keyring",
}
BUILD_PACKAGES: tuple[str, ...] = tuple(sorted({*PACKAGE_OF.values(), *FILES.values()}))
# Some of the tools are kept out of an ordinary user's PATH.
SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def require(search: str = SEARCH) -> None:
    """Check that all programs and files of a build are there. Raises ToolMissing, naming all that are not."""
    absent = {tool: package for tool, package in PACKAGE_OF.items() if shutil.which(tool, path=search) is None}
    absent |= {str(path): package for path, package in FILES.items() if not path.exists()}
    if absent:
        things, packages = " ".join(sorted(absent)), " ".join(sorted(set(absent.values())))
        raise ToolMissing(f"Building an image needs {things}: install with 'apt-get install {packages}'.")


def run(command: Sequence[str | Path], *, env: Mapping[str, str] | None = None, stdin: str | None = None) -> str:
    """Run a program to its end and return its standard output. Raises ToolMissing and ToolFailed."""
    words = [str(word) for word in command]
    environment = {**os.environ, "PATH": SEARCH, "LC_ALL": "C", "TZ": "UTC", **(env or {})}
    try:
        done = subprocess.run(words, env=environment, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        package = PACKAGE_OF.get(words[0], words[0])
        raise ToolMissing(f"The program {words[0]} is missing: install with 'apt-get install {package}'.") from error
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise ToolFailed(f"{words[0]} ended with status {done.returncode}: {last}", done.stdout + done.stderr)
    return done.stdout
