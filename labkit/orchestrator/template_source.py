"""Where labs' templates come from: bundled ones, the operator's folder, or a path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labkit.errors import Invalid, NotFound
from labkit.linting import lint
from labkit.templates import Template, find, load


@dataclass(frozen=True)
class TemplateSource:
    """Finds and reads templates. `folder` holds the operator's own."""

    folder: Path

    def resolve(self, name_or_path: str) -> str:
        """What to write down for a template so that `load` finds it again from anywhere: its name, or a whole path.

        A name wins over a folder of the same name: `./NAME` means the folder. Raises NotFound, naming what there is.
        """
        if "/" not in name_or_path and not name_or_path.startswith("."):
            try:
                find(name_or_path, self.folder, paths=False)
            except NotFound:
                if not Path(name_or_path).is_dir():
                    raise
            else:
                return name_or_path
        return str(find(name_or_path, self.folder).resolve())

    def check(self, resolved: str) -> Template:
        """The template, once all of it is found good: lab.yaml, checks and pages. Raises NotFound or Invalid."""
        template = self.load(resolved)
        faults = lint(template.folder)
        if faults:
            raise Invalid(faults)
        return template

    def load(self, resolved: str) -> Template:
        """The template that `resolve` found. Raises NotFound or Invalid (with every fault)."""
        return load(find(resolved, self.folder, paths=Path(resolved).is_absolute()))
