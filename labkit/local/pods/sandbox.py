"""The launcher's container, as far as there is one: a bubblewrap sandbox with /usr's programs and the machine's logs.

Of the host it has nothing else: no network, no other process, no monitor of the machine, no file but /usr (read only).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

BINARY = "bwrap"
PACKAGE = "bubblewrap"
LOGS = "/var/log/machine"
"""Where the machine's logs are inside."""
_USER = "107"
_HOME = "/tmp"  # noqa: S108 - the sandbox's own


def command_line(command: Sequence[str], logs: Path, hostname: str) -> list[str]:
    """The command line that runs a command inside."""
    links = [part for name in ("bin", "sbin", "lib", "lib64") for part in ("--symlink", f"usr/{name}", f"/{name}")]
    return [
        BINARY, "--unshare-all", "--die-with-parent", "--uid", _USER, "--gid", _USER, "--hostname", hostname[:63],
        "--ro-bind", "/usr", "/usr", *links, "--proc", "/proc", "--dev", "/dev", "--tmpfs", _HOME,
        "--ro-bind", str(logs), LOGS, "--chdir", "/", "--cap-drop", "ALL", "--setenv", "HOME", _HOME,
        "--", *command,
    ]  # fmt: skip
