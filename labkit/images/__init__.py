"""Images of VMs and containers: built from Debian packages, imported, exported, pushed.

Imports nothing else of labkit but the reading of YAML documents.
"""

from labkit.images.builder import build, names, refresh_lock
from labkit.images.errors import (
    BootFailed,
    DefinitionInvalid,
    DiskRefused,
    ImageError,
    ImageInUse,
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
from labkit.images.store import BuiltImage, builds, find, installed, remove, users
from labkit.images.tools import BUILD_PACKAGES
from labkit.images.transfer import FORMATS, give, push, take
from labkit.images.trial import Boot, boots

__all__ = [
    "BUILD_PACKAGES",
    "FORMATS",
    "Boot",
    "BootFailed",
    "BuiltImage",
    "DefinitionInvalid",
    "DiskRefused",
    "ImageError",
    "ImageInUse",
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
    "boots",
    "build",
    "builds",
    "find",
    "give",
    "installed",
    "names",
    "push",
    "refresh_lock",
    "remove",
    "take",
    "users",
]
