"""Where images lie: `<images_dir>/<name>/<digest>/` with `disk.qcow2` or `oci/` and `meta.json`; the link `current`.

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

from labkit.images import oci, qcow2
from labkit.images.disk import clean
from labkit.images.errors import ImageInUse, ImageUnknown

CURRENT = "current"
DISK, LAYOUT = "disk.qcow2", "oci"
WORK_PREFIX = ".work-"


class Meta(TypedDict):
    """The content of meta.json; `inputs` is the digest of all that the image was made from."""

    name: str
    kind: str
    digest: str
    size: int
    built: str
    packages: int
    inputs: str


@dataclass(frozen=True)
class BuiltImage:
    """An image that is ready to run. `digest` is the SHA-256 in hex of the disk, or of the container's manifest.

    `kind` is vm or container; `size` is what it takes on disk, in bytes; `packages` is 0 for an imported one.
    """

    name: str
    kind: str
    digest: str
    folder: Path
    size: int
    built: datetime
    packages: int

    @property
    def disk(self) -> Path:
        """A VM's disk."""
        return self.folder / DISK

    @property
    def oci(self) -> Path:
        """A container's OCI layout, with one image tagged `latest`."""
        return self.folder / LAYOUT

    @property
    def path(self) -> Path:
        """The one of them that is there."""
        return self.disk if self.kind == "vm" else self.oci


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
        kind=data.get("kind", "vm"),
        digest=data["digest"],
        folder=folder,
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
        with scratch(home / CURRENT) as work:
            yield work


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder for a moment, on the same file system as an image's; what a killed one left is cleared by a build."""
    work = Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir=folder.parent))
    try:
        yield work
    finally:
        clean(work)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish(name: str, images_dir: Path, made: Path, *, inputs: str = "", packages: int = 0) -> BuiltImage:
    """Move a finished disk or OCI layout to its place and make it the current one, as the very last step."""
    container = made.is_dir()
    digest = oci.digest(made) if container else sha256(made)
    size = oci.size(made) if container else made.stat().st_size
    home = images_dir / name
    folder = home / digest[:16]
    staged = made.parent / "publish"
    staged.mkdir()
    if not container:
        made.chmod(0o444)
    made.rename(staged / (LAYOUT if container else DISK))
    data: Meta = {
        "name": name,
        "kind": "container" if container else "vm",
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
    link = made.parent / CURRENT
    link.symlink_to(folder.name)
    os.replace(link, home / CURRENT)
    return _image(name, folder, data)


def builds(name: str, images_dir: Path) -> list[BuiltImage]:
    """All builds of a name, the current one first."""
    current = find(name, images_dir)
    metas = [meta for meta in (images_dir / name).glob("*/meta.json") if not meta.parent.is_symlink()]
    found = [_image(name, meta.parent, json.loads(meta.read_text())) for meta in metas]
    older = [image for image in found if current is None or image.folder != current.folder]
    return [*([current] if current else []), *sorted(older, key=lambda image: image.built, reverse=True)]


def users(image: BuiltImage, state_dir: Path) -> list[Path]:
    """The disks below a state folder that lie on an image, as their headers say: each is one machine's."""
    headers = ((path, qcow2.header(path)) for path in sorted(state_dir.rglob("*.qcow2")) if path.is_file())
    return [path for path, head in headers if head and head.backing and Path(head.backing).is_relative_to(image.folder)]


def remove(name: str, images_dir: Path, state_dir: Path, *, old_only: bool = False, force: bool = False) -> int:
    """Delete the builds of a name (with `old_only` those that are not current and not used); returns the bytes freed.

    Raises ImageUnknown, and ImageInUse where disks of labs lie on one, unless `force` is set.
    """
    found = builds(name, images_dir)
    if not found:
        raise ImageUnknown(f"No image named \"{name}\" is here: see 'labkit images list'.")
    used = {image.folder: users(image, state_dir) for image in found}
    if old_only:
        found = [image for image in found[1:] if not used[image.folder]]
    elif any(used.values()) and not force:
        first = next(disks[0] for disks in used.values() if disks)
        raise ImageInUse(
            f"Image {name} is used by disks of labs ({first}; {sum(map(len, used.values()))} in all): "
            "end these labs first, or say --force and lose them."
        )
    with exclusive(name, images_dir, lambda _: None) as work:
        if not old_only:
            (images_dir / name / CURRENT).unlink(missing_ok=True)
        for image in found:
            image.folder.rename(work / image.folder.name)
    if not old_only:
        clean(images_dir / name)
    return sum(image.size for image in found)
