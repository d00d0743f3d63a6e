"""From an image in a template to what an engine is asked for. Pure."""

from __future__ import annotations

from labkit.errors import NotBuilt
from labkit.templates import Image

EMBEDDED = "localhost/labkit"
"""The registry by whose name the embedded engine knows the images that were built or imported here."""


def reference(image: Image, registry: str) -> str:
    """The image's reference, of a containerDisk or a container. `registry` has the bundled ones.

    Raises NotBuilt for a source that is no registry.
    """
    if image.source == "bundled":
        return f"{registry}/{image.reference}:latest"
    raise NotBuilt(f"an image from '{image.source}' is not built in this version; use a bundled one")
