"""The templates that are ready: found by key, counted, bounded, dropped."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from labkit.local.files import make_private, remove_tree, write_atomically

log = logging.getLogger(__name__)

MOST_FAILURES = 2
_ABOUT = "about.json"


@dataclass(frozen=True)
class Limits:
    """The most templates, and the most bytes that all of them take on the disk."""

    templates: int = 8
    bytes: int = 6 * 2**30


@dataclass
class Template:
    """A machine that was saved: the files in its folder, and what is told of it.

    ``images`` are the images' disks, ``memory`` is the guest's in MiB, ``seconds`` what making it took, ``files`` each
    file's size and time of its last change; ``made`` and ``used`` are Unix times; ``listens``: see waking.Line.
    """

    key: str
    images: list[str]
    memory: int
    made: float
    seconds: float
    bytes: int
    files: dict[str, list[int]]
    os_info: dict[str, str] = field(default_factory=dict)
    listens: bool = False
    hits: int = 0
    used: float = 0.0
    failures: int = 0
    folder: Path = Path()

    @property
    def memory_file(self) -> Path:
        """The guest's memory."""
        return self.folder / "memory"

    @property
    def state_file(self) -> Path:
        """The devices' state."""
        return self.folder / "state"


class Shelf:
    """All templates of an engine, one folder each; a folder without its description was never finished."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder = folder
        self.limits = limits
        self._templates: dict[str, Template] = {}

    def open(self) -> None:
        """Read what is there; what is damaged or unfinished is removed."""
        for folder in make_private(self._folder).iterdir():
            try:
                known = {item.name for item in fields(Template)} - {"folder"}
                told = json.loads((folder / _ABOUT).read_text())
                self._templates[folder.name] = Template(**{k: v for k, v in told.items() if k in known}, folder=folder)
            except (OSError, ValueError, TypeError) as error:
                log.info("the template %s is removed: %s", folder.name, error)
                remove_tree(folder)

    def all(self) -> list[Template]:
        """Every template, the one used last first."""
        return sorted(self._templates.values(), key=lambda template: -template.used)

    def find(self, key: str) -> Template | None:
        """The template with a key, if its files are as they were written."""
        template = self._templates.get(key)
        if template and measure(template.folder, template.files) != template.files:
            log.warning("the template %s is dropped: its files have changed", key)
            self.drop(template)
            return None
        return template

    def add(self, template: Template, made: Path) -> None:
        """Take in a finished template; others go where there are too many."""
        template.folder, template.used = self._folder / template.key, time.time()
        remove_tree(template.folder)
        write_atomically(made / _ABOUT, _told(template))
        made.rename(template.folder)
        self._templates[template.key] = template
        others = [other for other in self.all() if other is not template]
        while others and not self._fit([template, *others]):
            self.drop(others.pop())

    def hit(self, template: Template) -> None:
        """A machine was cloned."""
        template.hits, template.used, template.failures = template.hits + 1, time.time(), 0
        self._write(template)

    def failed(self, template: Template) -> None:
        """A machine could not be cloned; after the second time in a row nobody tries again."""
        template.failures += 1
        if template.failures >= MOST_FAILURES:
            log.warning("the template %s is dropped: %s starts from it failed", template.key, template.failures)
            self.drop(template)
        else:
            self._write(template)

    def drop(self, template: Template) -> None:
        """Remove a template; clones of it live on, as they hold its files."""
        if self._templates.pop(template.key, None):
            # Under its own name it must never be seen half.
            gone = template.folder.with_name(f".{template.key}")
            remove_tree(gone)
            template.folder.rename(gone)
            remove_tree(gone)

    def _fit(self, templates: list[Template]) -> bool:
        total = sum(template.bytes for template in templates)
        return len(templates) <= self.limits.templates and total <= self.limits.bytes

    def _write(self, template: Template) -> None:
        if self._templates.get(template.key) is template:
            write_atomically(template.folder / _ABOUT, _told(template))


def measure(folder: Path, names: dict[str, list[int]] | list[str]) -> dict[str, list[int]]:
    """Size and time of the last change of each file; nothing of one that is not there."""
    found = {name: folder / name for name in names}
    stats = {name: path.stat() for name, path in found.items() if path.exists()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}


def _told(template: Template) -> bytes:
    told = asdict(template)
    del told["folder"]
    return json.dumps(told, indent=1).encode()
