"""Building an image from its recipe and its lock, and refreshing the lock."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from labkit.images import debian, disk, recipe, rootfs, store, tools
from labkit.images.errors import LockInvalid, PackageVanished, RecipeBroken
from labkit.images.lock import Lock, LockDifference, difference, load
from labkit.images.recipe import Recipe
from labkit.images.store import BuiltImage

KERNEL_PREFIX = "linux-image-"

Progress = Callable[[str], None]


def _silent(_: str) -> None:
    """Where nobody wants to know."""


def build(
    name: str, *, images_dir: Path, cache_dir: Path, progress: Progress = _silent, strict: bool = False
) -> BuiltImage:
    """Build an image unless it is there already; packages are kept in `cache_dir`.

    The lock decides what goes in. Where Debian no longer has a locked version, the packages of today are used and
    `progress` is told what differs; with `strict` that is an error. Raises ImageError.
    """
    made = recipe.load(name)
    lock = load(made.lock_path)
    built = store.find(name, images_dir)
    if built and store.inputs_of(name, images_dir) in _acceptable(made, lock, cache_dir, strict=strict):
        return built
    tools.require()
    with store.exclusive(name, images_dir, progress) as work:
        # Whoever held the lock before may just have built it.
        built = store.find(name, images_dir)
        if built and store.inputs_of(name, images_dir) in _acceptable(made, lock, cache_dir, strict=strict):
            return built
        progress(f"fetching {len(lock.packages)} Debian packages (those that are not in the cache)")
        used, packages = choose_packages(made, lock, cache_dir, progress, strict=strict)
        _make(made, packages, work, progress)
        return store.publish(
            name, images_dir, work / "disk.qcow2", inputs=_inputs(made, used), packages=len(used.packages)
        )


def refresh_lock(name: str, *, progress: Progress = _silent, path: Path | None = None) -> LockDifference:
    """Write a lock of what Debian has now (to `path`, else to the recipe's own) and say what it changes."""
    made = recipe.load(name)
    tools.require()
    target = path or made.lock_path
    progress("asking Debian for the current versions")
    fresh = debian.resolve(made)
    changes = difference(load(target) if target.exists() else None, fresh)
    fresh.save(target)
    return changes


def _inputs(made: Recipe, lock: Lock) -> str:
    """Digest of all that decides an image."""
    return hashlib.sha256(f"{made.sources_digest()} {lock.digest}".encode()).hexdigest()


def _substitute_path(lock: Lock, cache_dir: Path) -> Path:
    """Where the lock lies that is used instead of one whose packages are gone."""
    return cache_dir / f"{lock.image}-instead-of-{lock.digest[:16]}.json"


def _acceptable(made: Recipe, lock: Lock, cache_dir: Path, *, strict: bool) -> list[str]:
    """The inputs that an image may have been made from to count as built."""
    locks = [lock]
    if not strict:
        locks += filter(None, [_substitute(lock, cache_dir)])
    return [_inputs(made, each) for each in locks]


def _substitute(lock: Lock, cache_dir: Path) -> Lock | None:
    path = _substitute_path(lock, cache_dir)
    try:
        return load(path) if path.exists() else None
    except LockInvalid:
        path.unlink()  # a cache: made again when it is needed
        return None


def choose_packages(
    made: Recipe, lock: Lock, cache_dir: Path, progress: Progress, *, strict: bool
) -> tuple[Lock, dict[str, Path]]:
    """Fetch the packages of a lock, or of today's where some of it are gone and `strict` is not set.

    Returns the lock that is used in the end, and its packages' files by name.
    """
    try:
        return lock, debian.fetch(lock, cache_dir)
    except PackageVanished as error:
        if strict:
            raise
        progress(f"WARNING: {error} Building with today's packages instead; they differ from the lock:")
    fresh = debian.resolve(made)
    for line in difference(lock, fresh).lines():
        progress(f"WARNING:   {line}")
    packages = debian.fetch(fresh, cache_dir)
    fresh.save(_substitute_path(lock, cache_dir))
    return fresh, packages


def _kernel(made: Recipe, packages: dict[str, Path]) -> Path:
    """The package that holds the kernel itself: of those named after it the one with a version in its name."""
    found = [path for name, path in packages.items() if re.match(rf"{KERNEL_PREFIX}\d", name)]
    if len(found) != 1:
        remedy = f"make it again with 'labkit images lock {made.name}'"
        raise RecipeBroken(f"The lock of {made.name} holds {len(found)} kernels, not one; {remedy}.")
    return found[0]


def _make(made: Recipe, packages: dict[str, Path], work: Path, progress: Progress) -> None:
    """Make `disk.qcow2` in the work folder."""
    progress("unpacking")
    kernel = rootfs.read_kernel(_kernel(made, packages))
    shell = rootfs.read_busybox(packages[made.shell_package])
    userland = {n: path for n, path in packages.items() if n != made.shell_package and not n.startswith(KERNEL_PREFIX)}
    folder = work / "root"
    rootfs.write(made, userland, kernel, shell, folder)
    rootfs.fix_times(folder, made.epoch)
    progress("writing the disk")
    modules = [kernel.tree.files[path] for path in rootfs.module_order(kernel, made.early_modules)]
    initrd = disk.initramfs((made.folder / "init").read_bytes(), shell, modules)
    boot = disk.boot_partition(made, kernel.image, initrd, work)
    root = disk.root_partition(made, folder, work)
    disk.disk(made, boot, root, work / "disk.qcow2")
