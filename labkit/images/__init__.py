"""Machine images built from Debian packages: recipe, lock, builder. Imports nothing else of labkit."""

from labkit.images.builder import build, refresh_lock
from labkit.images.errors import (
    ImageError,
    ImageUnknown,
    LockInvalid,
    MirrorUnknown,
    PackageCorrupt,
    PackageVanished,
    RecipeBroken,
    ToolFailed,
    ToolMissing,
)
from labkit.images.lock import Lock, LockDifference, LockedPackage
from labkit.images.recipe import names
from labkit.images.store import BuiltImage, find, installed
from labkit.images.tools import BUILD_PACKAGES

__all__ = [
    "BUILD_PACKAGES",
    "BuiltImage",
    "ImageError",
    "ImageUnknown",
    "Lock",
    "LockDifference",
    "LockInvalid",
    "LockedPackage",
    "MirrorUnknown",
    "PackageCorrupt",
    "PackageVanished",
    "RecipeBroken",
    "ToolFailed",
    "ToolMissing",
    "build",
    "find",
    "installed",
    "names",
    "refresh_lock",
]
