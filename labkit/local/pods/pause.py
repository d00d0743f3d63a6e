"""The process that holds a pod's namespaces for as long as the pod lives; its containers come and go.

``python -m labkit.local.pods.pause DIR/ FIRST IDS PLACE VOLUMES HOSTNAME READY`` makes mounts that only the pod has: at
PLACE an empty file system, which everybody may pass through, with the pod's volumes. And it goes into a user namespace
whose ids 0 to IDS - 1 are FIRST and those after it outside, and makes the pod's network, host name and IPC. So nothing
of it is on the computer's list of mounts, and with the last process all of it is gone. It says so on the open file
READY and becomes ``sleep``, called DIR/. An ordinary user starts it in the user namespace of the lab's network.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
from pathlib import Path

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x40000000
_NOSUID, _NODEV, _BIND, _REC, _SLAVE = 2, 4, 0x1000, 0x4000, 0x80000
_SETTINGS = {
    "ipv4/ip_unprivileged_port_start": "0",
    "ipv4/ping_group_range": "0 {last}",
    "ipv6/conf/all/disable_ipv6": "1",
}
_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    _checked(_libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()))


def _enter(first: str, ids: str) -> None:
    """Into the namespaces; a child that stays outside writes who is who in there."""
    here, there = os.pipe()
    me = os.getpid()
    child = os.fork()
    if not child:
        os.read(here, 1)
        for kind in ("uid", "gid"):
            Path(f"/proc/{me}/{kind}_map").write_text(f"0 {first} {ids}\n")
        os._exit(0)
    _checked(_libc.unshare(_NEWUSER | _NEWNET | _NEWUTS | _NEWIPC))
    os.write(there, b"1")
    if os.waitpid(child, 0)[1]:
        raise OSError("no user namespace with these ids can be made")


def main() -> None:
    """Make all of it, say so, sleep."""
    directory, first, ids, place, volumes, hostname, ready = sys.argv[1:]
    if outside := os.getuid():
        # No rights yet: there are some inside only, over mounts too.
        _enter(first, ids)
    _checked(_libc.unshare(_NEWNS))
    _mount("none", "/", "none", _REC | _SLAVE)
    _mount("tmpfs", place, "tmpfs", _NOSUID | _NODEV, "mode=711")
    Path(place, "volumes").mkdir(mode=0o711)
    _mount(volumes, f"{place}/volumes", "none", _BIND)
    if not outside:
        _enter(first, ids)
    socket.sethostname(hostname)
    for key, value in _SETTINGS.items():
        if (file := Path("/proc/sys/net", key)).exists():
            file.write_text(value.format(last=int(ids) - 1))
    os.write(int(ready), b"1")
    os.execvp("sleep", [directory, "infinity"])  # noqa: S606 - no shell; the engine's own PATH


if __name__ == "__main__":
    main()
