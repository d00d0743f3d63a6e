"""Small file operations that survive being killed in the middle."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a private file (0600) so that a reader, a restart or a power cut finds the old content or the new.

    What is there already is not written again: an engine starts on a full disk too.
    """
    if path.is_file() and path.read_bytes() == content:
        return
    make_private(path.parent)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_private(directory: Path) -> Path:
    """The directory, made with its parents if need be, closed to other users where it is made here."""
    if not directory.is_dir():
        make_private(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)
    return directory


def remove_tree(directory: Path) -> None:
    """Remove a directory that may be gone already."""
    if directory.exists():
        # What a container shut to its own user is shut to us, unless we are root.
        for place, names, _ in os.walk(directory) if os.getuid() else ():
            for path in (path for name in names if not (path := Path(place, name)).is_symlink()):
                path.chmod(0o700)
        shutil.rmtree(directory)
