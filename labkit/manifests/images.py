"""From an image in a template to the reference that an engine is asked for. Pure."""

from __future__ import annotations

from labkit.templates import Image

EMBEDDED = "localhost/labkit"
"""The registry by whose name the embedded engine knows the images that were built or imported here."""


def reference(image: Image, registry: str) -> str:
    """The reference of a containerDisk or of a container's image; `registry` is where the bundled ones are.

    Images from `url` and `clone` have none: they fill volumes.
    """
    return f"{registry}/{image.reference}:latest" if image.source == "bundled" else image.reference
