"""Where labs' templates come from: bundled ones, the operator's folder, or a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labkit.templates import Template, find, load


@dataclass(frozen=True)
class TemplateSource:
    """Finds and reads templates. `folder` holds the operator's own."""

    folder: Path

    def resolve(self, name_or_path: str) -> str:
        """What to write down for a template so that `load` finds it again from anywhere: its name, or a whole path.

        Raises NotFound, naming what there is.
        """
        found = find(name_or_path, self.folder)
        return name_or_path if find_by_name(name_or_path, self.folder) == found else str(found.absolute())

    def load(self, resolved: str) -> Template:
        """The template. Raises NotFound or Invalid (with every fault)."""
        return load(find(resolved, self.folder))


def find_by_name(name: str, folder: Path) -> Path | None:
    """The template of this name, where `name` is a bare name and no path."""
    return find(name, folder, paths=False) if "/" not in name and not name.startswith(".") else None
