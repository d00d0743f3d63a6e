"""The files of an image: chosen from the packages, completed by libraries and modules, written to a folder."""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from labkit.images import debs, elf
from labkit.images.debs import Tree
from labkit.images.errors import RecipeBroken
from labkit.images.recipe import Recipe
from labkit.images.tools import run

LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = "usr/lib64/ld-linux-x86-64.so.2"
DIRECTORIES = (
    *(
        "dev",
        "home",
        "mnt",
        "proc",
        "root",
        "run",
        "srv",
        "sys",
        "tmp",
        "usr/local/bin",
        "var/lib",
        "var/log",
        "var/tmp",
    ),
    *("etc/labkit", "etc/profile.d", "etc/ssh", "etc/sudoers.d"),
)
STATIC_BUSYBOX = "usr/lib/labkit/busybox"


@dataclass(frozen=True)
class Kernel:
    """The kernel image, its version, and its modules by name (`-` written as `_`)."""

    image: bytes
    version: str
    modules: dict[str, str]
    tree: Tree


def read_kernel(package: Path) -> Kernel:
    """Take kernel and modules out of the kernel's package. Raises RecipeBroken."""
    tree = debs.read(package, lambda path: path.startswith(("boot/vmlinuz-", "usr/lib/modules/")))
    images = [path for path in tree.files if path.startswith("boot/vmlinuz-")]
    if len(images) != 1:
        raise RecipeBroken(f"The package {package.name} holds {len(images)} kernels, not one: adapt the recipe.")
    modules = {module_name(path): path for path in tree.files if path.endswith(".ko")}
    return Kernel(tree.files[images[0]], images[0].removeprefix("boot/vmlinuz-"), modules, tree)


def module_name(path: str) -> str:
    """`…/virtio-rng.ko` -> `virtio_rng`."""
    return posixpath.basename(path).removesuffix(".ko").replace("-", "_")


def module_order(kernel: Kernel, names: Iterable[str]) -> list[str]:
    """Paths of modules and all they depend on, each after what it needs. Raises RecipeBroken."""
    ordered: dict[str, None] = {}

    def add(name: str) -> None:
        path = kernel.modules.get(name.replace("-", "_"))
        if path is None:
            raise RecipeBroken(f"Kernel {kernel.version} has no module {name}: adapt the recipe.")
        if path not in ordered:
            for dependency in _depends(kernel.tree.files[path]):
                add(dependency)
            ordered[path] = None

    for name in names:
        add(name)
    return list(ordered)


def _depends(module: bytes) -> list[str]:
    match = re.search(rb"\0depends=([^\0]*)\0", module)
    return [name for name in match.group(1).decode().split(",") if name] if match else []


def choose(recipe: Recipe, packages: dict[str, Path]) -> Tree:
    """The files that the recipe names and the shared libraries that they need. Raises RecipeBroken."""
    everything, chosen = Tree(), Tree()
    roots: list[str] = []
    for name, package in packages.items():
        tree = debs.read(package, lambda file: not file.startswith("usr/share/"))
        everything.update(tree)
        for pattern in recipe.files.get(name, []):
            matches = fnmatch.filter([*tree.files, *tree.links], pattern)
            if not matches:
                raise RecipeBroken(f"The package {name} has no file {pattern}: adapt recipe.toml of {recipe.name}.")
            roots += matches
    queue = [*roots, LOADER]
    while queue:
        wanted = queue.pop()
        path, chain = _found(everything, wanted)
        chosen.links.update({link: everything.links[link] for link in chain})
        if path not in chosen.files:
            chosen.files[path] = everything.files[path]
            queue += [f"{LIBRARIES}/{name}" for name in elf.needed(everything.files[path])]
    return chosen


def _found(tree: Tree, path: str) -> tuple[str, list[str]]:
    try:
        return tree.follow(path)
    except KeyError as error:
        raise RecipeBroken(f"None of the packages holds {path}, which the image needs: adapt the recipe.") from error


def read_busybox(package: Path) -> bytes:
    """The one program of the static busybox package."""
    path = "usr/bin/busybox"
    return debs.read(package, lambda file: file == path).files[path]


def write(recipe: Recipe, packages: dict[str, Path], kernel: Kernel, shell: bytes, folder: Path) -> None:
    """Write the root file system to a folder; `shell` is the static busybox."""
    for old, new in debs.MERGED.items():
        (folder / new).mkdir(parents=True, exist_ok=True)
        (folder / old).symlink_to(posixpath.relpath(new, posixpath.dirname(old)))
    for directory in DIRECTORIES:
        (folder / directory).mkdir(parents=True, exist_ok=True)
    tree = choose(recipe, packages)
    tree.files[STATIC_BUSYBOX] = shell
    tree.links.update(recipe.links)
    for path in module_order(kernel, recipe.modules):
        tree.files[path] = kernel.tree.files[path]
    for part in ("order", "builtin", "builtin.modinfo"):
        path = f"usr/lib/modules/{kernel.version}/modules.{part}"
        tree.files[path] = kernel.tree.files[path]
    for path, content in tree.files.items():
        _write_file(folder / path, content)
    _copy_own(recipe.folder / "root", folder)
    for path, target in tree.links.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(target)
    _link_applets(folder)
    run(["depmod", "--basedir", folder, kernel.version])
    for path, mode in recipe.modes.items():
        (folder / path).chmod(mode)


def _copy_own(source: Path, folder: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            _write_file(folder / path.relative_to(source), path.read_bytes())


def _write_file(path: Path, content: bytes) -> None:
    """A script or program may be run by all; a wheel would not have kept that."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755 if content.startswith((b"#!", elf.MAGIC)) else 0o644)


def _link_applets(folder: Path) -> None:
    """A link for each applet of busybox that no other program has the name of, asked from busybox itself."""
    loader: list[str | Path] = [folder / LOADER, "--library-path", folder / LIBRARIES]
    for applet in run([*loader, folder / "usr/bin/busybox", "--list"]).split():
        if not os.path.lexists(folder / "usr/bin" / applet):
            (folder / "usr/bin" / applet).symlink_to("busybox")


def fix_times(folder: Path, epoch: int) -> None:
    """Give everything below a folder one time stamp, in seconds, so that a second build makes the same image."""
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (epoch, epoch), follow_symlinks=False)
