"""Where labs' templates come from: bundled ones, the operator's folder, or a path."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from labkit.errors import Invalid, NotFound
from labkit.library import keep, version
from labkit.linting import lint
from labkit.model import Offer
from labkit.templates import Template, available, find, load


@dataclass(frozen=True)
class TemplateSource:
    """Finds and reads templates. `folder` holds the operator's own. Without `paths`, only what has a name is found: for
    who asks over the network."""

    folder: Path
    paths: bool = True

    def offers(self) -> list[Offer]:
        """What has a name and no fault."""
        good = [load(each.folder) for each in available(self.folder) if not each.problem]
        return [Offer(each.name, each.title, each.description, each.duration_minutes, each.tags) for each in good]

    def resolve(self, name_or_path: str) -> str:
        """What to write down for a template so that `load` finds it again from anywhere: its name, or a whole path.

        A name wins over a folder of the same name: `./NAME` means the folder. Raises NotFound, naming what there is.
        """
        if not self.paths:
            find(name_or_path, self.folder, paths=False)
            return name_or_path
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
        """The template, once all of it is found good: lab.yaml, checks and pages. Raises NotFound or Invalid.

        What has a name is kept as it is now, so that labs that are started with it have it to their end. A folder given
        by its path is its author's, who wants to see what he changes: it is read where it lies.
        """
        template = self.load(resolved)
        faults = lint(template.folder)
        if faults:
            raise Invalid(faults)
        if not Path(resolved).is_absolute():
            keep(template, self.folder)
        return template

    def load(self, resolved: str, digest: str = "") -> Template:
        """The template that `resolve` found, in the version `digest` if that was kept. Raises NotFound or Invalid (with
        every fault)."""
        kept = version(self.folder, digest)
        return _unchanging(kept) if kept else load(find(resolved, self.folder, paths=Path(resolved).is_absolute()))


@lru_cache(maxsize=64)
def _unchanging(version: Path) -> Template:
    """A version, read once in a process: its folder is named by its content. (Each look at a lab asks for it, and half
    of what such a look took was reading YAML.)"""
    return load(version)
