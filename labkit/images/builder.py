"""Building an image from its recipe or definition and its lock, and refreshing the lock."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable
from pathlib import Path

from labkit.images import bake, bootstrap, debian, disk, image_yaml, oci, recipe, rootfs, store, tools, trial
from labkit.images.definition import MIB, Definition
from labkit.images.errors import ImageUnknown, LockInvalid, PackageVanished, RecipeBroken
from labkit.images.lock import Lock, LockDifference, difference, load
from labkit.images.recipe import Recipe
from labkit.images.store import BuiltImage

KERNEL_PREFIX = "linux-image-"
BOOT_SIZE = 96
# As tiny's (see its recipe): an emulated boot is shorter without guards that keep users of one machine apart.
COMMAND_LINE = "root=LABEL=root rw console=tty0 console=ttyS0,115200 loglevel=5 panic=10 no_timer_check mitigations=off"

Progress = Callable[[str], None]
Source = Recipe | Definition


def _silent(_: str) -> None:
    """Where nobody wants to know."""


def names() -> list[str]:
    """The images that labkit can build by name."""
    return sorted([*recipe.names(), *image_yaml.bundled()])


def source(name: str) -> Source:
    """What an image is made of: labkit's own by name, anybody's by the path of an image.yaml or its folder.

    Raises ImageUnknown and DefinitionInvalid.
    """
    if name in recipe.names():
        return recipe.load(name)
    path = image_yaml.find(name)
    if path is None:
        raise ImageUnknown(
            f'There is no image named "{name}", nor a file {image_yaml.FILE} there; there are: {", ".join(names())}.'
        )
    return image_yaml.load(path)


def build(
    name: str,
    *,
    images_dir: Path,
    cache_dir: Path,
    progress: Progress = _silent,
    strict: bool = False,
    boot: trial.Boot | None = None,
) -> BuiltImage:
    """Build an image unless it is there already; packages are kept in `cache_dir`.

    The lock decides what goes in. Where Debian no longer has a locked version, the packages of today are used and
    `progress` is told what differs; with `strict` that is an error. With `boot` a VM that does not boot is refused.
    Raises ImageError.
    """
    made = source(name)
    if isinstance(made, Definition) and made.disk:
        base = _base(made, images_dir, cache_dir, progress)
        return bake.build(made, base, images_dir, boot or trial.Boot(), progress)
    lock = _lock_of(made, progress)
    built = store.find(made.name, images_dir)
    if built and store.inputs_of(made.name, images_dir) in _acceptable(made, lock, cache_dir, strict=strict):
        return built
    tools.require(_tools(made))
    with store.exclusive(made.name, images_dir, progress) as work:
        # Whoever held the lock before may just have built it.
        built = store.find(made.name, images_dir)
        if built and store.inputs_of(made.name, images_dir) in _acceptable(made, lock, cache_dir, strict=strict):
            return built
        progress(f"fetching {len(lock.packages)} Debian packages (those that are not in the cache)")
        used, packages = choose_packages(made, lock, cache_dir, progress, strict=strict)
        if isinstance(made, Recipe):
            result = _pick(made, packages, work, progress)
        else:
            result = _install(made, used, packages, work, progress)
        if boot and result.is_file():
            progress("booting it once, to see that it does")
            trial.boots(result, boot, f"The new image {made.name}")
        return store.publish(made.name, images_dir, result, inputs=_inputs(made, used), packages=len(used.packages))


def _base(made: Definition, images_dir: Path, cache_dir: Path, progress: Progress) -> BuiltImage:
    """The image whose disk is to be changed: one that is here, or a recipe's that is built now."""
    found = store.find(made.disk, images_dir)
    if found is None and made.disk in recipe.names():
        found = build(made.disk, images_dir=images_dir, cache_dir=cache_dir, progress=progress)
    if found is None or found.kind != "vm":
        raise ImageUnknown(
            f"{made.name} is based on '{made.disk}', which is no definition, no Debian suite and no VM image here: "
            "see 'labkit images list', and 'labkit images import'."
        )
    return found


def refresh_lock(name: str, *, progress: Progress = _silent, path: Path | None = None) -> LockDifference:
    """Write a lock of what Debian has now (to `path`, else to the image's own) and say what it changes."""
    made = source(name)
    if isinstance(made, Definition) and made.disk:
        raise ImageUnknown(f"{made.name} is made by changing the disk of {made.disk}: it has no lock.")
    tools.require(("apt-get", "apt-cache"))
    target = path or made.lock_path
    progress("asking Debian for the current versions")
    fresh = _resolve(made)
    changes = difference(load(target) if target.exists() else None, fresh)
    fresh.save(target)
    return changes


def _lock_of(made: Source, progress: Progress) -> Lock:
    """The lock beside an image.yaml, which its first build writes. Raises LockInvalid where it lacks a package."""
    if isinstance(made, Recipe):
        return load(made.lock_path)
    if not made.lock_path.exists():
        refresh_lock(str(made.folder), progress=progress)
    lock = load(made.lock_path)
    missing = {*bootstrap.wanted(made)} - {package.name for package in lock.packages}
    if missing:
        raise LockInvalid(
            f"{made.lock_path} holds no {', '.join(sorted(missing))}: refresh it with "
            f"'labkit images build --update-lock {made.folder}'."
        )
    return lock


def _resolve(made: Source) -> Lock:
    if isinstance(made, Recipe):
        return debian.resolve(made)
    first = () if made.from_nothing else ("?essential", "apt")
    return debian.resolve_all(made.name, made.suite, (*first, *bootstrap.wanted(made)))


def _tools(made: Source) -> tuple[str, ...]:
    if isinstance(made, Recipe):
        return tools.TINY_TOOLS
    return (*tools.PACKAGES_TOOLS, *(("umoci",) if made.kind == "container" else tools.DISK_TOOLS))


def _inputs(made: Source, lock: Lock) -> str:
    """Digest of all that decides an image."""
    return hashlib.sha256(f"{made.sources_digest()} {lock.digest}".encode()).hexdigest()


def _substitute_path(lock: Lock, cache_dir: Path) -> Path:
    """Where the lock lies that is used instead of one whose packages are gone."""
    return cache_dir / f"{lock.image}-instead-of-{lock.digest[:16]}.json"


def _acceptable(made: Source, lock: Lock, cache_dir: Path, *, strict: bool) -> list[str]:
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
    made: Source, lock: Lock, cache_dir: Path, progress: Progress, *, strict: bool
) -> tuple[Lock, dict[str, Path]]:
    """Fetch the packages of a lock, or of today's where some of it are gone and `strict` is not set.

    Returns the lock that is used in the end, and its packages' files by name.
    """
    try:
        return lock, debian.fetch(lock, cache_dir, progress)
    except PackageVanished as error:
        if strict:
            raise
        progress(f"WARNING: {error} Building with today's packages instead; they differ from the lock:")
    fresh = _resolve(made)
    for line in difference(lock, fresh).lines():
        progress(f"WARNING:   {line}")
    packages = debian.fetch(fresh, cache_dir, progress)
    fresh.save(_substitute_path(lock, cache_dir))
    return fresh, packages


def _kernel(made: Recipe, packages: dict[str, Path]) -> Path:
    """The package that holds the kernel itself: of those named after it the one with a version in its name."""
    found = [path for name, path in packages.items() if re.match(rf"{KERNEL_PREFIX}\d", name)]
    if len(found) != 1:
        remedy = f"make it again with 'labkit images lock {made.name}'"
        raise RecipeBroken(f"The lock of {made.name} holds {len(found)} kernels, not one; {remedy}.")
    return found[0]


def _pick(made: Recipe, packages: dict[str, Path], work: Path, progress: Progress) -> Path:
    """A disk of files picked from packages."""
    progress("unpacking")
    kernel = rootfs.read_kernel(_kernel(made, packages))
    shell = rootfs.read_busybox(packages[made.shell_package])
    userland = {n: path for n, path in packages.items() if n != made.shell_package and not n.startswith(KERNEL_PREFIX)}
    folder = work / "root"
    rootfs.write(made, userland, kernel, shell, folder)
    rootfs.fix_times(folder, made.layout.epoch)
    progress("writing the disk")
    modules = [kernel.tree.files[path] for path in rootfs.module_order(kernel, made.early_modules)]
    initrd = disk.compressed(disk.initramfs((made.folder / "init").read_bytes(), shell, modules), work)
    (work / "vmlinuz").write_bytes(kernel.image)
    boot = disk.boot_partition(made.layout, work / "vmlinuz", initrd, work)
    root = disk.root_partition(made.layout, folder, work)
    return disk.disk(made.layout, boot, root, work / store.DISK)


def _install(made: Definition, lock: Lock, packages: dict[str, Path], work: Path, progress: Progress) -> Path:
    """A disk, or an OCI layout, of packages that are installed."""
    progress(f"installing {len(lock.packages)} packages")
    archive = bootstrap.bootstrap(made, lock, packages, work)
    if made.kind == "container":
        progress("writing the container image")
        oci.make_container(made, archive, work / store.LAYOUT)
        return work / store.LAYOUT
    progress("writing the disk")
    identity = str(uuid.uuid5(uuid.NAMESPACE_OID, f"labkit {made.name}"))
    layout = disk.Layout("root", made.size // MIB, BOOT_SIZE, identity, bootstrap.EPOCH, COMMAND_LINE)
    boot = disk.boot_partition(layout, *bootstrap.boot_files(archive, work), work)
    return disk.disk(layout, boot, disk.debian_root(layout, archive, work), work / store.DISK)
