"""`python -m labkit.images build|lock tiny`: the same as `labkit images`, for the Makefile."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from labkit.images import ImageError, build, refresh_lock


def main(words: list[str] | None = None) -> int:
    """Run one command; 0 where it worked, 1 with one sentence on standard error where not."""
    parser = argparse.ArgumentParser(prog="python -m labkit.images", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build", help="build an image unless it is there already")
    builder.add_argument("name")
    builder.add_argument("--images-dir", type=Path, required=True)
    builder.add_argument("--cache-dir", type=Path, required=True)
    builder.add_argument("--locked", action="store_true", help="fail where Debian no longer has a locked version")
    locker = commands.add_parser("lock", help="lock the packages that Debian has now, and print what that changes")
    locker.add_argument("name")
    options = parser.parse_args(words)
    try:
        if options.command == "build":
            _build(options)
        else:
            changes = refresh_lock(options.name, progress=_report)
            print("\n".join(changes.lines() or ["nothing has changed"]))
    except ImageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _build(options: argparse.Namespace) -> None:
    image = build(
        options.name,
        images_dir=options.images_dir,
        cache_dir=options.cache_dir,
        progress=_report,
        strict=options.locked,
    )
    print(f"{image.name} {image.digest[:16]}: {image.size / 1e6:.1f} MB, {image.packages} packages, {image.path}")


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
