"""Under a Hub: when a user's last server ends, however it ends, what runs for him here ends too.

A process of its own (`python -m labkit.jupyter.farewell`) that does nothing but wait for the end of its standard input,
which the server holds open: so a server that is killed leaves nothing either. A container ends by itself.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys

from labkit import settings
from labkit.folders import make_private


def wait_beside() -> subprocess.Popen[bytes]:
    """Start waiting for this process's end. What is returned must be kept: with its pipe, the wait ends."""
    command = [sys.executable, "-m", __name__]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def main() -> None:
    """Wait, then end engine, machines, controller and gateway. A service's labs, or a cluster's, go on."""
    known = settings.load()
    make_private(known.state_dir)
    with open(known.state_dir / "servers.lock", "a") as servers:
        fcntl.flock(servers, fcntl.LOCK_SH)
        sys.stdin.buffer.read()
        try:
            fcntl.flock(servers, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another server of this user lives (a named one, or the next)
        from labkit import app  # only now: for as long as a server runs, this takes little memory

        app.abandon(known)


if __name__ == "__main__":
    main()
