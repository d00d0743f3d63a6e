"""The template store: templates of an installation, fetched from folders, archives and Git, kept by their content.

TEMPLATES_DIR/NAME -> .versions/DIGEST    what is started under that name (a folder put there by hand will do too)
TEMPLATES_DIR/.versions/DIGEST/           each content that was added or started: running labs keep theirs
"""

from labkit.library.shelf import (
    Added,
    StepChanges,
    add,
    held,
    keep,
    meant,
    only,
    prune,
    publish,
    remove,
    step_changes,
    version,
)
from labkit.library.sources import fetched
from labkit.library.starter import begin
from labkit.library.strangers import check_address, cloned, unpacked

__all__ = [
    "Added",
    "StepChanges",
    "add",
    "begin",
    "check_address",
    "cloned",
    "fetched",
    "held",
    "keep",
    "meant",
    "only",
    "prune",
    "publish",
    "remove",
    "step_changes",
    "unpacked",
    "version",
]
