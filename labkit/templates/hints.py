"""What works and hurts all the same: hints on a template that has no faults. A new hint is a row of `HINTS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ruamel.yaml.nodes import Node

from labkit import documents
from labkit.errors import Fault
from labkit.templates import patterns
from labkit.templates.files import files
from labkit.templates.load import FILE
from labkit.templates.schema import Image, Template

FEW_VALUES = 1000
MUCH_MEMORY = 4 << 30
Hint = tuple[tuple[str, ...], str]
"""Where (keys and names, from the outside in), and what."""


def hints(template: Template) -> list[Fault]:
    """What hurts in a template that was loaded: each at its line of lab.yaml."""
    root = documents.compose((template.folder / FILE).read_text(encoding="utf-8"))
    return [Fault(FILE, _line(root, path), text) for hint in HINTS for path, text in hint(template)]


def _line(root: Node, path: tuple[str, ...]) -> int:
    """The line of what is found by keys, and by names in lists; of the nearest above it where it is not written."""
    node = root
    for word in path:
        named = [item for item in documents.items(node) if documents.named(item) == word]
        below = named[0] if named else documents.child(node, word)
        if below is None:
            break
        node = below
    return documents.line_of(node)


def _endless(template: Template) -> Iterator[Hint]:
    if template.lifetime.max_seconds is None:
        yield (), "lifetime: there is no 'max', so a forgotten lab runs until somebody stops it; write for example 4h"
    if template.duration_minutes is None:
        yield (), "duration: is not said; learners like to know how long it takes"


def _memory(template: Template) -> Iterator[Hint]:
    total = sum(machine.memory_bytes or 0 for machine in template.machines)
    if total > MUCH_MEMORY:
        yield ("machines",), f"machines: take {total >> 20}Mi of memory in all, for each learner"


def _passwords(template: Template) -> Iterator[Hint]:
    for machine in template.machines:
        for user in machine.users:
            if user.password is not None:
                text = "is the same in all labs, and in the template's text; {generate: true} gives each lab its own"
                yield ("machines", machine.name, "users", user.name, "password"), f"password: {text}"


def _images(template: Template) -> Iterator[Hint]:
    places: list[tuple[tuple[str, ...], Image]] = [(("volumes", v.name), v.image) for v in template.volumes if v.image]
    for machine in template.machines:
        where = ("machines", machine.name)
        places.append(((*where, "image"), machine.image))
        places += [((*where, "disks", disk.name), disk.image) for disk in machine.disks if disk.image]
    for path, image in places:
        if image.source == "registry" and not _pinned(image.reference):
            yield path, f"'{image.reference}' may become another image during a course; name a version, or @sha256:…"
        if image.source == "url" and image.sha256 is None:
            yield path, "has no sha256, so that whatever is at that address will be run"


def _pinned(reference: str) -> bool:
    tag = reference.rpartition("/")[2].partition(":")[2]
    return "@sha256:" in reference or (tag not in ("", "latest"))


def _variables(template: Template) -> Iterator[Hint]:
    text = "".join(
        (template.folder / name).read_text(encoding="utf-8", errors="replace") for name in files(template.folder)
    )
    for name, variable in template.variables.items():
        if text.count(name) + text.count(f"LABKIT_{name.upper()}") < 2:
            yield ("variables", name), f"variable '{name}': is used nowhere"
        count = patterns.parse(variable.pattern).values if variable.pattern else FEW_VALUES
        if count < FEW_VALUES:
            yield ("variables", name), f"variable '{name}': has {count} values only, so that many learners share one"


def _unused(template: Template) -> Iterator[Hint]:
    used = {disk.reference for machine in template.machines for disk in machine.disks}
    used |= {mount.reference for machine in template.machines for mount in machine.volumes}
    for volume in template.volumes:
        if volume.name not in used:
            yield ("volumes", volume.name), f"volume '{volume.name}': no machine uses it"
    for files_of in template.file_sets:
        if files_of.name not in used:
            key = "secrets" if files_of.secret else "configMaps"
            yield (key, files_of.name), f"{key}: no machine uses '{files_of.name}'"


def _scripts(template: Template) -> Iterator[Hint]:
    solved = {script.step for script in template.solutions}
    for step in template.checks:
        if step not in solved:
            yield ("name",), f"checks/{step}: has no solve- script, with which the check could be tried out"


HINTS: tuple[Callable[[Template], Iterator[Hint]], ...] = (
    _endless,
    _memory,
    _passwords,
    _images,
    _variables,
    _unused,
    _scripts,
)
