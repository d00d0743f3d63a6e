"""What an image is made of: recipe.toml of its folder, as values."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from labkit.images.disk import Layout
from labkit.images.errors import ImageUnknown

HERE = Path(__file__).parent
MAKERS = ("debs", "disk", "elf", "recipe", "rootfs")  # the modules that decide what is in such an image


@dataclass(frozen=True)
class Suite:
    """The packages asked for from one Debian suite, and which of their dependencies the lock follows."""

    name: str
    packages: tuple[str, ...]
    follow: tuple[str, ...]
    ignore: tuple[str, ...]


@dataclass(frozen=True)
class Recipe:
    """One image made of files picked from packages; modes and links are by path without a leading slash."""

    name: str
    folder: Path
    layout: Layout
    shell_package: str
    early_modules: tuple[str, ...]
    modules: tuple[str, ...]
    suites: tuple[Suite, ...]
    files: dict[str, list[str]]
    links: dict[str, str]
    modes: dict[str, int]

    @property
    def lock_path(self) -> Path:
        return self.folder / "lock.json"

    def sources_digest(self) -> str:
        """SHA-256 in hex of all that decides the image beside its packages: its folder, and the code that builds."""
        digest = hashlib.sha256()
        own = (path for path in self.folder.rglob("*") if path.is_file())
        inputs = [*(HERE / f"{module}.py" for module in MAKERS), *own]
        for path in sorted(set(inputs) - {self.lock_path}):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(HERE)} {len(content)}\n".encode() + content)
        return digest.hexdigest()


def names() -> list[str]:
    """The images that can be built."""
    return sorted(path.parent.name for path in HERE.glob("*/recipe.toml"))


def load(name: str) -> Recipe:
    """Read the recipe of an image. Raises ImageUnknown."""
    if name not in names():
        raise ImageUnknown(f'There is no image named "{name}"; there are: {", ".join(names())}.')
    folder = HERE / name
    data = tomllib.loads((folder / "recipe.toml").read_text())
    disk, kernel = data["disk"], data["kernel"]
    return Recipe(
        name=name,
        folder=folder,
        layout=Layout(disk["label"], disk["size"], disk["boot"], disk["uuid"], disk["epoch"], kernel["command_line"]),
        shell_package=data["boot"]["shell"],
        early_modules=tuple(kernel["early_modules"]),
        modules=tuple(kernel["modules"]),
        suites=tuple(
            Suite(suite, tuple(part["packages"]), tuple(part["follow"]), tuple(part["ignore"]))
            for suite, part in data["suites"].items()
        ),
        files=data["files"],
        links=data["links"],
        modes=data["modes"],
    )
