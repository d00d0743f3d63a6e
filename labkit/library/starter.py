"""A new template to begin with: a small one that works, or a copy of another."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from labkit.documents import Wrong
from labkit.errors import Conflict
from labkit.templates import scalars
from labkit.templates.files import files
from labkit.templates.find import BUNDLED

STARTER = BUNDLED.parent / "starter"


def begin(folder: Path, source: Path | None = None) -> Path:
    """Make the template `folder`, named as the folder is. Raises Conflict where something is there, or for no name."""
    source = source or STARTER
    try:
        name = scalars.label(folder.name)
    except Wrong as wrong:
        raise Conflict(str(wrong)) from None
    if folder.exists():
        raise Conflict(f"'{folder}' is there already; choose another name")
    for file in files(source):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / file, folder / file, follow_symlinks=False)
    text = (folder / "lab.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^name:.*$", f"name: {name}", text, count=1)
    text = text.replace("title: TITLE", f"title: {name.replace('-', ' ').capitalize()}")
    (folder / "lab.yaml").write_text(text, encoding="utf-8")
    return folder
