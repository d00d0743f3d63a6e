"""Reading files out of Debian packages, without installing them."""

from __future__ import annotations

import io
import posixpath
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from labkit.images.errors import ToolFailed

# In the image all programs are in /usr/bin and all else is under /usr; the other names are links.
MERGED = {"bin": "usr/bin", "sbin": "usr/bin", "usr/sbin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64"}


@dataclass
class Tree:
    """Files of packages by path without a leading slash: content of plain files, targets of symbolic links."""

    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def update(self, other: Tree) -> None:
        self.files.update(other.files)
        self.links.update(other.links)

    def follow(self, path: str) -> tuple[str, list[str]]:
        """The plain file behind a path, and the links on the way. Raises KeyError."""
        chain = []
        while path in self.links:
            chain.append(path)
            target = self.links[path]
            path = target.lstrip("/") if target.startswith("/") else posixpath.join(posixpath.dirname(path), target)
            path = normal(path)
        if path not in self.files:
            raise KeyError(path)
        return path, chain


def normal(path: str) -> str:
    """`./lib/x/../y` -> `usr/lib/y`."""
    path = posixpath.normpath(path).lstrip("/")
    for old, new in MERGED.items():
        if path.startswith(f"{old}/"):
            return new + path[len(old) :]
    return path


def read(package: Path, wanted: Callable[[str], bool]) -> Tree:
    """The files of a package whose path is wanted, and all its links. Raises ToolFailed."""
    tree = Tree()
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as process:
        output = cast("IO[bytes]", process.stdout)
        with tarfile.open(fileobj=output, mode="r|") as archive:
            for member in archive:
                path = normal(member.name)
                if member.issym():
                    tree.links[path] = member.linkname
                elif member.islnk():
                    tree.links[path] = "/" + normal(member.linkname)
                elif member.isfile() and wanted(path):
                    tree.files[path] = (archive.extractfile(member) or io.BytesIO()).read()
        # tar's padding: dpkg-deb would end with an error where nobody reads it.
        output.read()
    if process.returncode != 0:
        raise ToolFailed(f"dpkg-deb cannot read {package.name}: delete it and build again.")
    return tree
