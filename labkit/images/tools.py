"""Running the programs that a build needs, and naming the Debian package of one that is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
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
    "mmdebstrap": "mmdebstrap",
    "newuidmap": "uidmap",
    "qemu-img": "qemu-utils",
    "qemu-system-x86_64": "qemu-system-x86",
    "setpriv": "util-linux",
    "skopeo": "skopeo",
    "syslinux": "syslinux",
    "tar": "tar",
    "umoci": "umoci",
    "unshare": "util-linux",
}
DISK_TOOLS = ("apt-get", "apt-cache", "dpkg-deb", "mcopy", "mke2fs", "mkfs.vfat", "qemu-img", "syslinux")
TINY_TOOLS = (*DISK_TOOLS, "debugfs", "depmod", "lz4")
NAMESPACE_TOOLS = () if os.getuid() == 0 else ("newuidmap", "unshare")
PACKAGES_TOOLS = ("apt-get", "apt-cache", "dpkg-deb", "mmdebstrap", "tar", *NAMESPACE_TOOLS)
FILES = {
    Path("/usr/lib/syslinux/mbr/mbr.bin"): "syslinux-common",
    Path("/usr/lib/apt/apt-helper"): "apt",
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"): "debian-archive-keyring",
}
# What building tiny and web takes; the rest is asked for by name where it is needed.
BUILD_PACKAGES: tuple[str, ...] = tuple(
    sorted({*(PACKAGE_OF[tool] for tool in (*TINY_TOOLS, *PACKAGES_TOOLS, "umoci")), "uidmap", *FILES.values()})
)
# Some of the tools are kept out of an ordinary user's PATH.
SEARCH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def require(tools: Iterable[str] = TINY_TOOLS, search: str = SEARCH) -> None:
    """Check that these programs and the files of a build are there. Raises ToolMissing, naming all that are not."""
    absent = {tool: PACKAGE_OF[tool] for tool in tools if shutil.which(tool, path=search) is None}
    if "apt-get" in tools:
        absent |= {str(path): package for path, package in FILES.items() if not path.exists()}
    if absent:
        things, packages = " ".join(sorted(absent)), " ".join(sorted(set(absent.values())))
        raise ToolMissing(f"This needs {things}: install with 'apt-get install {packages}'.")


def as_root(command: Sequence[str | Path]) -> list[str | Path]:
    """The command as it is run with the rights of root over files of its own: as root, else in a user namespace."""
    if os.getuid() == 0:
        return list(command)
    return ["unshare", "--user", "--map-auto", "--map-root-user", "--mount", "--", *command]


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
