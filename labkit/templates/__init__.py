"""Templates: what an author writes (`lab.yaml`, checks, media), read into plain values with every fault and its line.

Knows nothing of Kubernetes, and nothing of the instructions; `labkit.linting` puts the two together.
"""

from labkit.templates.catalogue import CATALOGUE, BundledImage, bundled_image, image_reference
from labkit.templates.files import digest, media_file
from labkit.templates.find import Available, available, find
from labkit.templates.load import Outline, load, outline
from labkit.templates.schema import (
    BUILT_IN_VARIABLES,
    Check,
    Image,
    Lifetime,
    Machine,
    Network,
    Template,
    User,
    Variable,
    values,
)

__all__ = [
    "BUILT_IN_VARIABLES",
    "CATALOGUE",
    "Available",
    "BundledImage",
    "Check",
    "Image",
    "Lifetime",
    "Machine",
    "Network",
    "Outline",
    "Template",
    "User",
    "Variable",
    "available",
    "bundled_image",
    "digest",
    "find",
    "image_reference",
    "load",
    "media_file",
    "outline",
    "values",
]
