"""Folders that are one user's alone. Imports errors, nothing else of ours."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from labkit.errors import SetupError


def make_private(folder: Path) -> Path:
    """Make a folder (and those above it) that this user alone can enter. It is returned.

    Raises SetupError where it cannot be made, or somebody else's, or something that is no folder, stands in its place:
    in a shared temporary folder anybody could have put it there first.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise SetupError(
            f"the folder {folder} cannot be made ({error.strerror}); set LABKIT_STATE_DIR to a folder of your own"
        ) from error
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise SetupError(
            f"{folder} is not a folder of yours; remove it, or set LABKIT_STATE_DIR to a folder of your own"
        )
    os.chmod(folder, 0o700)
    return folder
