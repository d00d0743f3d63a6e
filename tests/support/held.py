"""What this process holds open."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def held_below(folder: Path) -> list[str]:
    """The open files of a folder, one for each descriptor; other tests' are none of them."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the list itself
            found.append(os.readlink(descriptor))
    return [path for path in found if path.startswith(str(folder))]
