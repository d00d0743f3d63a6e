"""Templates: what an author writes (`lab.yaml`, checks, media), read into plain values with every fault and its line.

Knows nothing of Kubernetes, and nothing of the instructions; `labkit.linting` puts the two together.
"""

import importlib
import sys
from types import ModuleType

from labkit.templates.catalogue import CATALOGUE, BundledImage, bundled_image
from labkit.templates.files import digest, media_file
from labkit.templates.find import Available, available, find
from labkit.templates.hints import hints
from labkit.templates.keys import json_schema
from labkit.templates.load import Outline, load, outline
from labkit.templates.schema import (
    BESIDE,
    Attachment,
    Conduct,
    Disk,
    File,
    FileSet,
    Image,
    Lifetime,
    Machine,
    Mount,
    Network,
    Readiness,
    Script,
    Service,
    Template,
    User,
    Variable,
    Volume,
)
from labkit.templates.variables import ADDRESS, BUILT_IN_VARIABLES, declared, fill, names_in, values

__all__ = [
    "ADDRESS",
    "BESIDE",
    "BUILT_IN_VARIABLES",
    "CATALOGUE",
    "Attachment",
    "Available",
    "BundledImage",
    "Conduct",
    "Disk",
    "File",
    "FileSet",
    "Image",
    "Lifetime",
    "Machine",
    "Mount",
    "Network",
    "Outline",
    "Readiness",
    "Script",
    "Service",
    "Template",
    "User",
    "Variable",
    "Volume",
    "available",
    "bundled_image",
    "declared",
    "digest",
    "fill",
    "find",
    "hints",
    "json_schema",
    "load",
    "media_file",
    "names_in",
    "outline",
    "values",
]


class _Called(ModuleType):
    """`labkit.templates()` lists the templates in a notebook, and this package has the same name: it can be called."""

    def __call__(self) -> object:
        # By name: templates know nothing of notebooks, and nothing is loaded for who does not call.
        return importlib.import_module("labkit.jupyter.lab").templates()


sys.modules[__name__].__class__ = _Called
