"""From what a person types to a template's folder: a path, a template of the operator's, a bundled one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labkit.errors import Invalid, NotFound
from labkit.templates.load import FILE, load
from labkit.templates.scalars import LABEL
from labkit.wording import did_you_mean

BUNDLED = Path(__file__).parent / "bundled"


@dataclass(frozen=True)
class Available:
    """A template that can be started by name. `source` is own or bundled; `problem` is a sentence, or empty."""

    name: str
    title: str
    source: str
    folder: Path
    problem: str = ""


def find(name_or_path: str, templates_dir: Path, *, paths: bool = True) -> Path:
    """The folder of a template: a path (unless `paths` is False), one in `templates_dir`, or a bundled one.

    Pass `paths=False` for what came over the network. Raises NotFound with the nearest or all known names.
    """
    if paths and (Path(name_or_path).expanduser() / FILE).is_file():
        return Path(name_or_path).expanduser().absolute()
    if LABEL.fullmatch(name_or_path):
        for parent in (templates_dir, BUNDLED):
            if (parent / name_or_path / FILE).is_file():
                return parent / name_or_path
    known = _folders(templates_dir)
    raise NotFound(f"there is no template '{name_or_path}'{did_you_mean(name_or_path, known)}")


def available(templates_dir: Path) -> list[Available]:
    """All templates that have a name here, sorted; one of the operator's hides a bundled one of its name."""
    return [_describe(name, folder) for name, folder in sorted(_folders(templates_dir).items())]


def _folders(templates_dir: Path) -> dict[str, Path]:
    found = {}
    for parent in (BUNDLED, templates_dir):
        for file in parent.glob(f"*/{FILE}"):
            if LABEL.fullmatch(file.parent.name):
                found[file.parent.name] = file.parent
    return found


def _describe(name: str, folder: Path) -> Available:
    source = "bundled" if folder.parent == BUNDLED else "own"
    try:
        return Available(name, load(folder).title, source, folder)
    except Invalid as invalid:
        count = len(invalid.faults)
        problem = f"{count} {'fault' if count == 1 else 'faults'}: run 'labkit lint {name}'"
        return Available(name, "", source, folder, problem)
