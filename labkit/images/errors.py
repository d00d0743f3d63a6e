"""What can go wrong with an image. Each message is one sentence: the thing, the fault, the remedy.

ImageError
    ImageUnknown      no recipe of that name
    ToolMissing       a program that the build needs is not installed
    ToolFailed        such a program ended with an error
    MirrorUnknown     apt on this machine names no Debian mirror
    LockInvalid       lock.json is missing or damaged
    PackageVanished   the mirror no longer has a locked version
    PackageCorrupt    a package does not have the hash of the lock
    RecipeBroken      the packages lack a file that the recipe names
    DefinitionInvalid image.yaml has faults (a line each)
    DiskRefused       a file is no disk that may be used
    BootFailed        a disk does not boot
    ImageInUse        disks of labs lie on the image
"""


class ImageError(Exception):
    """Root of all errors of this package."""


class ImageUnknown(ImageError):
    """There is no recipe of that name."""


class ToolMissing(ImageError):
    """A program that the build needs is not installed."""


class ToolFailed(ImageError):
    """A program of the build ended with an error; `output` is all that it said."""

    def __init__(self, message: str, output: str = "") -> None:
        super().__init__(message)
        self.output = output


class MirrorUnknown(ImageError):
    """apt on this machine names no Debian mirror."""


class LockInvalid(ImageError):
    """lock.json is missing or damaged."""


class PackageVanished(ImageError):
    """The mirror no longer has a locked version."""


class PackageCorrupt(ImageError):
    """A package does not have the hash of the lock."""


class RecipeBroken(ImageError):
    """The packages lack a file that the recipe names."""


class DefinitionInvalid(ImageError):
    """image.yaml has faults; the message has a line for each."""


class DiskRefused(ImageError):
    """A file that is no disk, is damaged, or would have others read with it."""


class BootFailed(ImageError):
    """A disk that did not boot in time."""


class ImageInUse(ImageError):
    """Disks of labs lie on the image."""
