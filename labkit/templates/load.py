"""A template's folder to a `Template`: the part's input, with all faults at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import Node

from labkit import documents
from labkit.errors import Fault, Invalid, NotFound
from labkit.templates.checks import read_checks, step_folders
from labkit.templates.files import MOST_BYTES, digest, links
from labkit.templates.keys import LAB, pane_name
from labkit.templates.schema import BUILT_IN_VARIABLES, Template

FILE = "lab.yaml"


def load(folder: Path) -> Template:
    """The template in `folder`.

    Raises NotFound where there is no lab.yaml, and Invalid with every fault in it and in the checks folder (the files
    are named relative to `folder`). The instructions are not read here.
    """
    faults = [Fault(name, 0, "is a symbolic link; a template holds plain files only") for name in links(folder)]
    fields, wrong = _read_lab(folder)
    faults += wrong
    machines = [machine.name for machine in fields["machines"]] if fields else None
    checks, wrong = read_checks(folder, machines if fields else outline(folder).machine_names)
    faults += wrong
    if faults:
        raise Invalid(faults)
    return Template(
        name=fields["name"],
        title=fields["title"],
        description=fields["description"],
        duration_minutes=fields["duration"],
        tags=fields["tags"],
        machines=fields["machines"],
        network=fields["network"],
        lifetime=fields["lifetime"],
        variables=fields["variables"],
        folder=folder,
        digest=digest(folder),
        checks=checks,
    )


def _read_lab(folder: Path) -> tuple[dict[str, Any], list[Fault]]:
    try:
        return documents.read(_text(folder), documents.mapping(LAB, dict)), []
    except documents.Refused as refused:
        return {}, [Fault(FILE, finding.line, finding.sentence) for finding in refused.findings]


def _text(folder: Path) -> str:
    path = folder / FILE
    if not path.is_file():
        raise NotFound(f"'{folder}' holds no template: there is no {FILE} in it")
    if path.stat().st_size > MOST_BYTES:
        raise documents.Refused([documents.Finding(0, f"has more than {MOST_BYTES} bytes")])
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise documents.Refused([documents.Finding(0, "is not UTF-8 text")]) from None


@dataclass(frozen=True)
class Outline:
    """The names in a template, read without judging: what instructions may refer to though lab.yaml has faults.

    None: the file cannot be read far enough to know.
    """

    machines: Mapping[str, frozenset[str]] | None
    variables: frozenset[str] | None
    checks: frozenset[str]

    @property
    def machine_names(self) -> list[str] | None:
        return None if self.machines is None else list(self.machines)


def outline(folder: Path) -> Outline:
    """The names in the template in `folder`: machines with their panes, variables, checked steps. Raises NotFound."""
    checks = frozenset(path.name for path in step_folders(folder))
    try:
        root = documents.compose(_text(folder))
    except documents.Refused:
        return Outline(None, None, checks)  # its faults are load()'s to tell
    machines = {
        name: frozenset(filter(None, map(pane_name, documents.items(documents.child(machine, "panes")))))
        for machine in documents.items(documents.child(root, "machines"))
        if (name := documents.peek(machine, "name"))
    }
    return Outline(machines, frozenset(BUILT_IN_VARIABLES) | _keys(documents.child(root, "variables")), checks)


def _keys(node: Node | None) -> frozenset[str]:
    return frozenset(str(key.value) for key, _ in documents.entries(node))
