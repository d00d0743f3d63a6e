"""The lock file: exactly which Debian packages an image is made of. Pure but for load and save."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from labkit.images.errors import LockInvalid

FORMAT = 1


@dataclass(frozen=True)
class LockedPackage:
    """One Debian package: `path` is its place on any mirror, without the host; `size` is in bytes."""

    name: str
    version: str
    architecture: str
    suite: str
    path: str
    size: int
    sha256: str

    @property
    def cache_name(self) -> str:
        """A file name that no other content can have."""
        return f"{self.sha256[:16]}-{PurePosixPath(self.path).name}"


@dataclass(frozen=True)
class Lock:
    """All packages of one image, sorted by suite and name."""

    image: str
    packages: tuple[LockedPackage, ...]

    @classmethod
    def of(cls, image: str, packages: Iterable[LockedPackage]) -> Lock:
        return cls(image, tuple(sorted(packages, key=lambda package: (package.suite, package.name))))

    @property
    def digest(self) -> str:
        """SHA-256 of the content, in hex: equal for equal packages, however the file is laid out."""
        return hashlib.sha256(self.text().encode()).hexdigest()

    def text(self) -> str:
        """The file's content."""
        packages = ",\n  ".join(json.dumps(asdict(package)) for package in self.packages)
        head = f'"format": {FORMAT}, "image": {json.dumps(self.image)}'
        return f'{{{head}, "packages": [\n  {packages}\n]}}\n'

    def save(self, path: Path) -> None:
        """Replace the file at once, so that a reader never sees half of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(self.text())
        fresh.replace(path)


def load(path: Path) -> Lock:
    """Read a lock file. Raises LockInvalid."""
    try:
        data = json.loads(path.read_text())
        packages = [LockedPackage(**package) for package in data["packages"]]
        if data["format"] != FORMAT or not packages:
            raise ValueError("unknown format or no packages")
        return Lock.of(data["image"], packages)
    except (OSError, ValueError, TypeError, KeyError) as error:
        remedy = f"make it again with 'labkit images lock {path.parent.name}'"
        raise LockInvalid(f"The lock file {path} cannot be read ({error}); {remedy}.") from error


@dataclass(frozen=True)
class LockDifference:
    """What a refreshed lock changes; `changed` holds (old, new)."""

    added: tuple[LockedPackage, ...] = ()
    removed: tuple[LockedPackage, ...] = ()
    changed: tuple[tuple[LockedPackage, LockedPackage], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def lines(self) -> list[str]:
        """One line a package, ready to print."""
        return [
            *(f"+ {package.name} {package.version} ({package.suite})" for package in self.added),
            *(f"- {package.name} {package.version} ({package.suite})" for package in self.removed),
            *(f"~ {old.name} {old.version} -> {new.version} ({new.suite})" for old, new in self.changed),
        ]


def difference(old: Lock | None, new: Lock) -> LockDifference:
    """What `new` changes against `old`; without `old` everything is added."""
    before = {package.name: package for package in old.packages} if old else {}
    after = {package.name: package for package in new.packages}
    return LockDifference(
        added=tuple(package for name, package in after.items() if name not in before),
        removed=tuple(package for name, package in before.items() if name not in after),
        changed=tuple((before[n], after[n]) for n in after if n in before and before[n] != after[n]),
    )
