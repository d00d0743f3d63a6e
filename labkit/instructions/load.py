"""The only reading of files in this part: a template's texts and the names of its media."""

from __future__ import annotations

import re
from pathlib import Path

from labkit.errors import Fault, Invalid

FOLDER = "instructions"
MOST_BYTES = 1 << 20


def load_pages(folder: Path) -> list[tuple[str, str]]:
    """The texts of the template in `folder`: file name and text, in reading order (numbers in names count as numbers).

    File names are relative to the folder of the instructions: `1-start.md`, `de/1-start.md`, `shared/rules.md`.

    Raises Invalid for a page that is no UTF-8 text of at most 1 MiB.
    """
    pages, faults = [], []
    root = folder / FOLDER
    for path in sorted(root.rglob("*.md"), key=lambda path: _reading_order(path.relative_to(root).as_posix())):
        name = path.relative_to(root).as_posix()
        if path.stat().st_size > MOST_BYTES:
            faults.append(Fault(f"{FOLDER}/{name}", 0, f"has more than {MOST_BYTES} bytes; make it several pages"))
            continue
        try:
            pages.append((name, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            faults.append(Fault(f"{FOLDER}/{name}", 0, "is not UTF-8 text"))
    if faults:
        raise Invalid(faults)
    return pages


def _reading_order(name: str) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"[0-9]+|[^0-9]+", name)]


def media_files(folder: Path) -> frozenset[str]:
    """The files that pages of the template in `folder` may show, as `media/…`."""
    found = (folder / "media").rglob("*")
    return frozenset(path.relative_to(folder).as_posix() for path in found if path.is_file())
