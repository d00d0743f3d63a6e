"""What an image is made of, as values: what image.yaml says, with what its base says before it.

An image whose base is another image is that image's definition with its own steps after it: it is built anew from
packages, so it has no layers that could go stale. A base that is a disk (tiny, or an imported image) has no
definition; such an image is made by booting the disk once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

FORMAT = 1  # part of every image's inputs: raised where a change of the code makes another image of the same file
MIB = 1 << 20


@dataclass(frozen=True)
class File:
    """A file of the image: its text, or what lies at `source` (a folder: all below it). `mode` None: by content."""

    path: str
    content: str | None
    source: Path | None
    mode: int | None
    owner: str


@dataclass(frozen=True)
class User:
    """An account that is made in the image. Without a password nobody can sign in by one."""

    name: str
    groups: tuple[str, ...]
    shell: str
    sudo: bool
    password: str | None


@dataclass(frozen=True)
class Service:
    """A systemd service to enable; with a command it is written, too."""

    name: str
    command: str | None
    user: str


@dataclass(frozen=True)
class Definition:
    """One image.yaml and what it is based on. `size` is the virtual disk's in bytes.

    `suite` is the Debian suite that the packages come from; or `disk` is the name of the image to boot and change,
    where the base is a disk. `texts` are the image.yaml files, the base's first.
    """

    name: str
    title: str
    kind: str
    folder: Path
    suite: str
    disk: str
    from_nothing: bool
    packages: tuple[str, ...]
    exclude: tuple[str, ...]
    files: tuple[File, ...]
    users: tuple[User, ...]
    services: tuple[Service, ...]
    commands: tuple[str, ...]
    size: int
    command: tuple[str, ...]
    ports: tuple[int, ...]
    env: dict[str, str]
    texts: tuple[str, ...]

    @property
    def lock_path(self) -> Path:
        return self.folder / "lock.json"

    def sources_digest(self) -> str:
        """SHA-256 in hex of all that decides the image beside its packages."""
        digest = hashlib.sha256(f"{FORMAT}\n".encode())
        for text in self.texts:
            digest.update(f"{len(text)} {text}\n".encode())
        for file in self.files:
            for path, content in contents(file):
                digest.update(f"{path} {len(content)}\n".encode() + content)
        return digest.hexdigest()


def contents(file: File) -> list[tuple[str, bytes]]:
    """What a file of a definition puts where; several for a folder."""
    if file.source is None:
        return [(file.path, (file.content or "").encode())]
    if file.source.is_file():
        return [(file.path, file.source.read_bytes())]
    found = sorted(path for path in file.source.rglob("*") if path.is_file())
    top = file.path.rstrip("/")
    return [(f"{top}/{path.relative_to(file.source).as_posix()}", path.read_bytes()) for path in found]
