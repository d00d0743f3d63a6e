"""Where built images lie: `<images_dir>/<name>/<digest>/disk.qcow2` and `meta.json`, and the link `current`.

A folder with a digest never changes once it is there: disks of running machines lie on top of it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from labkit.images.disk import clean

CURRENT = "current"
WORK_PREFIX = ".work-"


class Meta(TypedDict):
    """The content of meta.json; `inputs` is the digest of all that the image was made from."""

    name: str
    digest: str
    size: int
    built: str
    packages: int
    inputs: str


@dataclass(frozen=True)
class BuiltImage:
    """An image that is ready to boot. `digest` is the disk's SHA-256 in hex, `size` its file's size in bytes."""

    name: str
    digest: str
    disk: Path
    size: int
    built: datetime
    packages: int


def find(name: str, images_dir: Path) -> BuiltImage | None:
    """The current image of that name, or None where none was built."""
    meta = _meta(name, images_dir)
    if meta is None:
        return None
    return _image(name, *meta)


def installed(images_dir: Path) -> list[BuiltImage]:
    """The current image of each name, by name."""
    found = (find(link.parent.name, images_dir) for link in sorted(images_dir.glob(f"*/{CURRENT}")))
    return [image for image in found if image is not None]


def inputs_of(name: str, images_dir: Path) -> str | None:
    """What the current image was made from (the digest given to `publish`)."""
    meta = _meta(name, images_dir)
    return meta[1]["inputs"] if meta else None


def _image(name: str, folder: Path, data: Meta) -> BuiltImage:
    return BuiltImage(
        name=name,
        digest=data["digest"],
        disk=folder / "disk.qcow2",
        size=data["size"],
        built=datetime.fromisoformat(data["built"]),
        packages=data["packages"],
    )


def _meta(name: str, images_dir: Path) -> tuple[Path, Meta] | None:
    try:
        home = images_dir / name
        folder = home / (home / CURRENT).readlink()
        return folder, json.loads((folder / "meta.json").read_text())
    except FileNotFoundError:
        return None


@contextmanager
def exclusive(name: str, images_dir: Path, progress: Callable[[str], None]) -> Iterator[Path]:
    """Be the only build of an image; yields a fresh folder on the same file system. Clears what a killed build left."""
    home = images_dir / name
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"another build of {name} is running: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in home.glob(f"{WORK_PREFIX}*"):
            clean(left)
        work = Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir=home))
        try:
            yield work
        finally:
            clean(work)


def publish(name: str, images_dir: Path, disk: Path, *, inputs: str, packages: int) -> BuiltImage:
    """Move a finished disk to its place and make it the current one, as the very last step."""
    with disk.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    home = images_dir / name
    folder = home / digest[:16]
    disk.chmod(0o444)
    staged = disk.parent / "publish"
    staged.mkdir()
    disk.rename(staged / "disk.qcow2")
    size = (staged / "disk.qcow2").stat().st_size
    data: Meta = {
        "name": name,
        "digest": digest,
        "size": size,
        "built": datetime.now(UTC).isoformat(timespec="seconds"),
        "packages": packages,
        "inputs": inputs,
    }
    (staged / "meta.json").write_text(json.dumps(data, indent=2) + "\n")
    if folder.exists():
        # The same disk from other inputs (a changed comment, say): only what is known about it is new.
        os.replace(staged / "meta.json", folder / "meta.json")
    else:
        staged.rename(folder)
    link = disk.parent / CURRENT
    link.symlink_to(folder.name)
    os.replace(link, home / CURRENT)
    return _image(name, folder, data)
