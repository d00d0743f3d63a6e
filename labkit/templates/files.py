"""The files of a template's folder: which they are, what they hold, and the name of their content."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath

from labkit.errors import NotFound

MOST_BYTES = 1 << 20
"""The largest text file of a template that is read."""


def files(folder: Path) -> list[str]:
    """The relative names of all files, sorted, links included; what begins with a dot is no part of it."""
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and not (Path(parent) / name).is_symlink()]
        found += [(Path(parent) / name).relative_to(folder).as_posix() for name in names if not name.startswith(".")]
    return sorted(found)


def links(folder: Path) -> list[str]:
    """The relative names of symbolic links, which a template may not hold: they would reach outside of it."""
    found = []
    for parent, folders, names in os.walk(folder):
        both = [Path(parent) / name for name in (*folders, *names) if not name.startswith(".")]
        found += [path.relative_to(folder).as_posix() for path in both if path.is_symlink()]
    return sorted(found)


def digest(folder: Path) -> str:
    """64 hex digits that name the content of `folder`: the names and bytes of its files.

    Names and contents are hashed with their lengths before them, so that no two different folders feed it the same.
    """
    sha = hashlib.sha256()
    for name in files(folder):
        path = folder / name
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        for part in (name.encode(), content):
            sha.update(len(part).to_bytes(8, "big"))
            sha.update(part)
    return sha.hexdigest()


def media_file(folder: Path, path: str) -> Path:
    """The file behind `media/…` as the page model writes it.

    Raises NotFound for everything that is not a plain file below the template's media folder.
    """
    parts = PurePosixPath(path).parts
    inside = len(parts) > 1 and parts[0] == "media" and not any(part.startswith(".") for part in parts)
    found = folder.joinpath(*parts)
    if not inside or "\0" in path or not found.is_file():
        raise NotFound(f"the template has no file '{path}'")
    if not found.resolve().is_relative_to(folder.resolve() / "media"):
        raise NotFound(f"the template has no file '{path}'")
    return found
