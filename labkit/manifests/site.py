"""What an engine is like around a lab, as its operator has set it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.errors import SetupError
from labkit.templates import Image

EMBEDDED = "localhost/labkit"
"""The registry by whose name the embedded engine knows the images that were built or imported here."""


@dataclass(frozen=True)
class Site:
    """Where things are: `registry` has labkit's own images; `kubevirt` and `gateway` are namespaces.

    `gateway` is "" where the gateway does not run in the cluster. `closed` are ranges of pods, Services or nodes that
    are not private, so that `internet` would lead there.
    """

    registry: str = EMBEDDED
    kubevirt: str = "kubevirt"
    gateway: str = ""
    closed: tuple[str, ...] = ()

    def image(self, image: Image) -> str:
        """The reference of a containerDisk or of a container's image (those from `url` and `clone` fill volumes).

        Raises SetupError for a bundled one where no registry is set.
        """
        if image.source != "bundled":
            return image.reference
        if not self.registry:
            raise SetupError(
                f"the image '{image.reference}' has to come from a registry on a cluster: push it with 'labkit images "
                f"push {image.reference} REGISTRY', and set LABKIT_IMAGE_REGISTRY to that REGISTRY"
            )
        return f"{self.registry}/{image.reference}:latest"
