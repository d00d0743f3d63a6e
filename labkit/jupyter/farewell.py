"""Under a Hub: when a user's last server ends, however it ends, what runs for him here ends too.

A process of its own (`python -m labkit.jupyter.farewell`) that does nothing but wait for the end of its standard input,
which the server holds open: so a server that is killed leaves nothing either. A container ends by itself.

Each has a share of one lock for as long as its server lives, the first one's from before it runs: whoever finds himself
alone with it was the last. While the last one works, nobody can start anything: it is told by another lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import subprocess
import sys

from labkit import settings
from labkit.errors import LabkitError
from labkit.folders import make_private

_log = logging.getLogger(__name__)


def wait_beside(known: settings.Settings) -> subprocess.Popen[bytes]:
    """Start waiting for this process's end. What is returned must be kept: with its pipe, the wait ends.

    Raises SetupError where the state folder is somebody else's.
    """
    make_private(known.state_dir)
    make_private(known.logs_dir)
    with open(known.state_dir / "servers.lock", "a+") as servers, open(known.logs_dir / "farewell.log", "ab") as log:
        with contextlib.suppress(BlockingIOError):  # a server before us is being bidden farewell: ours waits by itself
            fcntl.flock(servers, fcntl.LOCK_SH | fcntl.LOCK_NB)
        # -P: else the folder in which the server was started could hold another module of any name that we import.
        command = [sys.executable, "-P", "-m", __name__, str(servers.fileno())]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=[servers.fileno()],
            start_new_session=True,
        )


def main() -> None:
    """Wait, then end engine, machines, controller and gateway. A service's labs, or a cluster's, go on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    known = settings.load()
    with open(int(sys.argv[1]), "a+") as servers, open(known.farewell_lock, "a") as farewell:
        fcntl.flock(servers, fcntl.LOCK_SH)
        sys.stdin.buffer.read()
        try:
            fcntl.flock(servers, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # another server of this user lives (a named one, or the next)
        fcntl.flock(farewell, fcntl.LOCK_EX)
        from labkit import app  # only now: for as long as a server runs, this takes little memory

        try:
            app.abandon(known)
        except LabkitError as error:
            _log.error("not everything has ended with the Jupyter server: %s", error)
        else:
            _log.info("everything has ended with the Jupyter server")


if __name__ == "__main__":
    main()
