"""``python -m labkit.local``: run the engine, or say what this machine lacks for it (``--doctor``)."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from labkit.local.doctor import examine
from labkit.local.engine import EngineError, Options, run
from labkit.local.paths import EnginePaths


def main() -> int:
    """Exit status 0, 1 (cannot run) or 2 (wrong use)."""
    parser = argparse.ArgumentParser(prog="python -m labkit.local", description=__doc__)
    parser.add_argument("--doctor", action="store_true", help="print what works here as JSON, and end")
    parser.add_argument("--state-dir", type=Path, help="what survives a restart: objects, disks, token")
    parser.add_argument("--runtime-dir", type=Path, help="sockets; a short path (80 characters)")
    parser.add_argument("--images-dir", type=Path, required=True, help="the built disk images")
    parser.add_argument("--port", type=int, default=0, help="0: the port used before, or a free one")
    parser.add_argument("--accel", choices=("auto", "tcg", "kvm"), default="auto")
    parser.add_argument(
        "--network", choices=("auto", "private", "plain"), default="auto", help="plain: no network of ours"
    )
    parser.add_argument("--import-from-anywhere", action="store_true", help="DataVolumes may name this computer too")
    parser.add_argument("--exit-with-parent", action="store_true", help="end when standard input ends")
    given = parser.parse_args()
    # dnsmasq and bridge lie where Debian lets an ordinary user's PATH not look.
    os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    acceleration = None if given.accel == "auto" else given.accel
    if given.doctor:
        print(json.dumps(examine(given.images_dir.absolute(), acceleration), indent=2))
        return 0
    if given.state_dir is None or given.runtime_dir is None:
        parser.error("--state-dir and --runtime-dir are required")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    paths = EnginePaths(given.state_dir.absolute(), given.runtime_dir.absolute(), given.images_dir.absolute())
    try:
        more = (given.exit_with_parent, given.import_from_anywhere, given.network)
        run(Options(paths, given.port, acceleration, *more))
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
